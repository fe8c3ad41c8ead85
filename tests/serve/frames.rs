//! `--protocol frame:N`: Erlang's `{packet, N}` as a client, and invalid input.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::client::{assert_reads, connect, read_to_fin};
use crate::foreign::{PYTHON, assert_client_received, command, script};
use crate::harness::Daemon;
use crate::tools::{have_tool, run, run_within};

/// Fifty concurrent Erlang clients with `{packet, N}`, each with messages of many sizes up to the largest for N bytes.
#[track_caller]
fn assert_erlang_receives_all(packet: &str, protocol: &str, receiving: &str, messages: usize) {
    if !have_tool("escript") {
        return;
    }
    let script = script("packets.escript");
    let daemon = Daemon::start(&["--protocol", protocol]);
    let port = daemon.address().port().to_string();
    let erlang = command("escript", &[&script, &port, packet, receiving, "50"]);
    let erlang = run_within(Duration::from_secs(60), erlang, b"");
    let expected = format!("{} messages received\n", 50 * messages);
    assert_client_received(&erlang, expected.as_bytes());
}

#[test]
fn erlang_with_packet_1_receives_every_frame() {
    assert_erlang_receives_all("1", "frame:1", "active", 3 + 201);
    assert_erlang_receives_all("1", "frame:1", "passive", 3 + 201);
}

#[test]
fn erlang_with_packet_2_receives_every_frame() {
    assert_erlang_receives_all("2", "frame:2", "active", 4 + 201);
    assert_erlang_receives_all("2", "frame:2", "passive", 4 + 201);
}

#[test]
fn erlang_with_packet_4_receives_every_frame() {
    assert_erlang_receives_all("4", "frame:4", "active", 5 + 201);
    assert_erlang_receives_all("4", "frame:4", "passive", 5 + 201);
}

#[test]
fn erlang_with_packet_line_receives_every_line() {
    assert_erlang_receives_all("line", "line", "active", 5 + 201);
    assert_erlang_receives_all("line", "line", "passive", 5 + 201);
}

#[test]
fn python_receives_frames_that_it_sent_byte_by_byte() {
    if !have_tool("python3") {
        return;
    }
    let daemon = Daemon::start(&["-p", "frame:2"]);
    let port = daemon.address().port().to_string();
    let mut frames = Vec::new();
    for length in [0, 1, 255, 256, 5000] {
        frames.extend(u16::to_be_bytes(length));
        frames.extend(vec![b'f'; usize::from(length)]);
    }
    let python = run(command("python3", &["-c", PYTHON, &port, "1"]), &frames);
    assert_client_received(&python, &frames);
}

#[test]
fn frame_is_echoed_only_after_its_last_byte() {
    let daemon = Daemon::start(&["-p", "frame:4"]);
    let mut stream = connect(daemon.address());
    stream.write_all(&[0, 0, 0, 3, b'a', b'b']).unwrap();
    // An echo on another connection shows that the daemon has handled the input of this one.
    let mut other = connect(daemon.address());
    other.write_all(&[0, 0, 0, 1, b'x']).unwrap();
    assert_reads(&mut other, &[0, 0, 0, 1, b'x']);
    stream.set_nonblocking(true).unwrap();
    assert!(
        stream.read(&mut [0]).is_err(),
        "no byte is echoed before the frame is complete"
    );
    stream.set_nonblocking(false).unwrap();
    stream.write_all(b"c").unwrap();
    assert_reads(&mut stream, &[0, 0, 0, 3, b'a', b'b', b'c']);
}

#[test]
fn oversized_frame_is_closed_after_earlier_replies() {
    let daemon = Daemon::start(&["-v", "-p", "frame:4", "--max-message", "1000"]);
    let mut stream = connect(daemon.address());
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    let mut sent = [&[0, 0, 0x03, 0xe8][..], &[7; 1000]].concat();
    let expected = sent.clone();
    sent.extend(u32::MAX.to_be_bytes());
    sent.extend(vec![7; 100_000]);
    stream.write_all(&sent).unwrap();
    assert_eq!(read_to_fin(&mut stream), expected);
    drop(stream);
    let closed = daemon.close_summary(serial);
    assert!(closed.starts_with("too long, "), "{closed}");
}

#[test]
fn fin_within_a_frame_is_malformed() {
    let daemon = Daemon::start(&["-v", "-p", "frame:2"]);
    let mut stream = connect(daemon.address());
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    stream.write_all(&[0, 1, b'a', 0]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream), [0, 1, b'a']);
    assert_eq!(daemon.close_summary(serial), "malformed, 4 bytes in, 3 out");
}

#[test]
fn unfinished_frames_that_fill_memory_do_not_block_others() {
    let limits = ["--max-message", "1MiB", "--max-buffered", "4MiB"];
    let daemon = Daemon::start(&[&["-v", "-p", "frame:4"][..], &limits].concat());
    // Each sends most of a frame and then stops: together far more than `--max-buffered`.
    let unfinished: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect(daemon.address());
            stream.write_all(&[0, 0x10, 0, 0]).unwrap();
            let mut sender = stream.try_clone().unwrap();
            // An evicted client is reset while it sends.
            std::thread::spawn(move || drop(sender.write_all(&vec![7; 1_000_000])));
            stream
        })
        .collect();
    daemon.wait_for_line("an eviction", |line| line.contains("closed: no memory"));
    for _ in 0..5 {
        let mut stream = connect(daemon.address());
        let frame = [&[0, 0, 0x03, 0xe8][..], &[7; 1000]].concat();
        let (begin, end) = frame.split_at(500);
        stream.write_all(begin).unwrap();
        stream.write_all(end).unwrap();
        assert_reads(&mut stream, &frame);
    }
    drop(unfinished);
}
