//! Messages that nothing comes back for, and records that are gathered: what a server is given in one step is there when
//! it wakes, and the next step begins when it sleeps again.

use super::message_in;
use super::open::{Close, open, open_from};
use super::{Measured, Words};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long the server's FIN may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends so many messages in all, the same number on each connection, and sees the server take them to the last.
pub(super) fn pour(words: &Words) -> Measured {
    let watched = words.watched();
    let payload = payload(words);
    let connections = words.number("connections", 1);
    let streams = (0..connections).map(|number| open(words.target(), number, Close::Reset));
    let mut streams: Vec<TcpStream> = streams.collect();
    let each_step = (connections * words.number("pipeline", 1)) as u64;
    let steps = words.count().div_ceil(each_step);
    let before = watched.cpu_ns();
    let begin = Instant::now();
    for _ in 0..steps {
        for stream in &mut streams {
            stream.write_all(&payload).unwrap();
        }
        watched.wait_until_at_rest();
    }
    for stream in &mut streams {
        end(stream);
    }
    Measured {
        done: steps * each_step,
        time: begin.elapsed(),
        server_cpu_ns: watched.cpu_ns() - before,
        ..Measured::default()
    }
}

/// Opens so many connections in all, some at a time; each brings one message and ends.
pub(super) fn records(words: &Words) -> Measured {
    let watched = words.watched();
    let payload = payload(words);
    let connections = words.number("connections", 1) as u64;
    let steps = words.count().div_ceil(connections);
    let before = watched.cpu_ns();
    let begin = Instant::now();
    for step in 0..steps {
        let streams = (0..connections).map(|_| connect(words.target(), step));
        let mut streams: Vec<TcpStream> = streams.collect();
        watched.wait_until_at_rest();
        for stream in &mut streams {
            stream.write_all(&payload).unwrap();
        }
        watched.wait_until_at_rest();
        streams.iter_mut().for_each(end);
    }
    Measured {
        done: steps * connections,
        time: begin.elapsed(),
        server_cpu_ns: watched.cpu_ns() - before,
        ..Measured::default()
    }
}

fn payload(words: &Words) -> Vec<u8> {
    let message = message_in(words.text("speech"), words.number("size", 128));
    message.repeat(words.number("pipeline", 1))
}

/// From an address that changes with the step: none comes to the end of its ports, whoever is still in `TIME_WAIT`.
fn connect(target: SocketAddr, step: u64) -> TcpStream {
    let third = u8::try_from(step % 250).unwrap();
    open_from(Ipv4Addr::new(127, 1, third, 1), target, Close::Fin)
}

/// Sends FIN, and sees the server's: it has then taken everything before it.
fn end(stream: &mut TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "nothing was to come back");
}
