//! The example programs run as documented.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Kills the example when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The reply of an example server to a client that sends these pieces and half-closes.
#[track_caller]
fn reply_of(example: &str, pieces: &[&[u8]]) -> String {
    // Examples are built with the tests, next to the program.
    let program = Path::new(env!("CARGO_BIN_EXE_echoloop"));
    let program = program.with_file_name("examples").join(example);
    let mut child = Command::new(&program)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            let path = program.display();
            panic!("{path}: {error} (cargo test builds it, and so does cargo build --examples)")
        });
    let stdout = child.stdout.take().unwrap();
    let _running = Running(child);

    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    for piece in pieces {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn shout_replies_in_capitals() {
    let reply = reply_of("shout", &[b"hello, ", b"World!\n"]);
    assert_eq!(reply, "HELLO, WORLD!\n");
}

#[test]
fn calculator_replies_to_each_line_until_quit() {
    let pieces: &[&[u8]] = &[
        b"6 *",
        b" 7\n1 - 2 - 3\r\n",
        b"1 / 0\nhello\n",
        b"quit\n1 + 1\n",
    ];
    let expected = "6 * 7 = 42\n\
        1 - 2 - 3 = -4\r\n\
        invalid expression\n\
        invalid expression\n\
        closing, 5 lines received\n";
    assert_eq!(reply_of("calculator", pieces), expected);
}
