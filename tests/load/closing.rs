//! The result is written before the connections are closed, which takes long if there are very many; and they are closed
//! with FIN nevertheless.
//!
//! The tests see the order without a clock: the result exceeds the smallest pipe, so a load that has begun to write it
//! blocks until the test reads.

use crate::output::{SMALLEST, lines_of, make_small, small_pipe};
use crate::run::{Running, echoloop, load};
use echoloop::load::{LoadResult, Saved};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::Mode;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// The number of connections of each load.
const HELD: usize = 20;

/// The server's socket of a connection, and the thread that echoes on it, which returns whether it received FIN.
type End = (TcpStream, JoinHandle<bool>);

/// An echo server that gives access to its sockets.
struct Server {
    address: SocketAddr,
    ends: Arc<Mutex<Vec<End>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&ends);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let own = stream.try_clone().unwrap();
                let echoing = thread::spawn(move || echo(own));
                all.lock().unwrap().push((stream, echoing));
            }
        });
        Server { address, ends }
    }

    /// Asserts that no connection has received FIN or RST.
    #[track_caller]
    fn assert_all_open(&self) {
        let ends = self.ends.lock().unwrap();
        assert_eq!(ends.len(), HELD);
        for (stream, _) in ends.iter() {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            let found = recv(stream.as_raw_fd(), &mut [0], flags);
            assert_eq!(found, Err(nix::errno::Errno::EAGAIN), "Ok(0) would be FIN");
        }
    }

    /// Waits until each connection has received FIN.
    #[track_caller]
    fn assert_all_end_with_fin(self) {
        for (_, echoing) in self.ends.lock().unwrap().drain(..) {
            assert!(echoing.join().unwrap(), "it was reset");
        }
    }
}

fn echo(mut stream: TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(count) => stream.write_all(&bytes[..count]).unwrap(),
            Err(_) => return false,
        }
    }
}

/// A load with a long result.
fn with_long_result(server: &Server, flags: &[&str]) -> Command {
    let (address, held) = (server.address.to_string(), HELD.to_string());
    let mut command = echoloop(&["load", &address, "--idle", &held]);
    command.args(["--duration", "100ms", "--warmup", "0"]);
    command.args(flags);
    for _ in 0..500 {
        command.args(["--expect", "lost=0"]);
    }
    command
}

/// Starts a load and reads its stdout up to the middle of the result, and no further.
fn read_to_the_middle(mut command: Command) -> (Running, impl Read, String) {
    let (mut reader, writer) = small_pipe();
    command.stdout(Stdio::from(writer));
    let mut load = Running::start(command);
    let _ = lines_of(&mut load);
    let mut beginning = vec![0; SMALLEST];
    reader.read_exact(&mut beginning).unwrap();
    (load, reader, String::from_utf8(beginning).unwrap())
}

#[test]
fn result_is_on_stdout_before_connections_are_closed() {
    let pid = std::process::id().to_string();
    for flags in [
        &["-o", "text"][..],
        &["-o", "json"],
        &["-o", "jsonl"],
        &["-o", "text", "--server-pid", &pid],
    ] {
        let server = Server::start();
        let (mut load, mut stdout, mut output) =
            read_to_the_middle(with_long_result(&server, flags));
        assert!(
            output.contains(&server.address.to_string()),
            "{flags:?}: {output}"
        );
        server.assert_all_open();
        stdout.read_to_string(&mut output).unwrap();
        assert!(
            load.process.wait().unwrap().success(),
            "{flags:?}: {output}"
        );
        server.assert_all_end_with_fin();
    }
}

#[test]
fn result_is_saved_before_connections_are_closed() {
    for (flag, end) in [("--save", "}\n"), ("--report", "</html>\n")] {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        // Opening a FIFO for reading and writing does not block (fifo(7)).
        let mut both = std::fs::File::options();
        let pipe = both.read(true).write(true).open(&path).unwrap();
        make_small(&pipe);
        let mut command = with_long_result(&server, &[flag, path.to_str().unwrap()]);
        command.stdout(Stdio::null());
        let mut load = Running::start(command);
        let _ = lines_of(&mut load);
        let mut saved = BufReader::with_capacity(SMALLEST, pipe);
        saved.fill_buf().unwrap();
        server.assert_all_open();
        let mut text = String::new();
        while !text.ends_with(end) {
            saved.read_line(&mut text).unwrap();
        }
        assert!(load.process.wait().unwrap().success(), "{text}");
        server.assert_all_end_with_fin();
    }
}

#[test]
fn server_memory_after_closing_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let flags = ["--idle", "50", "--duration", "100ms", "--warmup", "0"];
    let save = ["--save", path.to_str().unwrap()];
    let output = load(&[&flags[..], &save].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let last = output.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("server ") && last.contains("closed"),
        "{last}"
    );
    let saved: Saved = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let after = |result: &LoadResult| result.server.as_ref().unwrap().rss_after_bytes;
    assert!(after(&saved.result) > 0, "{saved:#?}");
    let output = load(&[&flags[..], &["-o", "json"]].concat());
    assert!(after(&output.result()) > 0, "{output:#?}");
}
