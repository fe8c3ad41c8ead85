//! The client sends each piece when the server has read the one before, so each read returns one piece.

use super::{Outcome, Place, Trap};
use crate::lab::traps::loopback::{join, pair, until};
use crate::lab::traps::partial_frame::{right, wrong};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(super) const TRAP: Trap = Trap {
    name: "partial-frame",
    sentence: "a read is not a message",
    experiment: "A client sends 3 messages: hello, world, end. The network delivers them in 3 other \
                 pieces.",
    predicted_wrong: "3 messages, all different from those",
    predicted_right: "hello, world, end",
    why: "TCP preserves the order of the bytes, not the boundaries of the writes: segments are \
          merged and split on their way. On loopback they rarely are, so no test notices.",
    source: source!("partial_frame.rs"),
    in_echoloop: Place {
        path: "src/protocol/frame.rs",
        item: "fn receive",
        how: "a session returns how many bytes it has consumed, and the connection keeps the rest. \
              A property test splits the input of each protocol everywhere.",
    },
    is_child: false,
    wrong: || run(|client| wrong(client)),
    right: || run(|client| right(client)),
};

/// The byte before each message is its length.
const PIECES: [&[u8]; 3] = [b"\x05he", b"llo\x05wor", b"ld\x03end"];

/// A connection that counts the bytes that were read.
struct Counted<'a> {
    stream: &'a TcpStream,
    count: &'a AtomicUsize,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.count.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }
}

fn run(version: fn(Counted<'_>) -> io::Result<Vec<String>>) -> io::Result<Outcome> {
    let (mut client, server) = pair()?;
    let count = AtomicUsize::new(0);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0;
            for piece in PIECES {
                client.write_all(piece)?;
                sent += piece.len();
                until(|| Ok(count.load(Ordering::Relaxed) == sent))?;
            }
            client.shutdown(Shutdown::Write)
        });
        let messages = version(Counted {
            stream: &server,
            count: &count,
        })?;
        join(sending)?;
        let is_right = messages == ["hello", "world", "end"];
        Ok(Outcome::new(!is_right, is_right, messages.join(", ")))
    })
}
