//! A load with a script against the real server, in virtual time: hello, messages and keepalives arrive in pieces and late, and
//! every reply is verified.

use crate::faults::Faults;
use crate::load::{check_no_failure, delay_faults, run_to_the_end};
use crate::network::{Network, SharedNetwork};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use echoloop::load::{Config, Load, LoadResult, Script};
use echoloop::net::{Ending, ListenOptions};
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 20;

/// Send buffers accept at least an eighth of this many bytes at once.
const STEP: usize = 8_192;

fn script(rng: &mut Rng) -> Script {
    let random = 1 + rng.magnitude(400);
    let message = format!("{{connection}} {{sequence}} {{random:{random}}}\\n");
    let end = ["line = true", "until = \"\\n\"", "frame = 2"][rng.between(0, 2) as usize];
    let (send, equals) = match end {
        "line = true" => (format!("\"{message}\""), message.replace("\\n", "")),
        "frame = 2" => (format!("{{ text = \"{message}\", frame = 2 }}"), message),
        _ => (format!("\"{message}\""), message),
    };
    let source = format!(
        "[[hello]]\nsend = \"A{{connection}}\"\nexpect = {{ length = 2, starts_with = \"A\" }}
        [[hello]]\nsend = \"HELLO {{connection}}\\n\"\nexpect = {{ until = \"\\n\", ends_with = \"HELLO {{connection}}\\n\" }}
        [message]\nsend = {send}\nexpect = {{ {end}, equals = \"{equals}\" }}
        [keepalive]\nevery = \"{}ms\"\nsend = \"K{{connection}} {{sequence}}\\n\"
        expect = {{ line = true, equals = \"K{{connection}} {{sequence}}\" }}\n",
        rng.between(20, 2000)
    );
    let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let script = Script::parse("simulated", &source, read);
    script.unwrap().resolve(rng.next(), "target").unwrap()
}

fn draw_config(rng: &mut Rng) -> Config {
    let number = |rng: &mut Rng, most| u32::try_from(rng.magnitude(most)).unwrap();
    let active = number(rng, 12);
    Config {
        idle: 1 + number(rng, 60),
        active,
        rate: rng.chance(600).then(|| rng.between(1, 2000) as f64),
        pipeline: usize::try_from(rng.magnitude(8)).unwrap().max(1),
        duration: Duration::from_millis(rng.between(1, 1500)),
        warmup: Duration::from_millis(rng.magnitude(500)),
        churn: rng.chance(200).then_some(Ending::Fin),
        window: Some(16),
        connect_timeout: Duration::from_secs(60),
        script: Some(Arc::new(script(rng))),
        ..Config::new(address(1))
    }
}

fn run(mut rng: Rng) -> (Config, LoadResult, u64) {
    let mut config = draw_config(&mut rng);
    if config.churn.is_some() {
        config.pipeline = 1;
    }
    let mut faults: Faults = delay_faults(&mut rng);
    let kernel = Kernel::draw(&rng, STEP, &mut faults);
    let mut network = Network::new(rng.clone(), faults, true);
    network.kernel = kernel;
    let network: SharedNetwork = Rc::new(RefCell::new(network));
    let net = |host| SimNet::<false> {
        network: network.clone(),
        host,
    };
    let mut server = Server::new(net(SERVER), Raw, server::Config::default());
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let load = Load::new(net(CLIENTS), config.clone(), ());
    let result = run_to_the_end(&network, &mut server, load);
    let digest = network.borrow().digest();
    (config, result, digest)
}

fn check(config: &Config, result: &LoadResult) {
    check_no_failure(config, result);
    let (echo, keepalive) = (&result.echo, &result.keepalive);
    // More, by the messages that were sent before the measured part.
    let ended = echo.received + echo.outstanding;
    assert!(ended >= echo.due, "{result:#?}");
    assert_eq!(keepalive.mismatched, 0, "{result:#?}");
    assert!(keepalive.received <= keepalive.sent, "{result:#?}");
}

#[test]
fn script_on_a_correct_server_reports_no_failure() {
    let seeds = crate::seeds::variable("ECHOLOOP_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut messages, mut keepalives) = (0, 0);
    for seed in 0..seeds {
        println!("seed {seed}");
        let (config, result, digest) = run(Rng::new(seed));
        println!("{config:?}");
        check(&config, &result);
        messages += result.echo.received;
        keepalives += result.keepalive.received;
        let (_, again, same) = run(Rng::new(seed));
        assert_eq!(
            (result, digest),
            (again, same),
            "seed {seed} is not deterministic"
        );
    }
    assert!(
        messages > 0 && keepalives > 0,
        "{messages} and {keepalives}"
    );
}
