//! Regression tests for bugs of `send` that seeds or reviews have found, each reduced to the shortest script.

use super::Exchange;
use super::plan::Plan;
use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SharedNetwork, SocketId};
use crate::rng::Rng;
use crate::run::least_timeout;
use crate::selector::CLIENTS;
use crate::send_script::{SendProtocol, SendScript};
use crate::sim_net::SimNet;
use crate::sim_stdin::SimStdin;
use crate::sim_stdout::SimStdout;
use crate::stdio::WithStdio;
use echoloop::client::{Awaited, Failure, SendReport, Sender};
use echoloop::net::Source;
use echoloop::protocol::Raw;
use echoloop::server::Config;
use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

const SECOND: u64 = 1_000 * MILLISECOND;

/// A raw dialogue of this many bytes.
fn raw_dialogue(bytes: usize) -> SendScript {
    SendScript::draw(&mut Rng::new(0), SendProtocol::Raw, bytes, false)
}

/// A client without a server: the test acts as the peer.
struct LoneClient {
    network: SharedNetwork,
    sender: Sender<WithStdio<true>>,
    stdout: Rc<RefCell<SimStdout>>,
}

impl LoneClient {
    fn new(
        faults: Faults,
        bytes: usize,
        stdout: SimStdout,
        timeout: Option<Duration>,
    ) -> LoneClient {
        let mut network = Network::new(Rng::new(0), faults, false);
        network.listen(Source::listener(0));
        network.least_timeout = least_timeout(&Config::default(), timeout);
        let network = Rc::new(RefCell::new(network));
        let dialogue = raw_dialogue(bytes);
        let stdin = SimStdin::file(dialogue.input());
        let stdout = Rc::new(RefCell::new(stdout));
        let net = WithStdio::<true> {
            net: SimNet {
                network: network.clone(),
                host: CLIENTS,
            },
            stdin: Some(Rc::new(RefCell::new(stdin))),
            stdout: stdout.clone(),
        };
        let mut config = Plan::without_faults().config(&dialogue, true);
        config.timeout = timeout;
        let (input, output) = (net.stdin(), Box::new(net.stdout()));
        let sender = Sender::new(net, config, input, output);
        LoneClient {
            network,
            sender,
            stdout,
        }
    }

    /// A client with more input than the peer's window.
    fn with_large_input(faults: Faults, timeout: Option<Duration>) -> LoneClient {
        LoneClient::new(faults, 200_000, SimStdout::file(), timeout)
    }

    /// A client whose standard output is blocked for two seconds, and whose memory and receive buffer are full of input;
    /// also returns how many bytes the peer has sent.
    fn with_blocked_output(faults: Faults) -> (LoneClient, usize) {
        let blocked = SimStdout::empty(4, 0, 2 * SECOND, 0).with_read_size(usize::MAX);
        let mut client = LoneClient::new(faults, 10, blocked, None);
        assert!(client.run(SECOND).is_none());
        let peer = client.peer_socket();
        let mut sent = 0;
        loop {
            let count = client.network.borrow_mut().send(peer, &[b'x'; 10_000]);
            if count == 0 {
                return (client, sent);
            }
            sent += count;
            assert!(client.run(SECOND).is_none());
        }
    }

    /// The peer's socket.
    fn peer_socket(&self) -> SocketId {
        self.network.borrow().sockets[0].peer.expect("established")
    }

    /// Runs until the client ends, or sleeps beyond `until`.
    fn run(&mut self, until: u64) -> Option<Result<SendReport, Failure>> {
        loop {
            let result = self.sender.run_iteration();
            if result.is_some() {
                return result;
            }
            let mut network = self.network.borrow_mut();
            let is_ready = network.is_anything_ready(CLIENTS) || self.stdout.borrow().is_pending();
            let Some(asleep) = network.hosts[CLIENTS].asleep_until.take_if(|_| !is_ready) else {
                continue;
            };
            let mut stdout = self.stdout.borrow_mut();
            let next = asleep.min(stdout.next_read_at);
            network.now = next.min(until);
            if next > until {
                return None;
            }
            stdout.advance(&mut network);
        }
    }
}

fn is_lost(result: &Option<Result<SendReport, Failure>>) -> bool {
    matches!(result, Some(Err(Failure::Lost { .. })))
}

#[test]
fn output_closed_after_the_connection_still_reports_counts() {
    let dialogue = raw_dialogue(10);
    let stdin = SimStdin::file(dialogue.input());
    let full = SimStdout::empty(4, 0, u64::MAX, 0).failing_at(SECOND, ErrorKind::BrokenPipe);
    let (rng, plan) = (Rng::new(0), Plan::without_faults());
    let mut exchange = Exchange::<true, _>::new(rng, plan, dialogue, Some(stdin), full, Raw);
    let report = exchange.send().unwrap();
    assert!(report.output_closed);
    assert_eq!((report.sent, report.received), (10, 10));
    assert_eq!(exchange.stop_and_check(&Ok(report)), "output closed");
}

#[test]
fn bytes_before_a_reset_are_printed_despite_interrupted_calls() {
    let faults = Faults {
        interrupted: 900,
        ..Faults::default()
    };
    let mut client = LoneClient::with_large_input(faults, None);
    assert!(client.run(SECOND).is_none());
    let peer = client.peer_socket();
    client.network.borrow_mut().send(peer, b"before reset");
    client.network.borrow_mut().close(peer, true);
    let result = client.run(2 * SECOND);
    assert!(is_lost(&result), "{result:?}");
    assert_eq!(client.stdout.borrow().written, b"before reset");
}

#[test]
fn input_from_a_server_that_does_not_read_prevents_a_timeout() {
    let timeout = Duration::from_millis(1_500);
    let mut client = LoneClient::with_large_input(Faults::default(), Some(timeout));
    for second in 1..=5 {
        let result = client.run(second * SECOND);
        assert!(result.is_none(), "after {second} seconds: {result:?}");
        let peer = client.peer_socket();
        client.network.borrow_mut().send(peer, b"tick ");
    }
    let result = client.run(60 * SECOND);
    let now = client.network.borrow().now;
    assert!((6_500 * MILLISECOND..7 * SECOND).contains(&now), "at {now}");
    let Some(Err(Failure::Timeout { awaited, .. })) = result else {
        panic!("{result:?}")
    };
    assert!(matches!(awaited, Awaited::Acceptance(_)), "{awaited:?}");
    assert_eq!(client.stdout.borrow().written, b"tick ".repeat(5));
}

#[test]
fn reset_on_resumed_reading_without_queue_memory_is_reported() {
    let (mut client, sent) = LoneClient::with_blocked_output(Faults::default());
    let peer = client.peer_socket();
    client.network.borrow_mut().close(peer, true);
    client.sender.set_out_of_memory(true);
    let result = client.run(3 * SECOND);
    assert!(is_lost(&result), "{result:?}");
    assert_eq!(client.stdout.borrow().written.len(), sent);
}

#[test]
fn bytes_before_a_reset_found_by_so_error_are_printed() {
    let faults = Faults {
        read_blocks: 900,
        ..Faults::default()
    };
    let (mut client, sent) = LoneClient::with_blocked_output(faults);
    // Pending output fills the client's memory, so the client does not read, and finds the reset by SO_ERROR.
    let peer = client.peer_socket();
    client.network.borrow_mut().close(peer, true);
    let result = client.run(3 * SECOND);
    assert!(is_lost(&result), "{result:?}");
    assert_eq!(client.stdout.borrow().written.len(), sent);
}
