//! Idle connections: each has completed its handshake and echoed once.

use super::Options;
use super::client::Client;
use super::connection::Connection;
use socket2::SockRef;
use std::io::stdin;
use std::time::Duration;

/// Opens connections up to each of the counts in turn; prints a line at each count, and waits for a line on stdin.
pub(super) fn run(client: &Client, options: &Options) {
    let mut sockets = Vec::new();
    for count in options.text("counts").split(',') {
        for _ in sockets.len()..count.parse().unwrap() {
            // An idle connection needs no TLS state here.
            let (_, socket) = Connection::open_proven(client).unwrap().into_parts();
            // It closes with RST, which leaves no socket in TIME_WAIT.
            SockRef::from(&socket)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            sockets.push(socket);
        }
        println!("done={}", sockets.len());
        stdin().read_line(&mut String::new()).unwrap();
    }
}
