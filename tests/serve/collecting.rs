//! Protocols that answer nothing: `discard`, and `collect`, whose records go to standard output.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::client::{Random, assert_reset, connect, read_to_fin, reset};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, in_shell, serve_arguments};
use crate::signals::wait_for_second_request;

/// A daemon that collects, and the end of the pipe that its standard output goes to.
fn collecting(extra: &[&str]) -> (Daemon, io::PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = echoloop();
    let arguments = [&["-v", "-p", "collect"], extra].concat();
    command.args(serve_arguments(&["127.0.0.1:0"], &arguments));
    command.stdout(writer);
    (Daemon::launch(command, 1), reader)
}

/// Sends a record: everything, and FIN.
fn send(daemon: &Daemon, record: &[u8]) -> TcpStream {
    let mut stream = connect(daemon.address());
    stream.write_all(record).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream
}

#[test]
fn discard_takes_everything_and_says_nothing() {
    let daemon = Daemon::start(&["-v", "-p", "discard"]);
    let mut stream = send(&daemon, &Random(1).bytes(1_000_000));
    assert_eq!(read_to_fin(&mut stream), b"");
    let closed = daemon.closed(1);
    assert_eq!(closed, "peer closed, 1000000 bytes in, 0 out");
}

#[test]
fn a_record_goes_to_standard_output_as_received_and_then_the_log_names_its_peer() {
    let (mut daemon, mut output) = collecting(&[]);
    let record = b"one\0record\r\nwithout an end".as_slice();
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
    assert!(daemon.closed(1).starts_with("peer closed, "));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    let mut written = Vec::new();
    output.read_to_end(&mut written).unwrap();
    assert_eq!(written, record);
}

#[test]
fn records_of_many_at_once_are_not_mixed() {
    let (mut daemon, mut output) = collecting(&[]);
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
fn while_nobody_reads_the_records_their_senders_wait_and_the_loop_does_not() {
    let (daemon, mut output) = collecting(&[]);
    // More than a pipe holds.
    let record = Random(2).bytes(500_000);
    let mut first = send(&daemon, &record);
    let mut written = vec![0; record.len() + 10];
    let (begun, rest) = written.split_at_mut(1);
    output.read_exact(begun).unwrap();
    // The first is under way.
    let mut second = send(&daemon, b"the second");
    // A collection that is too long is turned away meanwhile, so the loop runs.
    let mut third = connect(daemon.address());
    let _ = third.write_all(&vec![0; 2_000_000]);
    let _ = third.shutdown(Shutdown::Write);
    let closed = daemon.closed(3);
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
fn records_that_wait_are_held_within_the_memory_for_all() {
    let (daemon, mut output) = collecting(&["--max-buffered", "1MiB", "--max-message", "600kB"]);
    let record = Random(3).bytes(500_000);
    let expected = record.repeat(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // Who finds no memory is reset, and tries again, as a sender of records does.
                eventually(2 * PATIENCE, "the record is taken", || {
                    let mut stream = connect(daemon.address());
                    let sent = stream.write_all(&record);
                    let sent = sent.and_then(|()| stream.shutdown(Shutdown::Write));
                    sent.is_ok() && stream.read(&mut [0]).is_ok_and(|count| count == 0)
                });
            });
        }
        let mut written = vec![0; expected.len()];
        output.read_exact(&mut written).unwrap();
        assert!(written == expected, "eight records, each in one piece");
    });
}

#[test]
fn who_resets_leaves_no_record() {
    let (daemon, mut output) = collecting(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"half of it").unwrap();
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    reset(stream);
    assert!(daemon.closed(serial).starts_with("peer reset, "));
    drop(send(&daemon, b"whole"));
    let mut written = [0; 5];
    output.read_exact(&mut written).unwrap();
    assert_eq!(&written, b"whole");
}

/// A FIN is the receipt for a record. Who saw one could not know that the record is nowhere.
#[test]
fn who_sends_too_much_or_is_silent_for_too_long_or_comes_too_late_is_reset_and_not_told_fin() {
    let (daemon, _output) = collecting(&["--max-message", "100"]);
    assert_reset(send(&daemon, &[7; 101]));
    assert!(daemon.closed(1).starts_with("too long, "));

    let (daemon, _output) = collecting(&["--idle-timeout", "100ms"]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"half of it").unwrap();
    assert_reset(stream);
    assert!(daemon.closed(1).starts_with("idle, "));

    let (mut daemon, _output) = collecting(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"half of it").unwrap();
    daemon.serial_of(stream.local_addr().unwrap());
    daemon.signal(Signal::SIGTERM);
    assert_reset(stream);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));

    let (daemon, _output) = collecting(&["--max-connections", "1"]);
    let _first = connect(daemon.address());
    daemon.wait_for_line("open", |line| line.contains("#1 open"));
    // On a busy machine the reset comes before connect has returned.
    match TcpStream::connect(daemon.address()) {
        Ok(stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_reset(stream);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_full_disk_is_told_and_whose_record_it_did_not_take_is_reset() {
    let mut command = echoloop();
    let arguments = ["--protocol", "collect"];
    command.args(serve_arguments(&["127.0.0.1:0"], &arguments));
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let mut daemon = Daemon::launch(command, 1);
    assert_reset(send(&daemon, b"for which there is no room"));
    assert_eq!(daemon.wait_exit(PATIENCE), Some(1));
    let lines = daemon.lines();
    let last = lines.last().unwrap();
    assert!(last.contains("No space left on device"), "{last}");
    assert!(last.contains("make room on the disk"), "{last}");
}

#[test]
fn that_all_records_will_be_lost_is_said_at_the_start() {
    let lost = |line: &str| line.contains("is /dev/null") && line.contains("lost");
    // With standard output closed, the runtime opens /dev/null in its place.
    let closed = serve_arguments(&["127.0.0.1:0"], &["-p", "collect"]);
    let daemon = Daemon::launch(in_shell("exec \"$0\" \"$@\" >&-", &closed), 1);
    daemon.wait_for_line("all records are lost", lost);
    let (daemon, _output) = collecting(&[]);
    assert!(!daemon.lines().iter().any(|line| lost(line)));
}

#[test]
fn a_second_signal_resets_those_whose_records_wait() {
    let (mut daemon, mut output) = collecting(&["--drain-timeout", "60s"]);
    // More than a pipe holds.
    let first = send(&daemon, &vec![7; 500_000]);
    output.read_exact(&mut [0]).expect("it is under way");
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
fn a_file_takes_records_one_behind_the_other() {
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
fn when_nobody_will_ever_read_the_records_the_daemon_says_so_and_ends() {
    let (mut daemon, output) = collecting(&[]);
    drop(output);
    let _stream = send(&daemon, b"for nobody");
    assert_eq!(daemon.wait_exit(PATIENCE), Some(1));
    let lines = daemon.lines();
    let last = lines.last().unwrap();
    assert!(last.contains("standard output"), "{last}");
}
