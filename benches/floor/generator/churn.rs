//! Connections that come, echo once and go: always so many at once, one after another.

use super::open::{Close, open_from};
use super::{Measured, Words};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long an echo may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(words: &Words) -> Measured {
    let watched = words.watched();
    let close = match words.text("close") {
        "fin" => Close::Fin,
        _ => Close::Reset,
    };
    let mut churn = Churn {
        target: words.target(),
        close,
        poll: Poll::new().unwrap(),
        guests: Vec::new(),
        opened: 0,
        payload: vec![b'e'; words.number("size", 128)],
    };
    let at_once = words.number("connections", 50);
    // The first ones meet cold memory.
    churn.pass(at_once, at_once);
    watched.wait_until_at_rest();
    let before = watched.cpu_ns();
    let count = words.number("count", 1000);
    let begin = Instant::now();
    churn.pass(count, at_once);
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
    /// Who is there, and how many bytes each has back.
    guests: Vec<Option<(TcpStream, usize)>>,
    opened: usize,
    payload: Vec<u8>,
}

impl Churn {
    /// Lets `count` connections come and go, `at_once` of them at a time.
    fn pass(&mut self, count: usize, at_once: usize) {
        self.guests.clear();
        let mut done = 0;
        let last = self.opened + count;
        for place in 0..at_once.min(count) {
            self.guests.push(None);
            self.enter(place);
        }
        let mut events = Events::with_capacity(1024);
        while done < count {
            self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "no echo came back for {PATIENCE:?}");
            for event in &events {
                let place = event.token().0;
                if self.has_all(place) {
                    done += 1;
                    self.guests[place] = None;
                    if self.opened < last {
                        self.enter(place);
                    }
                }
            }
        }
    }

    fn enter(&mut self, place: usize) {
        // A source for each few hundred: none comes to the end of its ports, whoever is still in TIME_WAIT.
        let third = u8::try_from(self.opened % 250).unwrap();
        let source = Ipv4Addr::new(127, 1, third, 1);
        let mut stream = open_from(source, self.target, self.close);
        stream.set_nonblocking(true).unwrap();
        stream.write_all(&self.payload).unwrap();
        self.opened += 1;
        let mut stream = TcpStream::from_std(stream);
        let registry = self.poll.registry();
        registry
            .register(&mut stream, Token(place), Interest::READABLE)
            .unwrap();
        self.guests[place] = Some((stream, 0));
    }

    /// Whether the echo of the one at a place is back in full.
    fn has_all(&mut self, place: usize) -> bool {
        let mut buffer = [0; 4096];
        let Some((stream, received)) = &mut self.guests[place] else {
            return false;
        };
        match stream.read(&mut buffer) {
            Ok(0) => panic!("the server closed a connection before its echo"),
            Ok(count) => *received += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("a connection ended: {error}"),
        }
        *received == self.payload.len()
    }
}
