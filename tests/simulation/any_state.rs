//! A server restored from any state that can be decoded: it is rejected, or the server neither panics nor loops.

use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::selector::SERVER;
use crate::sim_net::{SimNet, SimStream, address};
use echoloop::connection;
use echoloop::net::ListenOptions;
use echoloop::protocol::{Collect, Discard, Frame, Line, Protocol, Raw, Width};
use echoloop::reactor::SavedSlot;
use echoloop::server::{Config, Exit, SavedConnection, SavedServer, Server};
use echoloop::upgrade::{decode_connections, encode_connections};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

/// More iterations than any state needs.
const MAX_ITERATIONS: u32 = 2_000;

/// Any number, mostly a small one.
fn number() -> impl Strategy<Value = u64> {
    let time = 0_u64..100_000_000_000;
    prop_oneof![30 => 0_u64..2_000, 5 => time, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(b'\n'), Just(0)];
    prop_oneof![
        Just(Vec::new()),
        vec(byte, 0..200),
        vec(any::<u8>(), 0..20_000)
    ]
}

fn slot() -> impl Strategy<Value = SavedSlot> {
    let class = prop_oneof![0_u8..7, Just(u8::MAX)];
    let start = number().prop_map(|number| number as u32);
    let parts = (any::<u32>(), class, start, any::<bool>());
    parts.prop_map(|(serial, class, timer_start, is_rechecked)| SavedSlot {
        serial,
        class,
        timer_start,
        is_rechecked,
    })
}

/// The receive side and the send side, mostly of a state that a server has.
fn sides() -> impl Strategy<Value = (u8, u8)> {
    const VALID: [(u8, u8); 5] = [(1, 0), (3, 1), (3, 2), (4, 1), (5, 1)];
    prop_oneof![20 => prop::sample::select(&VALID[..]), 1 => (0_u8..8, 0_u8..4)]
}

prop_compose! {
    fn inner()(
        (bytes_in, bytes_out) in (number(), number()),
        (state, reason) in (sides(), 0_u8..15),
        (readiness, flags) in (0_u8..9, any::<u8>()),
        (output, input) in (bytes(), bytes()),
        is_consistent in prop::bool::weighted(0.9),
        acknowledged in option::of((number(), number())),
    ) -> connection::SavedConnection {
        const PENDING_OUTPUT: u8 = 32;
        let pending = if output.is_empty() { 0 } else { PENDING_OUTPUT };
        let flags = if is_consistent { flags & !PENDING_OUTPUT | pending } else { flags };
        connection::SavedConnection {
            bytes_in, bytes_out, state, reason, readiness, flags, output, input, acknowledged,
        }
    }
}

fn connection() -> impl Strategy<Value = SavedConnection> {
    let source = option::weighted(0.05, any::<u128>());
    (slot(), inner(), source).prop_map(|(slot, connection, source)| SavedConnection {
        slot,
        connection,
        source,
    })
}

prop_compose! {
    /// The state of a server with this many connections and one listener; mostly a valid one.
    fn server(connections: u32)(
        (run, memory, records) in {
            let position = prop_oneof![20 => 0..connections, 1 => Just(connections)];
            let positions = move || vec(position.clone(), 0..2);
            (positions(), positions(), option::weighted(0.3, 0..connections))
        },
        (last_serial, scarce_since, recheck_at) in (any::<u32>(), option::of(number()), number()),
        (ready, accepts_at, throttle) in (any::<bool>(), option::of(number()), number()),
        (closed, bytes) in (number(), number()),
        delivered in option::weighted(0.2, (0..connections + 1, number())),
    ) -> SavedServer {
        let mut saved = SavedServer {
            connections,
            opened: closed.saturating_add(connections.into()),
            closed: vec![closed],
            refused: vec![closed],
            accept_failed: bytes,
            accept_paused: bytes,
            bytes_in: bytes,
            bytes_out: bytes,
            evicted: bytes,
            delivered,
            ..SavedServer::default()
        };
        saved.accepting.ready = vec![ready];
        saved.accepting.accepts_at = accepts_at;
        saved.accepting.throttles[1] = (accepts_at, throttle);
        let queues = &mut saved.queues;
        (queues.run, queues.memory, queues.records) = (run, memory, records.into_iter().collect());
        (queues.last_serial, queues.scarce_since, queues.recheck_at) =
            (last_serial, scarce_since, recheck_at);
        queues.bytes_dropped = bytes;
        saved
    }
}

fn state() -> impl Strategy<Value = (Vec<SavedConnection>, SavedServer)> {
    let connections = vec(connection(), 1..4);
    connections.prop_flat_map(|connections| {
        let count = u32::try_from(connections.len()).unwrap();
        (Just(connections), server(count))
    })
}

/// Standard output that accepts everything.
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Harness<P: Protocol> {
    network: SharedNetwork,
    server: Server<SimNet<true>, P>,
}

impl<P: Protocol> Harness<P> {
    /// A server with the restored connections, and its clients; `None` if the state is rejected.
    fn restore(
        protocol: P,
        state: &(Vec<SavedConnection>, SavedServer),
    ) -> Option<(Self, Vec<usize>)> {
        let mut network = Network::new(Rng::new(0), Faults::default(), false);
        network.now = 20_000 * MILLISECOND;
        // Any deadline may have passed.
        network.least_timeout = 0;
        let network = Rc::new(RefCell::new(network));
        let net = SimNet {
            network: network.clone(),
            host: SERVER,
        };
        let config = Config {
            max_buffered: 60_000,
            max_per_source: state.0[0].source.map(|_| 2),
            idle_timeout: Some(Duration::from_secs(5)),
            ..Config::default()
        };
        let mut server = Server::new(net, protocol, config);
        server.set_record_sink(Sink);
        server.listen(&ListenOptions::new(address(1))).unwrap();
        let (mut keys, mut clients) = (Vec::new(), Vec::new());
        for saved in &state.0 {
            let client = network.borrow_mut().connect(0, 1).unwrap();
            let (id, _) = network.borrow_mut().accept(0).unwrap();
            {
                let socket = &mut network.borrow_mut().sockets[id];
                // The checks of echoes do not apply: the state does not fit the traffic.
                socket.is_server_side = false;
                (socket.watch.may_read, socket.watch.may_write) = (1, 1);
            }
            let stream = SimStream::new(&network, id);
            keys.push(server.restore_connection(stream, saved).ok()?);
            clients.push(client);
        }
        server.restore(&state.1, &keys).ok()?;
        Some((Harness { network, server }, clients))
    }

    /// Runs the server until it sleeps past the time `until`, or stops.
    fn run(&mut self, until: u64) -> Option<Exit> {
        for _ in 0..MAX_ITERATIONS {
            if let Some(exit) = self.server.run_iteration().expect("no error") {
                return Some(exit);
            }
            let mut network = self.network.borrow_mut();
            let is_ready = network.is_anything_ready(SERVER);
            let asleep = network.hosts[SERVER].asleep_until.take_if(|_| !is_ready);
            let Some(asleep) = asleep else { continue };
            network.now = asleep.min(until);
            if asleep > until {
                return None;
            }
        }
        panic!("the server loops");
    }
}

/// Restores the state in a server of `protocol`, and lets clients send, read and close.
fn check(protocol: impl Protocol, state: &(Vec<SavedConnection>, SavedServer)) -> bool {
    let Some((mut harness, clients)) = Harness::restore(protocol, state) else {
        return false;
    };
    let network = harness.network.clone();
    for (index, client) in clients.iter().enumerate() {
        network.borrow_mut().send(*client, b"a line\n");
        harness.run(21_000 * MILLISECOND + index as u64);
        let _ = network.borrow_mut().read(*client, &mut [0; 70_000]);
    }
    network.borrow_mut().send_fin(clients[0]);
    harness.run(22_000 * MILLISECOND);
    let _ = network.borrow_mut().connect(0, 2);
    harness.run(40_000 * MILLISECOND);
    network.borrow_mut().stop(1_000 * MILLISECOND);
    let exit = harness.run(60_000 * MILLISECOND);
    assert_eq!(exit, Some(Exit::Drained));
    assert_eq!(harness.server.buffered(), 0, "memory leak");
    true
}

#[test]
fn any_state_is_rejected_or_served() {
    const CASES: u32 = 256;
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let served = Cell::new(0);
    let check_one = |(state, protocol): ((Vec<SavedConnection>, SavedServer), i32)| {
        let encoded = encode_connections(&state.0).unwrap();
        prop_assert_eq!(&decode_connections(&encoded).unwrap(), &state.0);
        let is_served = match protocol {
            0 => check(Raw, &state),
            1 => check(Line::echo(10_000, b"ECHO "), &state),
            2 => check(Frame::echo(Width::Two, 10_000), &state),
            3 => check(Discard, &state),
            _ => check(Collect::new(10_000), &state),
        };
        served.set(served.get() + u32::from(is_served));
        Ok(())
    };
    // Most states are rejected, so their number varies.
    for _ in 0..10 {
        let checked = TestRunner::new(config.clone()).run(&(state(), 0..5), check_one);
        if let Err(failure) = checked {
            panic!("{failure}");
        }
        if served.get() >= CASES / 10 {
            return;
        }
    }
    panic!("only {} states were served", served.get());
}

/// A state that every server accepts.
fn valid() -> SavedConnection {
    SavedConnection {
        slot: SavedSlot {
            serial: 7,
            class: 3,
            timer_start: 80,
            is_rechecked: false,
        },
        connection: connection::SavedConnection {
            bytes_in: 10,
            bytes_out: 10,
            state: (1, 0),
            reason: 0,
            readiness: 0,
            flags: 0,
            output: Vec::new(),
            input: Vec::new(),
            acknowledged: None,
        },
        source: None,
    }
}

fn saved_server() -> SavedServer {
    let mut saved = SavedServer {
        connections: 1,
        opened: 1,
        ..SavedServer::default()
    };
    saved.accepting.ready = vec![false];
    saved.queues.last_serial = 7;
    saved
}

#[test]
fn idle_connection_is_restored() {
    assert!(check(Raw, &(vec![valid()], saved_server())));
}

#[test]
fn record_of_a_protocol_without_records_is_rejected() {
    let mut connection = valid();
    connection.connection.state = (5, 1);
    let state = (vec![connection], saved_server());
    assert!(!check(Raw, &state));
    assert!(check(Collect::new(100), &state));
}

#[test]
fn queued_record_of_a_connection_without_one_is_rejected() {
    let mut server = saved_server();
    server.queues.records = vec![0];
    assert!(!check(Collect::new(100), &(vec![valid()], server)));
}

#[test]
fn counters_that_would_overflow_are_rejected() {
    let mut connection = valid();
    connection.connection.bytes_out = u64::MAX;
    assert!(!check(Raw, &(vec![connection], saved_server())));
    let mut server = saved_server();
    server.bytes_in = u64::MAX;
    assert!(!check(Raw, &(vec![valid()], server)));
}

#[test]
fn state_of_a_client_is_rejected() {
    for state in [(1, 1), (1, 2), (4, 0), (4, 2)] {
        let mut connection = valid();
        connection.connection.state = state;
        let is_served = check(Raw, &(vec![connection], saved_server()));
        assert!(!is_served, "{state:?}");
    }
}
