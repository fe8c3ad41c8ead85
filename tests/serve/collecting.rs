//! Protocols without replies: `discard`, and `collect`, which writes records to standard output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::client::{Random, assert_refused, assert_reset, connect, read_to_fin, reset};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, in_shell, serve_arguments};
use crate::signals::wait_for_second_request;

/// A daemon with `--protocol collect`, and the reading end of the pipe on its standard output.
pub(crate) fn collector(extra: &[&str]) -> (Daemon, io::PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = echoloop();
    let arguments = [&["-v", "-p", "collect"], extra].concat();
    command.args(serve_arguments(&["127.0.0.1:0"], &arguments));
    command.stdout(writer);
    (Daemon::launch(command, 1), reader)
}

/// Sends a record and FIN.
fn send(daemon: &Daemon, record: &[u8]) -> TcpStream {
    let mut stream = connect(daemon.address());
    stream.write_all(record).unwrap();
    match stream.shutdown(Shutdown::Write) {
        // A refused connection has been reset already.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
        shut_down => shut_down.unwrap(),
    }
    stream
}

#[test]
fn discard_reads_everything_and_returns_only_fin() {
    let daemon = Daemon::start(&["-v", "-p", "discard"]);
    let mut stream = send(&daemon, &Random(1).bytes(1_000_000));
    assert_eq!(read_to_fin(&mut stream), b"");
    let closed = daemon.close_summary(1);
    assert_eq!(closed, "peer closed, 1000000 bytes in, 0 out");
}

#[test]
fn record_is_written_to_stdout_unchanged_and_logged_with_peer() {
    let (mut daemon, mut output) = collector(&[]);
    let record = b"one\0record\r\nwithout a newline".as_slice();
    let mut stream = connect(daemon.address());
    for piece in record.chunks(5) {
        stream.write_all(piece).unwrap();
    }
    let peer = stream.local_addr().unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"");
    let line = daemon.wait_for_line("collected", |line| line.contains("collected"));
    let expected = format!("#1 collected {} bytes from {peer}", record.len());
    assert!(line.ends_with(&expected), "{line}");
    assert!(daemon.close_summary(1).starts_with("peer closed, "));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    let mut written = Vec::new();
    output.read_to_end(&mut written).unwrap();
    assert_eq!(written, record);
}

#[test]
fn concurrent_records_are_not_interleaved() {
    let (mut daemon, mut output) = collector(&[]);
    let reader = std::thread::spawn(move || {
        let mut written = Vec::new();
        output.read_to_end(&mut written).unwrap();
        written
    });
    std::thread::scope(|scope| {
        for letter in b'a'..=b'p' {
            let daemon = &daemon;
            scope.spawn(move || read_to_fin(&mut send(daemon, &vec![letter; 200_000])));
        }
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    let mut written = reader.join().unwrap();
    assert_eq!(written.len(), 16 * 200_000);
    let records = written.chunk_by(|a, b| a == b);
    assert!(records.clone().all(|record| record.len() == 200_000));
    written.dedup();
    written.sort_unstable();
    assert_eq!(written, (b'a'..=b'p').collect::<Vec<u8>>());
}

#[test]
fn blocked_stdout_delays_fin_but_not_the_event_loop() {
    let (daemon, mut output) = collector(&[]);
    // Larger than a pipe buffer.
    let record = Random(2).bytes(500_000);
    let mut first = send(&daemon, &record);
    let mut written = vec![0; record.len() + 10];
    let (first_byte, rest) = written.split_at_mut(1);
    // The first record is partly written.
    output.read_exact(first_byte).unwrap();
    let mut second = send(&daemon, b"the second");
    // Meanwhile the daemon closes a connection whose record is too long: the loop is not blocked.
    let mut third = connect(daemon.address());
    let _ = third.write_all(&vec![0; 2_000_000]);
    let _ = third.shutdown(Shutdown::Write);
    let closed = daemon.close_summary(3);
    assert!(closed.starts_with("too long, "), "{closed}");
    for waiting in [&mut first, &mut second] {
        waiting
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let error = waiting.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    output.read_exact(rest).unwrap();
    assert_eq!(written, [&record[..], b"the second"].concat());
    assert_eq!(read_to_fin(&mut first), b"");
    assert_eq!(read_to_fin(&mut second), b"");
}

#[test]
fn pending_records_stay_within_max_buffered() {
    let (daemon, mut output) = collector(&["--max-buffered", "1MiB", "--max-message", "600kB"]);
    let record = Random(3).bytes(500_000);
    let expected = record.repeat(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // A client for which there is no memory is reset; it retries.
                eventually(2 * PATIENCE, "the record is acknowledged by FIN", || {
                    let mut stream = connect(daemon.address());
                    let sent = stream.write_all(&record);
                    let sent = sent.and_then(|()| stream.shutdown(Shutdown::Write));
                    sent.is_ok() && stream.read(&mut [0]).is_ok_and(|count| count == 0)
                });
            });
        }
        let mut written = vec![0; expected.len()];
        output.read_exact(&mut written).unwrap();
        assert!(written == expected, "eight records, none interleaved");
    });
}

#[test]
fn reset_before_fin_writes_no_record() {
    let (daemon, mut output) = collector(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"half of it").unwrap();
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    reset(stream);
    assert!(daemon.close_summary(serial).starts_with("peer reset, "));
    drop(send(&daemon, b"whole"));
    let mut written = [0; 5];
    output.read_exact(&mut written).unwrap();
    assert_eq!(&written, b"whole");
}

/// FIN acknowledges a record: a client whose record was not written must get RST.
#[test]
fn oversized_idle_draining_or_refused_record_gets_rst_not_fin() {
    let (daemon, _output) = collector(&["--max-message", "100"]);
    assert_reset(send(&daemon, &[7; 101]));
    assert!(daemon.close_summary(1).starts_with("too long, "));

    let (daemon, _output) = collector(&["--idle-timeout", "100ms"]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"half of it").unwrap();
    assert_reset(stream);
    assert!(daemon.close_summary(1).starts_with("idle, "));

    let (mut daemon, _output) = collector(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"half of it").unwrap();
    daemon.serial_of(stream.local_addr().unwrap());
    daemon.signal(Signal::SIGTERM);
    assert_reset(stream);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));

    let (daemon, _output) = collector(&["--max-connections", "1"]);
    let _first = connect(daemon.address());
    daemon.wait_for_line("open", |line| line.contains("#1 open"));
    assert_refused(daemon.address());
}

#[test]
fn full_disk_resets_the_client_and_exits_1_with_the_reason() {
    let mut command = echoloop();
    let arguments = ["--protocol", "collect"];
    command.args(serve_arguments(&["127.0.0.1:0"], &arguments));
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut daemon = Daemon::launch(command, 1);
    assert_reset(send(&daemon, b"more than the disk takes"));
    assert_eq!(daemon.wait_exit(PATIENCE), Some(1));
    let lines = daemon.lines();
    let last = lines.last().unwrap();
    assert!(last.contains("No space left on device"), "{last}");
    assert!(last.contains("make room on the disk"), "{last}");
}

#[test]
fn collect_with_stdout_closed_warns_at_startup() {
    let lost = |line: &str| line.contains("is /dev/null") && line.contains("lost");
    // If standard output is closed, the Rust runtime opens /dev/null instead.
    let closed = serve_arguments(&["127.0.0.1:0"], &["-p", "collect"]);
    let daemon = Daemon::launch(in_shell("exec \"$0\" \"$@\" >&-", &closed), 1);
    daemon.wait_for_line("all records are lost", lost);
    let (daemon, _output) = collector(&[]);
    assert!(!daemon.lines().iter().any(|line| lost(line)));
}

#[test]
fn second_signal_resets_clients_with_pending_records() {
    let (mut daemon, mut output) = collector(&["--drain-timeout", "60s"]);
    // Larger than a pipe buffer.
    let first = send(&daemon, &vec![7; 500_000]);
    output
        .read_exact(&mut [0])
        .expect("the first record is partly written");
    let second = send(&daemon, b"the second");
    daemon.signal(Signal::SIGTERM);
    wait_for_second_request(&daemon);
    daemon.signal(Signal::SIGTERM);
    for stream in [first, second] {
        assert_reset(stream);
    }
    assert_eq!(daemon.wait_exit(PATIENCE), Some(1));
    drop(output);
}

#[test]
fn records_are_appended_to_a_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("received");
    let mut command = echoloop();
    let arguments = ["--protocol", "collect"];
    command.args(serve_arguments(&["127.0.0.1:0"], &arguments));
    command.stdout(File::create(&path).unwrap());
    let daemon = Daemon::launch(command, 1);
    for record in ["one ", "two ", ""] {
        let mut stream = send(&daemon, record.as_bytes());
        assert_eq!(read_to_fin(&mut stream), b"");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"one two ");
}

#[test]
fn broken_stdout_pipe_is_logged_and_exits_1() {
    let (mut daemon, output) = collector(&[]);
    drop(output);
    let mut streams = Vec::new();
    // A process that another test starts has a copy of the pipe's end until it executes its program.
    eventually(PATIENCE, "the daemon exits", || {
        if let Ok(mut stream) = TcpStream::connect(daemon.address()) {
            let _ = stream.write_all(b"without a reader");
            let _ = stream.shutdown(Shutdown::Write);
            streams.push(stream);
        }
        !daemon.is_running()
    });
    assert_eq!(daemon.wait_exit(PATIENCE), Some(1));
    let lines = daemon.lines();
    let last = lines.last().unwrap();
    assert!(last.contains("standard output"), "{last}");
}
