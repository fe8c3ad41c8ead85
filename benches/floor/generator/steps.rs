//! Messages in steps, for counting instructions: the server is stopped while the messages of a step are sent, and wakes
//! once for all of them.

use super::open::{Close, open, open_from};
use super::{Measured, Options, TIMEOUT};
use crate::cpu::Watched;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

/// The arguments of a load in steps.
struct Steps<'a> {
    options: &'a Options,
    watched: Watched,
    connections: usize,
    /// The messages that one connection sends in a step.
    payload: Vec<u8>,
    /// Steps with messages.
    count: u64,
}

/// Messages that are echoed: every connection receives all replies before the next step.
pub(super) fn echo(options: &Options) -> Measured {
    let steps = Steps::new(options);
    let mut streams = steps.open();
    let mut reply = vec![0; options.number("reply", 128) * options.number("pipeline", 1)];
    for _ in 0..steps.count {
        steps.send(&mut streams);
        for stream in &mut streams {
            stream.read_exact(&mut reply).unwrap();
        }
    }
    steps.run_empty(1);
    steps.watched.while_stopped(|| drop(streams));
    steps.done()
}

/// Messages without a reply.
pub(super) fn one_way(options: &Options) -> Measured {
    let steps = Steps::new(options);
    let mut streams = steps.open();
    for _ in 0..steps.count {
        steps.send(&mut streams);
    }
    steps.run_empty(1);
    streams.iter_mut().for_each(half_close);
    steps.done()
}

/// Connections that send one message each and half-close.
pub(super) fn records(options: &Options) -> Measured {
    let steps = Steps::new(options);
    let target = options.target();
    for step in 0..steps.count {
        // The source changes with the step, since the ports of earlier connections are in TIME_WAIT.
        let third = u8::try_from(step % 250).unwrap();
        let source = Ipv4Addr::new(127, 1, third, 1);
        let connect = |_| open_from(source, target, Close::Fin);
        let mut streams: Vec<TcpStream> = steps
            .watched
            .while_stopped(|| (0..steps.connections).map(connect).collect());
        steps.send(&mut streams);
        steps.watched.wait_until_at_rest();
        streams.iter_mut().for_each(half_close);
    }
    // The server is stopped twice per step: for the connections, and for their messages.
    steps.run_empty(2);
    steps.done()
}

impl<'a> Steps<'a> {
    fn new(options: &'a Options) -> Steps<'a> {
        let message = message(options.text("protocol"), options.number("size", 128));
        let connections = options.number("connections", 1);
        let pipeline = options.number("pipeline", 1);
        let count: u64 = options.get("count").unwrap();
        Steps {
            options,
            watched: options.watched(),
            connections,
            payload: message.repeat(pipeline),
            count: count.div_ceil((connections * pipeline) as u64),
        }
    }

    /// Opens all connections before the server accepts one: few enough for the backlog.
    fn open(&self) -> Vec<TcpStream> {
        let target = self.options.target();
        let open = |number| {
            let stream = open(target, number, Close::Reset);
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            stream
        };
        self.watched
            .while_stopped(|| (0..self.connections).map(open).collect())
    }

    fn send(&self, streams: &mut [TcpStream]) {
        self.watched.while_stopped(|| {
            for stream in streams {
                stream.write_all(&self.payload).unwrap();
            }
        });
    }

    /// Stops the server as often as in the steps that another run has in addition to this one.
    fn run_empty(&self, stops_per_step: usize) {
        let steps = self.options.number("empty_steps", 0);
        for _ in 0..steps * stops_per_step {
            self.watched.while_stopped(|| ());
        }
    }

    /// The result, once the server is at rest.
    fn done(&self) -> Measured {
        self.watched.wait_until_at_rest();
        let messages = self.connections * self.options.number("pipeline", 1);
        Measured {
            done: self.count * messages as u64,
            ..Measured::default()
        }
    }
}

/// A message of a protocol: a line, a frame with a header of four bytes, or raw bytes.
fn message(protocol: &str, size: usize) -> Vec<u8> {
    let mut message = vec![b'e'; size];
    match protocol {
        "line" => *message.last_mut().unwrap() = b'\n',
        "frame" => {
            let length = u32::try_from(size - 4).unwrap();
            message[..4].copy_from_slice(&length.to_be_bytes());
        }
        _ => {}
    }
    message
}

/// Sends FIN and waits for the server's FIN, which follows the processing of all input.
fn half_close(stream: &mut TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "the protocol has no replies");
}
