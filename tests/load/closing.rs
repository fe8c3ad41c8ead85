//! What was found is told before the connections are closed, which takes long where there are very many; and they are
//! closed cleanly all the same.
//!
//! The order of things is seen without a clock: what is told is too much for the smallest pipe, so a load that has begun to
//! tell it cannot go on until the test reads.

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

/// How many connections each load holds.
const HELD: usize = 20;

/// The server's end of a connection, and the thread that echoes on it: whether FIN was its end.
type End = (TcpStream, JoinHandle<bool>);

/// A server that echoes, and whose ends of the connections can be looked at.
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

    /// No end has come on any of the connections.
    #[track_caller]
    fn assert_all_stand(&self) {
        let ends = self.ends.lock().unwrap();
        assert_eq!(ends.len(), HELD);
        for (stream, _) in ends.iter() {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            let found = recv(stream.as_raw_fd(), &mut [0], flags);
            assert_eq!(found, Err(nix::errno::Errno::EAGAIN), "0 is the end");
        }
    }

    /// Each connection has ended with FIN, or is about to.
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

/// A load with a result of many pages.
fn with_much_to_tell(server: &Server, flags: &[&str]) -> Command {
    let (address, held) = (server.address.to_string(), HELD.to_string());
    let mut command = echoloop(&["load", &address, "--idle", &held]);
    command.args(["--duration", "100ms", "--warmup", "0"]);
    command.args(flags);
    for _ in 0..500 {
        command.args(["--expect", "lost=0"]);
    }
    command
}

/// Starts a load whose standard output is read up to the middle of its result, and no further.
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
fn the_result_is_on_stdout_before_the_connections_are_closed() {
    let pid = std::process::id().to_string();
    for flags in [
        &["-o", "text"][..],
        &["-o", "json"],
        &["-o", "jsonl"],
        &["-o", "text", "--server-pid", &pid],
    ] {
        let server = Server::start();
        let (mut load, mut stdout, mut said) =
            read_to_the_middle(with_much_to_tell(&server, flags));
        assert!(
            said.contains(&server.address.to_string()),
            "{flags:?}: {said}"
        );
        server.assert_all_stand();
        stdout.read_to_string(&mut said).unwrap();
        assert!(load.process.wait().unwrap().success(), "{flags:?}: {said}");
        server.assert_all_end_with_fin();
    }
}

#[test]
fn a_result_is_saved_before_the_connections_are_closed() {
    for (flag, end) in [("--save", "}\n"), ("--report", "</html>\n")] {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        // Whoever opens it for both waits for nobody (fifo(7)).
        let mut both = std::fs::File::options();
        let pipe = both.read(true).write(true).open(&path).unwrap();
        make_small(&pipe);
        let mut command = with_much_to_tell(&server, &[flag, path.to_str().unwrap()]);
        command.stdout(Stdio::null());
        let mut load = Running::start(command);
        let _ = lines_of(&mut load);
        let mut saved = BufReader::with_capacity(SMALLEST, pipe);
        saved.fill_buf().unwrap();
        server.assert_all_stand();
        let mut text = String::new();
        while !text.ends_with(end) {
            saved.read_line(&mut text).unwrap();
        }
        assert!(load.process.wait().unwrap().success(), "{text}");
        server.assert_all_end_with_fin();
    }
}

#[test]
fn memory_after_the_last_connection_is_closed_is_told_where_a_server_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let flags = ["--idle", "50", "--duration", "100ms", "--warmup", "0"];
    let save = ["--save", path.to_str().unwrap()];
    let said = load(&[&flags[..], &save].concat());
    assert_eq!(said.code, Some(0), "{said:#?}");
    let last = said.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("server ") && last.contains("closed"),
        "{last}"
    );
    let saved: Saved = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let after = |result: &LoadResult| result.server.as_ref().unwrap().rss_after_bytes;
    assert!(after(&saved.result) > 0, "{saved:#?}");
    let said = load(&[&flags[..], &["-o", "json"]].concat());
    assert!(after(&said.result()) > 0, "{said:#?}");
}
