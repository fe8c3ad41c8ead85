//! Tests of whole traces, and of arbitrary text.

use super::*;
use crate::net::{Opening, Readiness};
use proptest::prelude::*;
use std::io::ErrorKind;

fn strace(lines: &str) -> Strace {
    let mut strace = Strace::default();
    for line in lines.lines() {
        strace.add(line.trim());
    }
    strace
}

/// The events of a connection.
fn events(strace: &Strace, serial: u32) -> Vec<TraceKind> {
    let connections = strace.connections();
    let events = connections.events.iter();
    let own = events.filter(|event| event.serial == serial);
    own.map(|event| event.kind).collect()
}

const EPOLL: &str = r#"
    7 100.000000 execve("/usr/bin/server", ["server"], 0x7ffd /* 20 vars */) = 0 <0.000100>
    7 100.100000 epoll_create1(EPOLL_CLOEXEC) = 3 <0.000001>
    7 100.100100 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4 <0.000001>
    7 100.200000 epoll_wait(3, [{events=EPOLLIN, data={u32=4, u64=4}}], 64, -1) = 1 <0.500000>
    7 100.700100 accept4(4, {sa_family=AF_INET, sin_port=htons(4242), sin_addr=inet_addr("127.0.0.1")}, [128 => 16], SOCK_NONBLOCK) = 8 <0.000020>
    7 100.700200 accept4(4, 0x7ffd, [128], SOCK_NONBLOCK) = -1 EAGAIN (Resource temporarily unavailable) <0.000010>
    7 100.700300 epoll_ctl(3, EPOLL_CTL_ADD, 8, {events=EPOLLIN|EPOLLET, data={u32=8, u64=8}}) = 0 <0.000010>
    7 100.700400 epoll_wait(3, [{events=EPOLLIN|EPOLLRDHUP, data={u32=8, u64=8}}], 64, 1500) = 1 <0.100000>
    7 100.800500 recvfrom(8, "hello) = 9 <1.0>", 65536, 0, NULL, NULL) = 6 <0.000030>
    7 100.800600 sendto(8, "hello", 6, MSG_NOSIGNAL, NULL, 0) = 6 <0.000040>
    7 100.800700 recvfrom(8, 0x7ffd, 65536, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.000005>
    7 100.800800 recvfrom(8, "", 65536, 0, NULL, NULL) = 0 <0.000005>
    7 100.800900 close(8) = 0 <0.000010>
    7 100.900000 accept4(4, {sa_family=AF_INET6, sin6_port=htons(99), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, [128 => 28], SOCK_NONBLOCK) = 8 <0.000020>
    7 101.000000 read(8, "x", 10) = 1 <0.000010>
    7 101.100000 +++ exited with 0 +++
"#;

#[test]
fn entries_have_their_text_connection_and_events() {
    let mut strace = Strace::with_entries();
    for line in [
        "7 1.0 accept4(4, NULL, NULL, 0) = 8 <0.1>",
        "7 1.2 recvfrom(8,  <unfinished ...>",
        "9 1.3 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0 <0.1>",
        "7 1.4 <... recvfrom resumed>\"a <b>\", 9, 0, NULL, NULL) = 5 <0.2>",
        "7 1.5 setsockopt(8, SOL_TCP, TCP_NODELAY, [1], 4) = 0 <0.1>",
        "7 1.6 --- SIGPIPE {si_signo=SIGPIPE} ---",
        "7 1.7 +++ killed by SIGPIPE +++",
    ] {
        strace.add(line);
    }
    let entries = strace.take_entries();
    let shown = entries.iter().map(|entry| {
        let events: Vec<_> = entry.events.iter().map(|event| event.kind).collect();
        (entry.text.as_str(), entry.serial, events)
    });
    let option = |fd: u32| format!("setsockopt({fd}, SOL_TCP, TCP_NODELAY, [1], 4) = 0");
    let (of_listener, of_connection) = (option(4), option(8));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            (
                "accept4(4, NULL, NULL, 0) = 8",
                0,
                vec![
                    TraceKind::Wait(u32::MAX),
                    TraceKind::Woke(1),
                    TraceKind::Opened(Opening::Accepted)
                ]
            ),
            (
                "recvfrom(8, \"a <b>\", 9, 0, NULL, NULL) = 5",
                0,
                vec![TraceKind::Read(5)]
            ),
            (&of_listener, 0, vec![]),
            (&of_connection, 1, vec![]),
            ("--- SIGPIPE {si_signo=SIGPIPE} ---", 0, vec![]),
            ("+++ killed by SIGPIPE +++", 0, vec![]),
        ]
    );
}

#[test]
fn poll_without_a_time_to_wait_is_no_wait() {
    for question in [
        "poll([{fd=0, events=0}, {fd=1, events=0}, {fd=2, events=0}], 3, 0) = 0 (Timeout)",
        "ppoll([{fd=4, events=POLLIN}], 1, {tv_sec=0, tv_nsec=0}, NULL, 8) = 0 (Timeout)",
        "select(5, [4], NULL, NULL, {tv_sec=0, tv_usec=0}) = 0 (Timeout)",
    ] {
        let lines = format!(
            "7 100.0 {question} <0.000001>\n7 101.0 accept4(4, NULL, NULL, 0) = 8 <0.500000>"
        );
        let strace = strace(&lines);
        let waits = &strace.processes[&7].timeline.iterations;
        assert_eq!(waits.len(), 1, "{question}");
        assert_eq!(waits[0].waited(), Duration::from_millis(500));
    }
}

#[test]
fn epoll_server_has_waits_and_connections() {
    let strace = strace(EPOLL);
    assert_eq!(strace.malformed(), (0, None));
    let connections = strace.connections();
    let first = &connections.connections[&1];
    assert_eq!(first.peer.unwrap().to_string(), "127.0.0.1:4242");
    assert_eq!((first.bytes_in, first.bytes_out), (6, 6));
    assert_eq!((first.reads, first.writes, first.would_block), (1, 1, 1));
    let second = &connections.connections[&2];
    assert_eq!(second.peer.unwrap().to_string(), "[::1]:99");
    assert!(second.closed.is_some(), "its process has ended");
    let readiness = Readiness::READABLE | Readiness::DRAIN;
    assert_eq!(
        events(&strace, 1),
        [
            TraceKind::Opened(Opening::Accepted),
            TraceKind::Ready {
                readiness,
                source: 0
            },
            TraceKind::Read(6),
            TraceKind::Write(6),
            TraceKind::ReadFailed(ErrorKind::WouldBlock),
            TraceKind::Eof,
            TraceKind::Closed(Ending::Fin),
        ]
    );
    let process = &strace.processes[&7];
    assert_eq!(process.program.as_deref(), Some("server"));
    let iterations = &process.timeline.iterations;
    assert_eq!(iterations.len(), 2);
    assert_eq!(iterations[0].waited(), Duration::from_millis(500));
    assert_eq!(iterations[0].timeout, None);
    assert_eq!(iterations[1].timeout, Some(Duration::from_millis(1500)));
}

#[test]
fn interrupted_lines_are_joined_per_process() {
    let strace = strace(
        r#"
        [pid  7] 5.000000 accept4(3,  <unfinished ...>
        [pid  8] 5.100000 read(9,  <unfinished ...>
        strace: Process 10 attached
        [pid  7] 5.500000 <... accept4 resumed>{sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("10.1.2.3")}, [16], 0) = 9 <0.500000>
        [pid  8] 5.600000 <... read resumed> "abc", 10) = 3 <0.500000>
        [pid  7] 5.700000 read(9, "abcd", 10) = 4 <0.000100>
        "#,
    );
    assert_eq!(strace.malformed(), (0, None));
    let connections = strace.connections();
    assert_eq!(
        connections.connections.len(),
        1,
        "process 8 has another table"
    );
    assert_eq!(connections.connections[&1].bytes_in, 4);
    let waits = &strace.processes[&7].timeline.iterations;
    assert_eq!(
        waits[0].waited(),
        Duration::from_millis(500),
        "accept blocks"
    );
}

#[test]
fn child_that_has_the_socket_serves_the_connection() {
    let strace = strace(
        r#"
        1 1.0 accept(3, NULL, NULL) = 4 <0.1>
        1 1.2 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 2 <0.1>
        1 1.4 close(4) = 0 <0.1>
        2 1.5 dup2(4, 0) = 0 <0.1>
        2 1.6 close(4) = 0 <0.1>
        2 1.7 read(0, "abc", 4096) = 3 <3.5>
        2 5.4 write(0, "abc", 3) = 3 <0.1>
        2 5.6 +++ killed by SIGKILL +++
        "#,
    );
    let connections = strace.connections();
    let track = &connections.connections[&1];
    assert_eq!((track.bytes_in, track.bytes_out), (3, 3));
    let closed = track.closed.unwrap().0;
    assert_eq!(closed, Time::from_nanos(4_600_000_000), "with the child");
    let mut events = connections.events.iter();
    let read = events.find(|event| event.kind == TraceKind::Read(3));
    let took = read.unwrap().duration();
    assert!(took.as_micros().abs_diff(3_500_000) <= 1, "{took:?}");
}

#[test]
fn reused_fd_is_another_connection() {
    let strace = strace(
        "1 1.0 accept(3, NULL, NULL) = 4 <0.1>
         1 2.0 accept(3, NULL, NULL) = 4 <0.1>
         1 3.0 shutdown(4, SHUT_WR) = 0 <0.1>
         1 4.0 openat(AT_FDCWD, \"f\", O_RDONLY) = 4 <0.1>
         1 5.0 read(4, \"abc\", 9) = 3 <0.1>",
    );
    let opened = TraceKind::Opened(Opening::Accepted);
    let closed = TraceKind::Closed(Ending::Fin);
    assert_eq!(events(&strace, 1), [opened, closed]);
    assert_eq!(events(&strace, 2), [opened, TraceKind::FinSent, closed]);
}

#[test]
fn attached_trace_recognizes_sockets_by_their_calls() {
    let strace = strace(
        "1 1.0 recvfrom(9, \"abc\", 10, 0, NULL, NULL) = 3 <0.1>
         1 1.5 read(10, \"abc\", 10) = 3 <0.1>
         1 2.0 socketpair(AF_UNIX, SOCK_STREAM, 0, [5, 6]) = 0 <0.1>
         1 2.5 sendto(5, \"abc\", 3, 0, NULL, 0) = 3 <0.1>",
    );
    assert_eq!(strace.connections().bytes(), (3, 0));
}

#[test]
fn malformed_lines_are_counted() {
    let strace = strace(
        "1 1.0 close(4) = 0 <0.1>
         nonsense
         1 1.0 <... read resumed>) = 3 <0.1>
         1 1.0 read(4,",
    );
    assert_eq!(strace.malformed(), (3, Some(2)));
    assert!(!strace.is_empty());
}

/// Pieces of lines, so that many of the generated lines are nearly right.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "1 ",
            "[pid 2] ",
            "1.000001 ",
            "17.5 ",
            "epoll_wait(3, ",
            "[{events=EPOLLIN, data={u32=4, u64=",
            "accept4(",
            "read(",
            "sendto(4, \"",
            "\\\"",
            "\"",
            ")",
            "]",
            "}",
            " = ",
            "= 4",
            "= -1 EAGAIN",
            "<0.1>",
            " <unfinished ...>",
            "<... read resumed>",
            "+++ exited with 0 +++",
            "clone(flags=CLONE_FILES",
            "close_range(",
            "-9223372036854775808",
            "99999999999999999999",
            ", ",
            "dup2(4, 5",
            "\u{fffd}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn arbitrary_lines_never_panic(
        lines in prop::collection::vec(prop::collection::vec(piece(), 0..8), 0..16)
    ) {
        let mut strace = Strace::default();
        for line in &lines {
            strace.add(&line.concat());
        }
        let json = strace.chrome_trace();
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert!(parsed["traceEvents"].is_array());
    }
}
