//! Every fault of a server is reported with exact counts.

use crate::run::{Running, echoloop, result};
use crate::servers::{Fate, SIZE, serve, serve_some};
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

#[track_caller]
fn assert_warned(result: &echoloop::load::LoadResult, words: &str) {
    let warned = result
        .warnings
        .iter()
        .any(|warning| warning.contains(words));
    assert!(warned, "no {words:?} in {:#?}", result.warnings);
}

#[test]
fn flipped_bit_in_every_10000th_message_is_found() {
    let count = AtomicU64::new(0);
    let server = serve(move |message| {
        if (count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(10_000) {
            message.bytes[77] ^= 0x10;
        }
        Fate::Answered
    });
    let result = result(&[
        &server.to_string(),
        "--active",
        "4",
        "--rate",
        "10k",
        "--duration",
        "3s",
        "--warmup",
        "0",
    ]);
    assert_eq!(result.echo.due, 30_000);
    assert_eq!(result.echo.mismatched, 3, "{result:#?}");
    assert_eq!(result.echo.response_time_us.count, 29_997);
    assert_eq!(result.echo.unanswered, 0);
    assert_warned(&result, "WRONG REPLIES: 3 corrupted");
    assert!(
        result.warnings[0].starts_with("WRONG REPLIES"),
        "the worst is first"
    );
}

#[test]
fn reply_of_another_connection_is_found() {
    // The last message of each connection.
    let last = Mutex::new([[0; SIZE]; 2]);
    let server = serve(move |message| {
        let mut last = last.lock().unwrap();
        last[message.connection] = *message.bytes;
        // Every tenth on the first connection; by then the other has sent messages.
        if message.connection == 0 && message.number % 10 == 9 {
            *message.bytes = last[1];
        }
        Fate::Answered
    });
    let result = result(&[
        &server.to_string(),
        "--active",
        "2",
        "--rate",
        "400",
        "--duration",
        "1s",
        "--warmup",
        "0",
    ]);
    assert_eq!(result.echo.due, 400);
    assert_eq!(result.echo.mismatched, 20, "{result:#?}");
    assert_eq!(result.echo.response_time_us.count, 380);
    assert_warned(&result, "20 of another connection");
}

#[test]
fn repeated_reply_is_found() {
    let previous = Mutex::new([0; SIZE]);
    let server = serve(move |message| {
        let mut previous = previous.lock().unwrap();
        if message.number == 50 {
            *message.bytes = *previous;
        }
        *previous = *message.bytes;
        Fate::Answered
    });
    let result = result(&[
        &server.to_string(),
        "--active",
        "1",
        "--rate",
        "200",
        "--duration",
        "1s",
        "--warmup",
        "0",
    ]);
    assert_eq!(
        (result.echo.due, result.echo.mismatched),
        (200, 1),
        "{result:#?}"
    );
    assert_warned(&result, "1 repeated or out of order");
}

#[test]
fn three_of_a_thousand_lost_connections_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let held = thread::spawn(move || {
        let streams = listener.incoming().take(1000).map(Result::unwrap);
        streams.inspect(echo_in_the_background).collect::<Vec<_>>()
    });
    let load = echoloop(&[
        "load",
        &server,
        "--idle",
        "1k",
        "--duration",
        "3s",
        "--warmup",
        "0",
        "-o",
        "json",
    ]);
    let mut load = Running::start(load);
    load.wait_for_the_first_second();
    let held = held.join().unwrap();
    for index in [0, 500, 999] {
        held[index].shutdown(std::net::Shutdown::Both).unwrap();
    }
    let result = load.finish().result();
    assert_eq!(result.connections.opened, 1000);
    assert_eq!(result.connections.lost, 3, "{result:#?}");
    assert_eq!(result.probe.asked, 1000);
    assert_eq!(
        (result.probe.alive, result.probe.dead),
        (997, 3),
        "{result:#?}"
    );
    let last = result.intervals.last().unwrap();
    assert_eq!((last.held, last.lost), (997, 3), "{result:#?}");
    assert_warned(&result, "3 of 1000 connections were lost");
}

fn echo_in_the_background(stream: &std::net::TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    let mut writer = stream.try_clone().unwrap();
    let thread = thread::Builder::new().stack_size(64 * 1024);
    thread
        .spawn(move || std::io::copy(&mut reader, &mut writer))
        .unwrap();
}

#[test]
fn five_unanswered_messages_are_counted() {
    let server = serve(|message| {
        if message.connection < 5 && message.number == 20 {
            Fate::Ignored
        } else {
            Fate::Answered
        }
    });
    let result = result(&[
        &server.to_string(),
        "--active",
        "20",
        "--duration",
        "2s",
        "--warmup",
        "0",
    ]);
    assert_eq!(result.echo.unanswered, 5, "{result:#?}");
    assert_eq!(result.echo.missing, 5);
    let bounds = &result.echo.response_time_lower_bounds;
    assert_eq!(bounds.count, 5);
    assert!(bounds.is_bound("max"), "{bounds:?}");
    assert!(result.echo.response_time_us.max > 1_000_000, "{result:#?}");
    assert_eq!(result.connections.lost, 0);
    assert_warned(&result, "5 of");
}

#[test]
fn five_unanswered_probes_are_dead_connections() {
    let server = serve(|message| {
        if message.connection % 20 == 3 {
            Fate::Ignored
        } else {
            Fate::Answered
        }
    });
    let result = result(&[
        &server.to_string(),
        "--idle",
        "100",
        "--duration",
        "1s",
        "--warmup",
        "0",
        "--connect-timeout",
        "2s",
    ]);
    assert_eq!(
        (result.probe.asked, result.probe.alive, result.probe.dead),
        (100, 95, 5),
        "{result:#?}"
    );
    assert_eq!(result.connections.lost, 0, "they are still established");
    assert_warned(
        &result,
        "5 idle connections were established and did not answer",
    );
}

#[test]
fn server_that_refuses_after_500_is_reported_with_the_cause() {
    let server = serve_some(500, |_| Fate::Answered);
    let result = result(&[
        &server.to_string(),
        "--idle",
        "700",
        "--duration",
        "1s",
        "--warmup",
        "0",
    ]);
    let failed = &result.connections.failed;
    assert_eq!(result.connections.opened, 500, "{result:#?}");
    // Closing the listener resets connections in the accept queue; later ones are refused.
    assert_eq!(failed.refused + failed.reset, 200, "{result:#?}");
    assert!(failed.refused > 0);
    assert_eq!(failed.total(), 200);
    assert_eq!((result.connections.lost, result.probe.alive), (0, 500));
    assert_warned(&result, "refused. No process listens");
}

#[test]
fn stall_shows_in_the_response_time_of_queued_messages() {
    let gate = Mutex::new(0_u32);
    let server = serve(move |_| {
        let mut passed = gate.lock().unwrap();
        *passed += 1;
        if *passed == 1000 {
            // The fault: all connections are stalled meanwhile.
            thread::sleep(Duration::from_secs(1));
        }
        Fate::Answered
    });
    let result = result(&[
        &server.to_string(),
        "--active",
        "10",
        "--rate",
        "1k",
        "--duration",
        "3s",
        "--warmup",
        "0",
    ]);
    let (response, service) = (&result.echo.response_time_us, &result.echo.service_time_us);
    assert_eq!(
        (result.echo.due, result.echo.unanswered),
        (3000, 0),
        "{result:#?}"
    );
    assert!(response.p99 > 900_000, "{response:?}");
    assert!(
        response.p90 > 500_000,
        "a third of them were queued: {response:?}"
    );
    // Ten were in flight when it stalled: one in 300.
    assert!(service.p99 < 500_000, "{service:?}");
    assert!(service.max > 900_000, "{service:?}");
    assert_warned(&result, "messages were queued before they were sent");
}

#[test]
fn server_that_accepts_nothing_is_a_backlog_overflow() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&SockAddr::from(any)).unwrap();
    socket.listen(4).unwrap();
    let server = socket.local_addr().unwrap().as_socket().unwrap();
    let result = result(&[
        &server.to_string(),
        "--idle",
        "20",
        "--duration",
        "1s",
        "--warmup",
        "0",
        "--connect-timeout",
        "2s",
    ]);
    // The accept queue holds one more than the backlog (listen(2), tcp(7)).
    assert_eq!(result.connections.opened, 5, "{result:#?}");
    assert_eq!(result.connections.failed.timeout, 15, "{result:#?}");
    assert!(result.connect.retransmitted >= 15, "{result:#?}");
    assert_eq!((result.probe.asked, result.probe.dead), (5, 5));
    assert_warned(&result, "BACKLOG OVERFLOW");
    assert_warned(&result, "the server accepted no connection within 2 s");
}
