//! Servers that are silent, reset, or end first: what is told of each, and what is printed all the same.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::clients::{Running, assert_printed, assert_says, client, failure_of, send, text};
use crate::harness::Daemon;
use crate::peers::{Peer, hang, reset, speak_then_listen};

#[test]
fn a_server_that_never_answers_is_named_with_what_was_waited_for() {
    let peer = Peer::start(hang);
    let ended = send(peer.address, &["--timeout", "300ms"], b"hello");
    let line = failure_of(&ended);
    let address = peer.address.to_string();
    let parts = [
        &*address,
        "300ms",
        "to answer or to close",
        "5 bytes sent, 0 received",
    ];
    assert_says(&line, &parts);
    peer.found();
}

#[test]
fn a_server_that_takes_nothing_is_named_with_what_was_waited_for() {
    let peer = Peer::start(hang);
    let mut running = Running::start(
        client("send", peer.address, &["--timeout", "300ms"]),
        100_000_000,
    );
    assert_eq!(running.wait_exit(), Some(1));
    let line = running.stderr();
    let address = peer.address.to_string();
    assert_says(&line, &[&*address, "300ms", "to take what it is sent"]);
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn silence_on_both_sides_is_told_as_such() {
    let peer = Peer::start(hang);
    let mut command = client("send", peer.address, &["--timeout", "300ms"]);
    let child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut line = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut line).unwrap();
    assert_says(&line, &["neither standard input nor", "300ms"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn silence_is_counted_anew_from_each_byte() {
    let peer = Peer::start(|mut stream| {
        // Each pause is shorter than the time for silence, all together are longer.
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(400));
            stream.write_all(b".").unwrap();
        }
    });
    let ended = send(peer.address, &["--timeout", "1500ms"], b"");
    assert_printed(&ended, b".....");
}

#[test]
fn a_reset_is_told_with_how_much_had_come_back() {
    let peer = Peer::start(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.write_all(b"he").unwrap();
        // The kernel gives out what came before a reset.
        reset(stream);
    });
    let ended = send(peer.address, &[], b"hello");
    let line = failure_of(&ended);
    let address = peer.address.to_string();
    assert_says(
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
fn a_record_that_was_not_collected_is_a_failure() {
    let daemon = Daemon::start(&["-p", "collect", "--max-message", "100"]);
    let protocol = ["-p", "collect"];
    assert_printed(&send(daemon.address(), &protocol, &[b'x'; 100]), b"");
    let ended = send(daemon.address(), &protocol, &[b'x'; 101]);
    assert_says(&failure_of(&ended), &["reset the connection"]);
}

#[test]
fn what_a_server_says_before_it_refuses_the_rest_is_printed() {
    // It closes with input unread, so the kernel sends RST behind its words.
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
    assert_says(&running.stderr(), &["reset the connection", "9 received"]);
}

#[test]
fn a_server_that_ends_first_still_gets_the_input_that_is_at_hand() {
    let peer = Peer::start(speak_then_listen(b"all I say\n"));
    let data = text(0, 5_000_000);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&data).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut command = client("send", peer.address, &[]);
    let ended = command.stdin(file).stdout(Stdio::piped()).output().unwrap();
    assert_printed(&ended, b"all I say\n");
    assert!(peer.found() == data, "what the server got");
}

#[test]
fn a_server_that_ends_first_ends_it_when_there_is_nothing_to_say() {
    let peer = Peer::start(|mut stream| stream.write_all(b"bye\n").unwrap());
    let mut command = client("send", peer.address, &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The input is open all the while, and nothing comes from it.
    let input = child.stdin.take();
    let mut printed = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "bye\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(input);
}

#[test]
fn a_reply_that_is_no_frame_is_told() {
    let peer = Peer::start(|mut stream| stream.write_all(b"HTTP/1.1 400\r\n").unwrap());
    let line = failure_of(&send(peer.address, &["-p", "frame:4"], b""));
    assert_says(
        &line,
        &["not in the protocol", "1213486160 bytes", "--protocol"],
    );
    let peer = Peer::start(|mut stream| stream.write_all(b"\0\x05abc").unwrap());
    let ended = send(peer.address, &["-p", "frame:2"], b"");
    assert_says(
        &failure_of(&ended),
        &["within a frame, 2 bytes before its end"],
    );
    assert_eq!(ended.stdout, b"abc", "what came is printed all the same");
}

#[test]
fn a_line_too_long_for_a_frame_is_told_with_its_number_and_the_server_by_a_reset() {
    let peer = Peer::start(|mut stream| {
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all);
        (all, ended.map_err(|error| error.kind()).err())
    });
    let input = [b"short\n".to_vec(), vec![b'x'; 256]].concat();
    let line = failure_of(&send(peer.address, &["-p", "frame:1"], &input));
    assert_says(&line, &["line 2", "255", "frame:4"]);
    let (_, ended) = peer.found();
    assert_eq!(ended, Some(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn standard_input_that_cannot_be_read_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = std::fs::File::open("/").unwrap();
    let mut command = client("send", listener.local_addr().unwrap(), &[]);
    let ended = command.stdin(folder).stderr(Stdio::piped()).output();
    let line = failure_of(&ended.unwrap());
    assert_says(&line, &["standard input", "Is a directory", "--message"]);
}
