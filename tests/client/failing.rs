//! Servers that hang, reset or close first: the error of each, and the output before it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::clients::{Running, assert_contains, assert_printed, client, failure_of, send, text};
use crate::harness::Daemon;
use crate::peers::{Peer, hang, reset, write_then_read};

#[test]
fn server_that_never_replies_times_out() {
    let peer = Peer::start(hang);
    let ended = send(peer.address, &["--timeout", "300ms"], b"hello");
    let line = failure_of(&ended);
    let address = peer.address.to_string();
    let parts = [
        &*address,
        "300ms",
        "no reply or FIN",
        "5 bytes sent, 0 received",
    ];
    assert_contains(&line, &parts);
    peer.join();
}

#[test]
fn server_that_never_reads_times_out() {
    let peer = Peer::start(hang);
    // Input is at hand at all times.
    let input = tempfile::tempfile().unwrap();
    input.set_len(100_000_000).unwrap();
    let mut command = client("send", peer.address, &["--timeout", "300ms"]);
    let line = failure_of(&command.stdin(input).output().unwrap());
    let address = peer.address.to_string();
    assert_contains(&line, &[&*address, "300ms", "has read nothing"]);
}

#[test]
fn idle_input_and_server_time_out() {
    let peer = Peer::start(hang);
    let mut command = client("send", peer.address, &["--timeout", "300ms"]);
    let child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut line = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut line).unwrap();
    assert_contains(&line, &["no bytes from standard input or", "300ms"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn each_received_byte_restarts_the_timeout() {
    let peer = Peer::start(|mut stream| {
        // Each pause is shorter than the timeout, their sum is longer.
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(400));
            stream.write_all(b".").unwrap();
        }
    });
    let ended = send(peer.address, &["--timeout", "1500ms"], b"");
    assert_printed(&ended, b".....");
}

#[test]
fn reset_is_reported_with_byte_counts() {
    let peer = Peer::start(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.write_all(b"he").unwrap();
        // The kernel delivers the bytes before a reset.
        reset(stream);
    });
    let ended = send(peer.address, &[], b"hello");
    let line = failure_of(&ended);
    let address = peer.address.to_string();
    assert_contains(
        &line,
        &[
            &*address,
            "reset the connection",
            "5 bytes sent, 2 received",
        ],
    );
    assert_eq!(ended.stdout, b"he");
}

#[test]
fn record_that_collect_rejects_is_a_failure() {
    let daemon = Daemon::start(&["-p", "collect", "--max-message", "100"]);
    let protocol = ["-p", "collect"];
    assert_printed(&send(daemon.address(), &protocol, &[b'x'; 100]), b"");
    let ended = send(daemon.address(), &protocol, &[b'x'; 101]);
    assert_contains(&failure_of(&ended), &["reset the connection"]);
}

#[test]
fn reply_before_a_reset_is_printed() {
    // The server closes with unread input, so the kernel sends RST after the reply.
    let peer = Peer::start(|mut stream| {
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream.write_all(b"too much\n").unwrap();
    });
    let mut running = Running::start(client("send", peer.address, &[]), 100_000_000);
    assert_eq!(running.wait_exit(), Some(1));
    let mut printed = String::new();
    let stdout = running.child.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "too much\n");
    assert_contains(&running.stderr(), &["reset the connection", "9 received"]);
}

#[test]
fn input_at_hand_is_sent_after_the_servers_fin() {
    let peer = Peer::start(write_then_read(b"the reply\n"));
    let data = text(0, 5_000_000);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&data).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut command = client("send", peer.address, &[]);
    let ended = command.stdin(file).stdout(Stdio::piped()).output().unwrap();
    assert_printed(&ended, b"the reply\n");
    assert!(peer.join() == data, "bytes received by the server");
}

#[test]
fn servers_fin_ends_send_while_the_input_is_idle() {
    let peer = Peer::start(|mut stream| stream.write_all(b"bye\n").unwrap());
    let mut command = client("send", peer.address, &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The input stays open and empty.
    let input = child.stdin.take();
    let mut printed = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "bye\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(input);
}

#[test]
fn malformed_or_truncated_frame_is_reported() {
    let peer = Peer::start(|mut stream| stream.write_all(b"HTTP/1.1 400\r\n").unwrap());
    let line = failure_of(&send(peer.address, &["-p", "frame:4"], b""));
    assert_contains(
        &line,
        &["violated the protocol", "1213486160 bytes", "--protocol"],
    );
    let peer = Peer::start(|mut stream| stream.write_all(b"\0\x05abc").unwrap());
    let ended = send(peer.address, &["-p", "frame:2"], b"");
    assert_contains(
        &failure_of(&ended),
        &["FIN within a frame, 2 bytes before its end"],
    );
    assert_eq!(ended.stdout, b"abc", "the bytes before FIN are printed");
}

#[test]
fn line_too_long_for_a_frame_fails_and_resets() {
    let peer = Peer::start(|mut stream| {
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all);
        (all, ended.map_err(|error| error.kind()).err())
    });
    let input = [b"short\n".to_vec(), vec![b'x'; 256]].concat();
    let line = failure_of(&send(peer.address, &["-p", "frame:1"], &input));
    assert_contains(&line, &["line 2", "255", "frame:4"]);
    let (_, ended) = peer.join();
    assert_eq!(ended, Some(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn unreadable_standard_input_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = std::fs::File::open("/").unwrap();
    let mut command = client("send", listener.local_addr().unwrap(), &[]);
    let ended = command.stdin(folder).stderr(Stdio::piped()).output();
    let line = failure_of(&ended.unwrap());
    assert_contains(&line, &["standard input", "Is a directory", "--message"]);
}
