//! A load with a script that does not run for a moment: the server closes a connection meanwhile, as announced.

use crate::run::{Running, echoloop, script_file};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const SCRIPT: &str = r#"
[message]
send = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
expect = { http = true, ends_with = "ok" }
"#;

const REPLY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LAST_REPLY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Reads a request; false at FIN.
fn read_request(reader: &mut BufReader<TcpStream>) -> bool {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if !reader.read_line(&mut line).is_ok_and(|length| length > 0) {
            return false;
        }
    }
    true
}

fn answer_all(mut reader: BufReader<TcpStream>) {
    while read_request(&mut reader) && reader.get_mut().write_all(REPLY.as_bytes()).is_ok() {}
}

/// The load reads the first connection first, then writes to the second: that write fails, since the server has closed it
/// after its last reply, which is still to be read.
#[test]
fn announced_close_is_known_although_a_write_fails_before_it_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let script = script_file(SCRIPT);
    let path = script.path().to_str().unwrap();
    let fixed = ["load", &server, "--script", path, "--active", "2"];
    let rate = ["--rate", "200", "--pipeline", "8", "--warmup", "0"];
    let rest = ["--duration", "2s", "-o", "json"];
    let load = Running::start(echoloop(&[&fixed[..], &rate, &rest].concat()));
    let mut readers = [(); 2].map(|()| BufReader::new(listener.accept().unwrap().0));
    for reader in &mut readers {
        assert!(read_request(reader));
    }
    let pid = Pid::from_raw(load.process.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let [mut first, mut second] = readers;
    first.get_mut().write_all(REPLY.as_bytes()).unwrap();
    second.get_mut().write_all(LAST_REPLY.as_bytes()).unwrap();
    drop(second);
    thread::spawn(move || answer_all(first));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let reader = BufReader::new(stream.unwrap());
            thread::spawn(move || answer_all(reader));
        }
    });
    // Not a wait for a condition: messages become due while it is stopped.
    thread::sleep(Duration::from_millis(200));
    kill(pid, Signal::SIGCONT).unwrap();
    let output = load.finish();
    let result = output.result();
    assert_eq!(result.connections.lost, 0, "{output:#?}");
    assert_eq!(result.connections.reconnected, 1, "{output:#?}");
    assert_eq!(result.echo.unanswered, 0, "{output:#?}");
    assert_eq!(output.code, Some(0), "{output:#?}");
}
