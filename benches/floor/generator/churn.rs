//! Connections that echo once and close: a fixed number at a time, each replaced by the next.

use super::open::{Close, open_from};
use super::{Measured, Options, TIMEOUT};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

pub(super) fn run(options: &Options) -> Measured {
    let watched = options.watched();
    let close = match options.text("close") {
        "fin" => Close::Fin,
        _ => Close::Reset,
    };
    let mut churn = Churn {
        target: options.target(),
        close,
        poll: Poll::new().unwrap(),
        connections: Vec::new(),
        opened: 0,
        payload: vec![b'e'; options.number("size", 128)],
    };
    let at_once = options.number("connections", 50);
    // A warm-up: the first connections make the server allocate.
    churn.run(at_once, at_once);
    watched.wait_until_at_rest();
    let before = watched.cpu_ns();
    let count = options.number("count", 1000);
    let begin = Instant::now();
    churn.run(count, at_once);
    let time = begin.elapsed();
    watched.wait_until_at_rest();
    Measured {
        done: count as u64,
        time,
        server_cpu_ns: watched.cpu_ns() - before,
        ..Measured::default()
    }
}

struct Churn {
    target: SocketAddr,
    close: Close,
    poll: Poll,
    /// Open connections, and the bytes that each has received.
    connections: Vec<Option<(TcpStream, usize)>>,
    opened: usize,
    payload: Vec<u8>,
}

impl Churn {
    /// Opens and closes `count` connections, `at_once` of them at a time.
    fn run(&mut self, count: usize, at_once: usize) {
        self.connections.clear();
        let mut done = 0;
        let last = self.opened + count;
        for index in 0..at_once.min(count) {
            self.connections.push(None);
            self.open(index);
        }
        let mut events = Events::with_capacity(1024);
        while done < count {
            self.poll.poll(&mut events, Some(TIMEOUT)).unwrap();
            assert!(!events.is_empty(), "no echo for {TIMEOUT:?}");
            for event in &events {
                let index = event.token().0;
                if self.receive(index) {
                    done += 1;
                    self.connections[index] = None;
                    if self.opened < last {
                        self.open(index);
                    }
                }
            }
        }
    }

    fn open(&mut self, index: usize) {
        // 250 sources: no source runs out of ports while earlier connections are in TIME_WAIT.
        let third = u8::try_from(self.opened % 250).unwrap();
        let source = Ipv4Addr::new(127, 1, third, 1);
        let mut stream = open_from(source, self.target, self.close);
        stream.set_nonblocking(true).unwrap();
        stream.write_all(&self.payload).unwrap();
        self.opened += 1;
        let mut stream = TcpStream::from_std(stream);
        let registry = self.poll.registry();
        registry
            .register(&mut stream, Token(index), Interest::READABLE)
            .unwrap();
        self.connections[index] = Some((stream, 0));
    }

    /// Reads from a connection; whether its echo is complete.
    fn receive(&mut self, index: usize) -> bool {
        let mut buffer = [0; 4096];
        let Some((stream, received)) = &mut self.connections[index] else {
            return false;
        };
        match stream.read(&mut buffer) {
            Ok(0) => panic!("the server closed a connection before its echo"),
            Ok(count) => *received += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("a connection failed: {error}"),
        }
        *received == self.payload.len()
    }
}
