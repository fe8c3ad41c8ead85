//! Draws a run: the configuration of the server, the faults of the network and the peers.

use super::ProtocolRun;
use crate::client_script::{ClientScript, LONG_PREFIX, ProtocolConfig};
use crate::faults::Faults;
use crate::flood;
use crate::memory_attack::{MAX_MESSAGE, MemoryAttack};
use crate::network::{MILLISECOND, Network};
use crate::peer::{Closing, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::run::least_timeout;
use crate::selector::SERVER;
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use crate::sim_stdout::SimStdout;
use crate::stdio::WithStdio;
use echoloop::net::ListenOptions;
use echoloop::protocol::Protocol;
use echoloop::server::{Config, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

impl<'p, const DRAINS: bool, P: Protocol> ProtocolRun<'p, DRAINS, P> {
    /// Draws the configuration, the faults and the peers of a run.
    pub(super) fn draw(
        mut rng: Rng,
        protocol: &'p dyn Fn() -> P,
        protocol_config: ProtocolConfig,
        max_message: usize,
    ) -> Self {
        let mut config = draw_config(&mut rng, max_message);
        let has_long_replies =
            matches!(protocol_config, ProtocolConfig::Line { prefix, .. } if prefix == LONG_PREFIX);
        if has_long_replies {
            // With less memory than a reply, one slow reader could hold all of it for very long.
            config.max_buffered = 1 << 40;
        }
        let mut faults = Faults::draw(&mut rng);
        let mut window = usize::try_from(rng.magnitude(200_000)).unwrap().max(64);
        if has_long_replies {
            window = window.max(20_000);
        }
        let step = window.min(config.max_pending).min(config.budget) as u64;
        let mut kernel = Kernel::draw(&rng, step as usize, &mut faults);
        let peers = (0..rng.between(1, 25)).map(|id| {
            let mut plan = Plan::draw(&mut rng, step);
            if matches!(protocol_config, ProtocolConfig::Collect { .. }) && rng.chance(800) {
                // It sends a complete record.
                plan.closing = Closing::HalfClose;
                plan.reading = Reading::Prompt;
            }
            let script = ClientScript::draw(&mut rng, protocol_config, id, plan.total);
            plan.set_total(script.length());
            Peer::with_script(id, plan, script)
        });
        let mut peers: Vec<Peer> = peers.collect();
        let mut attack = None;
        if max_message == MAX_MESSAGE {
            // Only the attackers may delay well-behaved clients.
            faults = Faults::default();
            window = 1_000 + rng.index(20_000);
            kernel.send_buffer = kernel.send_buffer.min(30_000);
            let drawn = MemoryAttack::draw(&mut rng, protocol_config, window);
            attack = Some(drawn.0);
            (config, peers) = (drawn.1, drawn.2);
        } else {
            let network = (&mut window, &mut kernel);
            flood::maybe_draw(&rng, protocol_config, &mut config, network, &mut peers);
        }
        // Large records pass through a small pipe in at most about a hundred steps.
        let pipe_capacity = 1 + max_message / 100 + rng.index(1 + max_message);
        let pipe = SimStdout::new(pipe_capacity, rng.magnitude(500) * MILLISECOND);
        let pipe = Rc::new(RefCell::new(pipe));
        let faults_end_at = rng.magnitude(60_000) * MILLISECOND;
        let drains_early = rng.chance(300);
        let mut network = Network::new(rng, faults, !DRAINS);
        network.window = window;
        network.kernel = kernel;
        network.budget = config.budget;
        network.least_timeout = least_timeout(&config, None);
        network.fin_is_receipt = matches!(protocol_config, ProtocolConfig::Collect { .. });
        let network = Rc::new(RefCell::new(network));
        let net = SimNet {
            network: network.clone(),
            host: SERVER,
        };
        let pipe_end = pipe.clone();
        let net = WithStdio {
            net,
            stdin: None,
            stdout: pipe_end,
        };
        let records = net.stdout();
        let mut server = Server::new(net, protocol(), config);
        server.set_record_sink(records);
        server.listen(&ListenOptions::new(address(1))).unwrap();
        ProtocolRun {
            protocol,
            network,
            server,
            pipe,
            peers,
            protocol_config,
            config,
            max_message,
            iterations: 0,
            exit: None,
            faults_end_at,
            drains_early,
            attack,
            upgrades: None,
        }
    }
}

fn draw_config(rng: &mut Rng, max_message: usize) -> Config {
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 30_000));
    let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap().max(1);
    Config {
        max_connections: size(rng, 60).max(10),
        max_pending: size(rng, 100_000).max(64),
        max_buffered: if rng.chance(600) {
            // From less memory than one message needs to enough for several.
            4_000 + size(rng, 8 * max_message as u64 + 40_000)
        } else {
            1 << 40
        },
        idle_timeout: rng.chance(300).then(|| time(rng)),
        stall_timeout: Some(time(rng)),
        drain_timeout: time(rng),
        budget: size(rng, 200_000).max(64),
        accepts_per_iteration: size(rng, 20),
        ..Config::default()
    }
}
