//! The example is a server of a user's own, in a few lines: it is run as a user would run it.

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

#[test]
fn shout_answers_in_capitals() {
    // Examples are built with the tests, next to the program.
    let program = Path::new(env!("CARGO_BIN_EXE_echoloop"));
    let shout = program.with_file_name("examples").join("shout");
    let mut child = Command::new(&shout)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            let path = shout.display();
            panic!("{path}: {error} (cargo test builds it, and so does cargo build --examples)")
        });
    let stdout = child.stdout.take().unwrap();
    let _running = Running(child);

    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"hello, ").unwrap();
    stream.write_all(b"World!\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "HELLO, WORLD!\n");
}
