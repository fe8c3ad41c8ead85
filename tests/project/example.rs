//! The examples are servers of a user's own, in a few lines: they are run as a user would run them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends the example with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an example that serves on a port of its own answers to a client that says all this and half-closes.
#[track_caller]
fn answer_of(example: &str, said: &[&[u8]]) -> String {
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
    for piece in said {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn shout_answers_in_capitals() {
    let answer = answer_of("shout", &[b"hello, ", b"World!\n"]);
    assert_eq!(answer, "HELLO, WORLD!\n");
}

#[test]
fn calculator_answers_line_by_line_and_says_goodbye() {
    let said: &[&[u8]] = &[
        b"6 *",
        b" 7\n1 - 2 - 3\r\n",
        b"1 / 0\nhello\n",
        b"quit\n1 + 1\n",
    ];
    let expected = "6 * 7 = 42\n\
        1 - 2 - 3 = -4\r\n\
        what is that?\n\
        what is that?\n\
        goodbye, after 5 lines of everybody's\n";
    assert_eq!(answer_of("calculator", said), expected);
}
