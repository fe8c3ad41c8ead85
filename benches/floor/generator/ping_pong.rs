//! Closed-loop echo: each connection has a number of messages in flight, and sends the next for each reply.

use super::open::open_proven;
use super::{Measured, Options, TIMEOUT};
use crate::machine;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// More than the receive buffer of a loopback socket usually holds, so that one read drains it.
const BUFFER: usize = 262_144;

pub(super) fn run(options: &Options) -> Measured {
    let watched = options.watched();
    let idle = open_proven(options.target(), options.number("idle", 0));
    let cores = options.cores();
    let connections = options.number("connections", 1) / cores.len().max(1);
    let workers = (0..cores.len().max(1)).map(|_| Worker::new(options, connections));
    let mut workers: Vec<Worker> = workers.collect();
    let warmup = options.get("warmup").unwrap_or(0.0);
    run_workers(&mut workers, &cores, Duration::from_secs_f64(warmup));
    watched.wait_until_at_rest();
    let before = watched.cpu_ns();
    let seconds = options.get("seconds").unwrap();
    let (done, time) = run_workers(&mut workers, &cores, Duration::from_secs_f64(seconds));
    watched.wait_until_at_rest();
    drop(idle);
    Measured {
        done,
        time,
        server_cpu_ns: watched.cpu_ns() - before,
        ..Measured::default()
    }
}

/// Runs each worker on a core of its own; the number of echoes, and the time until the last.
fn run_workers(workers: &mut [Worker], cores: &[usize], length: Duration) -> (u64, Duration) {
    if let [worker] = workers {
        return worker.run(length);
    }
    thread::scope(|scope| {
        let threads = workers.iter_mut().zip(cores).map(|(worker, core)| {
            scope.spawn(move || {
                machine::pin(*core);
                worker.run(length)
            })
        });
        let threads: Vec<_> = threads.collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.fold((0, Duration::ZERO), |(all, longest), (done, time)| {
            (all + done, longest.max(time))
        })
    })
}

/// The connections of one thread, and their messages.
struct Worker {
    poll: Poll,
    connections: Vec<Connection>,
    /// The size of a message.
    size: usize,
    pipeline: usize,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    /// Messages sent or queued in this run.
    sent: u64,
    received: u64,
    /// Whether a reply causes the next message.
    sending: bool,
}

struct Connection {
    stream: TcpStream,
    /// Queued bytes.
    unsent: usize,
    /// Bytes received of an incomplete reply.
    partial: usize,
}

impl Worker {
    fn new(options: &Options, connections: usize) -> Worker {
        let size = options.number("size", 128);
        let pipeline = options.number("pipeline", 1);
        let poll = Poll::new().unwrap();
        let streams = open_proven(options.target(), connections);
        let connections = streams.into_iter().enumerate().map(|(number, stream)| {
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            // Writable events occur only after the send buffer was full.
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = poll.registry();
            registry
                .register(&mut stream, Token(number), interest)
                .unwrap();
            Connection {
                stream,
                unsent: 0,
                partial: 0,
            }
        });
        Worker {
            connections: connections.collect(),
            poll,
            size,
            pipeline,
            buffer: vec![0; BUFFER],
            payload: vec![b'e'; size * pipeline],
            sent: 0,
            received: 0,
            sending: true,
        }
    }

    /// Runs for `length`, and then until all replies are received; the number of echoes, and the time they took.
    fn run(&mut self, length: Duration) -> (u64, Duration) {
        let begin = Instant::now();
        (self.sent, self.received, self.sending) = (0, 0, true);
        self.send_first_messages();
        let mut events = Events::with_capacity(1024);
        while self.received < self.sent {
            self.poll.poll(&mut events, Some(TIMEOUT)).unwrap();
            assert!(!events.is_empty(), "no echo for {TIMEOUT:?}");
            for event in &events {
                let number = event.token().0;
                if event.is_readable() {
                    self.receive(number);
                }
                self.send(number);
            }
            self.sending = begin.elapsed() < length;
        }
        (self.received, begin.elapsed())
    }

    fn send_first_messages(&mut self) {
        for number in 0..self.connections.len() {
            self.sent += self.pipeline as u64;
            self.connections[number].unsent = self.payload.len();
            self.send(number);
        }
    }

    fn receive(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        loop {
            let count = match connection.stream.read(&mut self.buffer) {
                Ok(0) => panic!("the server closed a connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a connection failed: {error}"),
            };
            let bytes = connection.partial + count;
            let replies = bytes / self.size;
            connection.partial = bytes % self.size;
            self.received += replies as u64;
            if self.sending {
                self.sent += replies as u64;
                connection.unsent += replies * self.size;
            }
            if count < self.buffer.len() {
                return;
            }
        }
    }

    fn send(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        while connection.unsent > 0 {
            let length = connection.unsent.min(self.payload.len());
            match connection.stream.write(&self.payload[..length]) {
                Ok(count) => connection.unsent -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a connection failed: {error}"),
            }
        }
    }
}
