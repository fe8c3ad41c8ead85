//! What a protocol gets from the server beside the calls of its sessions, over real sockets in one thread.

mod hub;

use super::{Config, Exit, Request};
use crate::connection::CloseReason;
use crate::net::{Net, Source};
use crate::protocol::{ConnectionId, Message};
use hub::{Fixture, PATIENCE, assert_receives};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn context_opened_and_closed_have_the_same_id() {
    // The server has the peer's address in any case.
    let mut fixture = Fixture::<false>::with_config(Config {
        max_per_source: Some(5),
        ..Config::default()
    });
    let (mut first, first_id) = fixture.connect();
    let (_second, second_id) = fixture.connect();
    assert_ne!(first_id, second_id);
    first.write_all(b"x").unwrap();
    fixture.run_until(|state| !state.received.is_empty());
    drop(first);
    fixture.run_until(|state| !state.closed.is_empty());
    let state = fixture.state();
    assert_eq!(
        (&state.received[..], &state.closed[..]),
        (&[first_id][..], &[first_id][..])
    );
    assert_eq!(state.peers, [None, None], "not wanted");
}

#[test]
fn peer_address_is_passed_if_wants_peer_is_true() {
    let mut fixture = Fixture::<true>::with_config(Config::default());
    let (client, _) = fixture.connect();
    assert_eq!(fixture.state().peers, [client.local_addr().ok()]);
}

#[test]
fn message_reaches_its_connection_alone() {
    let mut fixture = Fixture::new();
    let (mut first, first_id) = fixture.connect();
    let (mut second, second_id) = fixture.connect();
    fixture.send(Message::new(second_id, *b"one"));
    fixture.send(Message::new(first_id, *b"two"));
    assert_receives(&mut second, b"one");
    assert_receives(&mut first, b"two");
}

#[test]
fn message_that_closes_is_sent_before_fin() {
    let mut fixture = Fixture::new();
    let (mut client, id) = fixture.connect();
    fixture.send(Message::new(id, *b"bye").then_close());
    // Its output is complete, so this is not sent.
    fixture.send(Message::new(id, *b"more"));
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"bye");
    drop(client);
    fixture.run_until(|state| state.closed == [id]);
    let counters = fixture.server.counters();
    assert_eq!(counters.closed_for(CloseReason::SessionDone), 1);
}

#[test]
fn message_to_a_closed_connection_is_dropped() {
    let mut fixture = Fixture::new();
    let (client, stale) = fixture.connect();
    drop(client);
    fixture.run_until(|state| !state.closed.is_empty());
    let (mut client, id) = fixture.connect();
    assert_eq!(stale.slot, id.slot, "the slot is used again");
    fixture.send(Message::new(stale, *b"stale").then_close());
    fixture.send(Message::new(
        ConnectionId {
            slot: 7,
            serial: 99,
        },
        *b"unknown",
    ));
    fixture.send(Message::new(id, *b"x"));
    assert_receives(&mut client, b"x");
    client.set_nonblocking(true).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(fixture.server.live(), 1);
}

/// Sends messages to a client that reads nothing until the server closes its connection. Returns the most memory that
/// was held.
#[track_caller]
fn flood(fixture: &mut Fixture, expected: CloseReason) -> usize {
    const MOST: usize = 100_000;
    let (mut client, id) = fixture.connect();
    let (mut other, other_id) = fixture.connect();
    let message = Message::new(id, vec![7; 16 * 1024]);
    let mut held = 0;
    for _ in 0..MOST {
        fixture.send(message.clone());
        held = held.max(fixture.server.buffered());
        if fixture.server.live() < 2 {
            break;
        }
    }
    assert_eq!(fixture.state().closed, [id]);
    assert_eq!(fixture.server.counters().closed_for(expected), 1);
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    fixture.send(Message::new(other_id, *b"x"));
    assert_receives(&mut other, b"x");
    held
}

#[test]
fn slow_reader_of_messages_is_closed_at_max_pending() {
    let mut fixture = Fixture::with_config(Config {
        max_pending: 100_000,
        ..Config::default()
    });
    let held = flood(&mut fixture, CloseReason::Stalled);
    // Twice as much, since buffers grow by doubling.
    assert!((100_000..250_000).contains(&held), "{held} bytes");
}

#[test]
fn slow_reader_of_messages_is_closed_when_memory_is_scarce() {
    let mut fixture = Fixture::with_config(Config {
        max_pending: 1 << 30,
        max_buffered: 200_000,
        ..Config::default()
    });
    let held = flood(&mut fixture, CloseReason::NoMemory);
    assert!(held < 500_000, "{held} bytes");
}

#[test]
fn message_of_closed_is_sent_without_another_event() {
    let mut fixture = Fixture::new();
    let (mut first, first_id) = fixture.connect();
    let (second, second_id) = fixture.connect();
    fixture.state().farewell = Some(Message::new(first_id, *b"left"));
    drop(second);
    fixture.run_until(|state| state.closed == [second_id]);
    assert_receives(&mut first, b"left");
}

#[test]
fn timer_wakes_the_protocol_at_its_time() {
    let mut fixture = Fixture::new();
    let (mut client, id) = fixture.connect();
    let at = fixture.server.net().now() + Duration::from_millis(30);
    {
        let mut state = fixture.state();
        (state.wake_at, state.woken) = (Some(at), None);
        state.reminder = Some(Message::new(id, *b"time"));
    }
    while fixture.state().woken.is_none() {
        assert_eq!(fixture.server.run_iteration().unwrap(), None);
    }
    assert!(fixture.state().woken >= Some(at));
    assert_receives(&mut client, b"time");
}

#[test]
fn drain_without_signal_answers_input_and_exits() {
    let mut fixture = Fixture::new();
    let (mut client, id) = fixture.connect();
    let (other, other_id) = fixture.connect();
    fixture.state().farewell = Some(Message::new(other_id, *b"late"));
    client.write_all(b"hello").unwrap();
    assert!(!fixture.server.is_draining());
    fixture.server.drain();
    fixture.server.drain();
    assert!(fixture.server.is_draining());
    assert!(TcpStream::connect(fixture.address).is_err());
    // The FIN of the clients ends the connections, so nothing waits for the drain timeout.
    client.shutdown(std::net::Shutdown::Write).unwrap();
    other.shutdown(std::net::Shutdown::Write).unwrap();
    let exit = loop {
        if let Some(exit) = fixture.server.run_iteration().unwrap() {
            break exit;
        }
    };
    assert_eq!(exit, Exit::Drained);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"hello");
    let mut closed = fixture.state().closed.clone();
    closed.sort();
    assert_eq!(closed, [id, other_id]);
}

#[test]
fn drain_without_connections_exits_in_the_next_iteration() {
    let mut fixture = Fixture::new();
    fixture.server.drain();
    assert_eq!(fixture.server.run_iteration().unwrap(), Some(Exit::Drained));
}

/// Without an event, no iteration need follow in which the end could be reported.
#[test]
fn request_in_the_last_iteration_of_a_drain_does_not_hide_its_end() {
    let mut fixture = Fixture::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"ready").unwrap();
    let net = fixture.server.net();
    net.watch_fd(&theirs, Source::PROGRAM, false).unwrap();
    assert_eq!(fixture.run_iteration(), Some(Exit::Requested));
    assert_eq!(fixture.server.take_requests(), [Request::Source]);
    ours.write_all(b"again").unwrap();
    fixture.server.drain();
    assert_eq!(fixture.run_iteration(), Some(Exit::Drained));
}

#[test]
fn figures_are_those_of_the_connections_now() {
    let hour = Some(Duration::from_secs(3600));
    let mut fixture = Fixture::<false>::with_config(Config {
        idle_timeout: hour,
        max_connections: 7,
        ..Config::default()
    });
    let clients = [fixture.connect(), fixture.connect()];
    let figures = fixture.server.figures();
    assert_eq!((figures.live, figures.max_connections), (2, 7));
    assert_eq!(figures.deadlines.idle, 2);
    assert_eq!(figures.counters.opened, 2);
    assert!(!figures.is_draining);
    assert!(fixture.server.wakes_at().is_some());
    fixture.server.drain();
    let _ = fixture.run_iteration();
    let figures = fixture.server.figures();
    assert_eq!((figures.deadlines.idle, figures.deadlines.linger), (0, 2));
    assert!(figures.is_draining);
    drop(clients);
}

#[test]
fn accept_budget_of_1_admits_one_connection_per_iteration() {
    let mut fixture = Fixture::<false>::with_config(Config {
        accepts_per_iteration: 1,
        ..Config::default()
    });
    let clients = [(); 3].map(|()| TcpStream::connect(fixture.address).unwrap());
    let deadline = fixture.server.net().now() + PATIENCE;
    while fixture.server.live() < clients.len() {
        assert!(fixture.server.net().now() < deadline, "time is over");
        let before = fixture.server.live();
        assert_eq!(fixture.run_iteration(), None);
        assert!(
            fixture.server.live() <= before + 1,
            "the listener is handled once"
        );
    }
}
