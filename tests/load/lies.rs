//! Each lie is reported, exactly.

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
fn a_flipped_byte_in_every_ten_thousandth_message_is_found() {
    let count = AtomicU64::new(0);
    let server = serve(move |message| {
        if (count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(10_000) {
            message.bytes[77] ^= 0x10;
        }
        Fate::Answered
    });
    // One message more goes before the measured ones: the proof that the server accepts.
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
    assert_eq!(result.echo.sent, 30_000);
    assert_eq!(result.echo.mismatched, 3, "{result:#?}");
    assert_eq!(result.echo.received, 29_997);
    assert_eq!(result.echo.unanswered, 0);
    assert_warned(&result, "3 had other bytes than were sent");
    assert!(
        result.warnings[0].starts_with("WRONG REPLIES"),
        "the worst comes first"
    );
}

#[test]
fn another_connections_bytes_are_told_from_ones_own() {
    // By connection, the message that came last.
    let last = Mutex::new([[0; SIZE]; 2]);
    let server = serve(move |message| {
        let mut last = last.lock().unwrap();
        last[message.connection] = *message.bytes;
        // Every tenth of the first connection, when the other has long spoken.
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
    assert_eq!(result.echo.sent, 400);
    assert_eq!(result.echo.mismatched, 20, "{result:#?}");
    assert_eq!(result.echo.received, 380);
    assert_warned(&result, "20 were another connection's");
}

#[test]
fn an_answer_that_is_given_twice_is_found() {
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
        (result.echo.sent, result.echo.mismatched),
        (200, 1),
        "{result:#?}"
    );
    assert_warned(&result, "1 came twice or out of order");
}

#[test]
fn three_of_a_thousand_that_are_dropped_while_held_are_counted() {
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
fn five_messages_that_are_never_answered_are_counted() {
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
    assert_eq!(result.echo.received + 5, result.echo.sent);
    assert_eq!(result.connections.lost, 0);
    assert_warned(&result, "5 of");
}

#[test]
fn five_idle_connections_that_do_not_answer_their_probe_are_dead() {
    // Whoever is asked for a proof answers it: the probe is the next message then.
    let server = serve(|message| {
        let is_proof =
            message.number == 0 && (message.connection % 16 == 15 || message.connection == 99);
        if message.connection % 20 == 3 && !is_proof {
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
    assert_eq!(result.connections.lost, 0, "they still stand");
    assert_warned(&result, "5 idle connections stood and did not answer");
}

#[test]
fn a_server_that_refuses_after_500_is_reported_with_the_cause() {
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
    // Who waits to be accepted when the listener closes is reset; who comes later is refused.
    assert_eq!(failed.refused + failed.reset, 200, "{result:#?}");
    assert!(failed.refused > 0);
    assert_eq!(failed.total(), 200);
    assert_eq!((result.connections.lost, result.probe.alive), (0, 500));
    assert_warned(&result, "refused them");
}

#[test]
fn a_stall_shows_in_the_response_time_of_all_who_waited() {
    let turnstile = Mutex::new(0_u32);
    let server = serve(move |_| {
        let mut passed = turnstile.lock().unwrap();
        *passed += 1;
        if *passed == 1000 {
            // Everybody waits at the turnstile meanwhile: this is the lie, and not a wait of the test's.
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
        (result.echo.sent, result.echo.received),
        (3000, 3000),
        "{result:#?}"
    );
    assert!(response.p99 > 900_000, "{response:?}");
    assert!(
        response.p90 > 500_000,
        "a third of them waited: {response:?}"
    );
    // Ten were on their way when it stalled: one in 300.
    assert!(service.p99 < 500_000, "{service:?}");
    assert!(service.max > 900_000, "{service:?}");
    assert_warned(&result, "messages waited to be sent");
}

#[test]
fn a_server_that_accepts_nothing_is_named_a_backlog_overflow() {
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
    // One more than the backlog fits (listen(2), tcp(7)).
    assert_eq!(result.connections.opened, 5, "{result:#?}");
    assert_eq!(result.connections.failed.timeout, 15, "{result:#?}");
    assert!(result.connect.retransmitted >= 15, "{result:#?}");
    assert_eq!((result.probe.asked, result.probe.dead), (5, 5));
    assert_warned(&result, "BACKLOG OVERFLOW");
}
