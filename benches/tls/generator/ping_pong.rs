//! Echoes of one message in flight on each connection, in a closed loop: one thread with epoll, which needs less CPU time
//! than a thread for each connection.

use super::client::Client;
use super::connection::Connection;
use super::{MESSAGE, Options, Reading, TIMEOUT};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConnection;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

/// One connection, and what it has received of the echo.
struct Echo {
    tls: ClientConnection,
    socket: TcpStream,
    received: usize,
}

pub(super) fn run(client: &Client, options: &Options) {
    let pids = options.pids();
    let mut poll = Poll::new().unwrap();
    let connections = 0..options.required::<usize>("connections");
    let open = |number| Echo::open(client, &poll, number);
    let mut echoes: Vec<Echo> = connections.map(open).collect();
    echoes.iter_mut().for_each(Echo::send);
    let mut events = Events::with_capacity(echoes.len());
    let mut done = 0;
    let mut run_for = |time| {
        let end = Instant::now() + time;
        while Instant::now() < end {
            poll.poll(&mut events, Some(TIMEOUT)).unwrap();
            assert!(!events.is_empty(), "the server does not echo");
            for event in &events {
                done += u64::from(echoes[event.token().0].on_readable());
            }
        }
        Reading::now(done, &pids)
    };
    let before = run_for(options.time("warmup"));
    let after = run_for(options.time("seconds"));
    after.print_since(&before);
}

impl Echo {
    fn open(client: &Client, poll: &Poll, number: usize) -> Echo {
        let (tls, socket) = Connection::open_proven(client).unwrap().into_parts();
        socket.set_nonblocking(true).unwrap();
        let mut socket = TcpStream::from_std(socket);
        let registry = poll.registry();
        let token = Token(number);
        registry
            .register(&mut socket, token, Interest::READABLE)
            .unwrap();
        Echo {
            tls,
            socket,
            received: 0,
        }
    }

    fn send(&mut self) {
        self.tls.writer().write_all(&[b'e'; MESSAGE]).unwrap();
        while self.tls.wants_write() {
            // One message always fits into the socket buffer.
            self.tls.write_tls(&mut self.socket).unwrap();
        }
    }

    /// Reads the echo; if it is complete, sends the next message and returns true.
    fn on_readable(&mut self) -> bool {
        // The server sends nothing after the echo, so that a complete echo needs no further read.
        while self.received < MESSAGE {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => panic!("the server has closed the connection"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
            let state = self.tls.process_new_packets().unwrap();
            let mut echo = [0; MESSAGE];
            let count = state.plaintext_bytes_to_read();
            self.tls.reader().read_exact(&mut echo[..count]).unwrap();
            assert!(echo[..count].iter().all(|byte| *byte == b'e'));
            self.received += count;
        }
        self.received = 0;
        self.send();
        true
    }
}
