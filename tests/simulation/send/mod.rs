//! The real `send` client against the real server, in virtual time, with simulated standard input and output.
//!
//! The output must be exactly the protocol's replies to the input. If a failure was drawn that ends the connection or
//! closes standard input or output, the output is a prefix of them, and `send` reports the failure. `send` always
//! terminates, and its buffers stay within their bounds.

mod checks;
mod plan;
mod scripted;

use crate::client_script::{ClientScript, PREFIX};
use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::run::least_timeout;
use crate::selector::{CLIENTS, SERVER};
use crate::send_script::{SendProtocol, SendScript};
use crate::sim_net::{SimNet, address};
use crate::sim_stdin::SimStdin;
use crate::sim_stdout::SimStdout;
use crate::stdio::WithStdio;
pub use checks::client_sockets;
use echoloop::client::{Failure, SendReport, Sender};
use echoloop::net::ListenOptions;
use echoloop::protocol::{Discard, Frame, Line, Protocol, Raw};
use echoloop::server::{Exit, Server};
use plan::Plan;
use std::cell::RefCell;
use std::rc::Rc;

/// Iterations after which a run counts as endless.
const MAX_ITERATIONS: u64 = 1_000_000;

/// Consecutive iterations of the client without progress before it must sleep; interrupted calls need several.
const MAX_IDLE_ITERATIONS: u64 = 1_000;

/// The longest time without progress; beyond it a connection counts as forgotten.
const MAX_QUIET: u64 = 1_000_000 * MILLISECOND;

/// Virtual time of one iteration.
const ITERATION_TIME: u64 = MILLISECOND / 20;

/// The outcome of a run; equal for two runs of the same seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the client ended, in a word or two.
    pub outcome: &'static str,
    digest: u64,
    report: String,
}

/// Runs a seed; panics if a check fails.
pub fn run(seed: u64) -> Outcome {
    let mut rng = Rng::new(seed ^ 0x5E4D);
    if rng.chance(500) {
        run_in::<true>(rng)
    } else {
        run_in::<false>(rng)
    }
}

fn run_in<const DRAINS: bool>(mut rng: Rng) -> Outcome {
    let plan = Plan::draw(&mut rng);
    let dialogue = plan.draw_dialogue(&mut rng);
    let most = dialogue.server_max_message;
    match dialogue.protocol {
        SendProtocol::Raw => Exchange::<DRAINS, _>::draw(rng, plan, dialogue, Raw).run(),
        SendProtocol::Discard => Exchange::<DRAINS, _>::draw(rng, plan, dialogue, Discard).run(),
        SendProtocol::Line => {
            let line = Line::echo(most, PREFIX);
            Exchange::<DRAINS, _>::draw(rng, plan, dialogue, line).run()
        }
        SendProtocol::Frame(width) => {
            let frame = Frame::echo(width, most);
            Exchange::<DRAINS, _>::draw(rng, plan, dialogue, frame).run()
        }
    }
}

/// A run: one server, one client, and its standard input and output.
struct Exchange<const DRAINS: bool, P: Protocol> {
    network: SharedNetwork,
    server: Server<SimNet<DRAINS>, P>,
    sender: Sender<WithStdio<DRAINS>>,
    stdin: Option<Rc<RefCell<SimStdin>>>,
    stdout: Rc<RefCell<SimStdout>>,
    plan: Plan,
    dialogue: SendScript,
    speech: Rc<ClientScript>,
    iterations: u64,
    idle_iterations: u64,
    /// Counters of everything that makes progress, and when one of them last changed.
    progress: [u64; 6],
    progress_at: u64,
    exit: Option<Exit>,
    /// The server was stopped before the client had ended.
    is_stopped_early: bool,
}

impl<const DRAINS: bool, P: Protocol> Exchange<DRAINS, P> {
    /// A run with standard input and output drawn from the plan.
    fn draw(mut rng: Rng, plan: Plan, dialogue: SendScript, protocol: P) -> Self {
        let stdin = plan.draw_stdin(&mut rng, dialogue.input(), !DRAINS);
        let stdout = plan.draw_stdout(&mut rng, dialogue.expected_output.len());
        Exchange::new(rng, plan, dialogue, stdin, stdout, protocol)
    }

    fn new(
        rng: Rng,
        plan: Plan,
        dialogue: SendScript,
        stdin: Option<SimStdin>,
        stdout: SimStdout,
        protocol: P,
    ) -> Self {
        let stdin = stdin.map(|stdin| Rc::new(RefCell::new(stdin)));
        let stdout = Rc::new(RefCell::new(stdout));
        // There is only the client under test.
        let faults = Faults {
            arrival_during_drain: 0,
            ..plan.faults.clone()
        };
        let mut network = Network::new(rng, faults, !DRAINS);
        network.window = plan.window;
        network.kernel = plan.kernel;
        if dialogue.protocol == SendProtocol::Raw {
            network.max_pending = plan.server.max_pending;
        }
        network.budget = plan.server.budget;
        network.least_timeout = least_timeout(&plan.server, plan.timeout);
        let network = Rc::new(RefCell::new(network));
        let net = |host| SimNet {
            network: network.clone(),
            host,
        };
        let mut server = Server::new(net(SERVER), protocol, plan.server);
        server.listen(&ListenOptions::new(address(1))).unwrap();
        let client_net = WithStdio {
            net: net(CLIENTS),
            stdin: stdin.clone(),
            stdout: stdout.clone(),
        };
        let config = plan.config(&dialogue, stdin.is_some());
        let (input, output) = (client_net.stdin(), Box::new(client_net.stdout()));
        Exchange {
            sender: Sender::new(client_net, config, input, output),
            server,
            stdin,
            stdout,
            plan,
            speech: Rc::new(dialogue.client_script()),
            dialogue,
            iterations: 0,
            idle_iterations: 0,
            progress: [0; 6],
            progress_at: 0,
            exit: None,
            is_stopped_early: false,
            network,
        }
    }

    fn run(mut self) -> Outcome {
        let result = self.send();
        let outcome = self.stop_and_check(&result);
        let digest = self.network.borrow().digest();
        Outcome {
            outcome,
            digest,
            report: describe(&result),
        }
    }

    /// Runs both programs until the client ends.
    fn send(&mut self) -> Result<SendReport, Failure> {
        loop {
            self.run_server_iteration();
            if let Some(result) = self.run_client_iteration() {
                return result;
            }
            self.advance();
        }
    }

    /// Stops the server, waits for its exit and checks the result; returns the outcome in a word or two.
    fn stop_and_check(&mut self, result: &Result<SendReport, Failure>) -> &'static str {
        if self.exit.is_none() {
            self.stop();
        }
        while self.exit.is_none() {
            self.advance();
            self.run_server_iteration();
        }
        self.check_result(result)
    }

    /// Sends the server a signal to stop.
    fn stop(&mut self) {
        self.plan.stops_at = None;
        let mut network = self.network.borrow_mut();
        if !network.stopping {
            let drain_timeout = self.plan.server.drain_timeout.as_nanos();
            network.stop(u64::try_from(drain_timeout).unwrap());
        }
    }

    fn run_server_iteration(&mut self) {
        if self.exit.is_some() || !self.wake(SERVER) {
            return;
        }
        let [memory, places, sources] = {
            let mut network = self.network.borrow_mut();
            network.begin_iteration();
            for id in 0..network.sockets.len() {
                // The server receives what the client sends.
                if network.sockets[id].peer.is_some_and(|peer| peer < id) {
                    let speech = || Rc::clone(&self.speech);
                    network.sockets[id].script.get_or_insert_with(speech);
                }
            }
            let faults = &network.faults;
            let chances = [
                faults.buffer_alloc_fails,
                faults.queue_alloc_fails,
                faults.source_alloc_fails,
            ];
            chances.map(|chance| network.fault(chance))
        };
        self.server.parts().1.common.pool.refuse(memory);
        self.server.set_out_of_memory(places, sources);
        self.exit = self.server.run_iteration().unwrap();
    }

    fn run_client_iteration(&mut self) -> Option<Result<SendReport, Failure>> {
        if !self.wake(CLIENTS) {
            return None;
        }
        let [memory, places] = {
            let mut network = self.network.borrow_mut();
            let chances = [
                network.faults.buffer_alloc_fails,
                network.faults.queue_alloc_fails,
            ];
            chances.map(|chance| network.fault(chance))
        };
        self.sender.pool().refuse(memory);
        self.sender.set_out_of_memory(places);
        let result = self.sender.run_iteration();
        self.check_progress();
        self.check_bounds();
        result
    }

    /// Whether the host's program runs now: it has an event, or its sleep is over.
    fn wake(&mut self, host: usize) -> bool {
        let has_stdio_event = host == CLIENTS && self.has_stdio_event();
        let mut network = self.network.borrow_mut();
        let asleep = network.hosts[host].asleep_until;
        let is_awake = has_stdio_event
            || asleep.is_none_or(|until| until <= network.now)
            || network.is_anything_ready(host);
        if is_awake {
            network.hosts[host].asleep_until = None;
        }
        is_awake
    }

    /// Whether standard input or output has a pending event.
    fn has_stdio_event(&self) -> bool {
        let stdin = self.stdin.as_ref();
        self.stdout.borrow().is_pending() || stdin.is_some_and(|stdin| stdin.borrow().is_pending())
    }

    /// Advances time by one iteration; if both programs sleep, to the next event.
    fn advance(&mut self) {
        self.iterations += 1;
        assert!(self.iterations < MAX_ITERATIONS, "the run does not end");
        let has_stdio_event = self.has_stdio_event();
        let mut network = self.network.borrow_mut();
        network.now += ITERATION_TIME;
        let mut stdout = self.stdout.borrow_mut();
        let mut stdin = self.stdin.as_ref().map(|stdin| stdin.borrow_mut());
        let ready = [SERVER, CLIENTS].map(|host| network.is_anything_ready(host));
        let sleeps = [SERVER, CLIENTS].map(|host| network.hosts[host].asleep_until);
        // A server that has exited never wakes.
        let servers_sleep = self.exit.map_or(sleeps[SERVER], |_| Some(u64::MAX));
        if !has_stdio_event
            && ready == [false, false]
            && let (Some(one), Some(other)) = (servers_sleep, sleeps[CLIENTS])
        {
            let next = [
                one.min(other),
                network.next_answer().unwrap_or(u64::MAX),
                stdin.as_ref().map_or(u64::MAX, |stdin| stdin.arrives_at),
                stdout.next_read_at.min(stdout.fails_at),
                self.plan.stops_at.unwrap_or(u64::MAX),
            ];
            // Without any next event, time advances far enough to exceed `MAX_QUIET`.
            let next = next.into_iter().min().unwrap().min(network.now + MAX_QUIET);
            network.now = next.max(network.now);
        }
        let jump = network.faults.clock_jump;
        if network.fault(jump) {
            let most = network.faults.clock_jump_ms;
            let jump = network.rng.between(0, most) * MILLISECOND;
            network.pause(jump);
        }
        network.complete_handshakes();
        stdout.advance(&mut network);
        if let Some(stdin) = &mut stdin {
            stdin.advance(&mut network);
        }
        let stops = self.plan.stops_at.is_some_and(|at| at <= network.now);
        drop((network, stdout, stdin));
        if stops {
            self.is_stopped_early = true;
            self.stop();
        }
    }
}

/// The result as text, to compare two runs.
fn describe(result: &Result<SendReport, Failure>) -> String {
    match result {
        Ok(report) => format!("{report:?}"),
        Err(failure) => failure.to_string(),
    }
}
