//! The input of `send`: standard input or messages from the command line, encoded piece by piece.

use super::Failure;
use super::framing::{Encoder, TooLong};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

/// The most bytes read from standard input at once.
const READ_SIZE: usize = 32 * 1024;

/// What to send.
#[derive(Clone, Debug)]
pub enum Input {
    /// Standard input, to its end.
    Stdin,
    /// These messages, in order.
    Messages(Vec<Vec<u8>>),
}

/// The result of reading the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Bytes to send; more may be available.
    More(&'a [u8]),
    /// Nothing is available before the next event.
    NotReady,
    /// The last bytes to send.
    Last(&'a [u8]),
}

/// Reads and encodes the input.
pub(super) struct InputReader {
    stdin: Box<dyn Read>,
    /// The messages to send; `None`: standard input is read.
    messages: Option<VecDeque<Vec<u8>>>,
    encoder: Encoder,
    buffer: Box<[u8]>,
    framed: Vec<u8>,
    /// Standard input may be readable: no read has returned `WouldBlock` since the last event.
    is_ready: bool,
    has_ended: bool,
}

impl InputReader {
    pub(super) fn new(input: Input, stdin: Box<dyn Read>, encoder: Encoder) -> InputReader {
        let (messages, buffer) = match input {
            Input::Stdin => (None, READ_SIZE),
            Input::Messages(messages) => (Some(messages.into()), 0),
        };
        InputReader {
            stdin,
            messages,
            encoder,
            buffer: vec![0; buffer].into_boxed_slice(),
            framed: Vec::new(),
            is_ready: true,
            has_ended: false,
        }
    }

    /// The most bytes of one [`Piece`].
    pub(super) fn max_piece(&self) -> usize {
        let messages = self.messages.iter().flatten();
        let longest = messages.map(Vec::len).max().unwrap_or(0);
        self.encoder.max_output(READ_SIZE.max(longest))
    }

    /// Standard input may be readable again.
    pub(super) fn on_readable(&mut self) {
        self.is_ready = true;
    }

    /// Whether the last piece has been returned.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Reads and encodes the next piece.
    pub(super) fn next(&mut self) -> Result<Piece<'_>, Failure> {
        if self.has_ended {
            return Ok(Piece::Last(&[]));
        }
        if let Some(messages) = &mut self.messages {
            let message = messages.pop_front();
            self.has_ended = messages.is_empty();
            let Some(message) = message else {
                return Ok(Piece::Last(&[]));
            };
            let framed = self.encoder.message(&message, &mut self.framed);
            return piece(framed, self.has_ended);
        }
        while self.is_ready {
            match self.stdin.read(&mut self.buffer) {
                Ok(0) => {
                    self.has_ended = true;
                    return piece(self.encoder.finish(&mut self.framed), true);
                }
                Ok(count) => {
                    let framed = self.encoder.encode(&self.buffer[..count], &mut self.framed);
                    return piece(framed, false);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_ready = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Input(error)),
            }
        }
        Ok(Piece::NotReady)
    }
}

fn piece(framed: Result<&[u8], TooLong>, is_last: bool) -> Result<Piece<'_>, Failure> {
    let bytes = framed.map_err(Failure::TooLong)?;
    Ok(if is_last {
        Piece::Last(bytes)
    } else {
        Piece::More(bytes)
    })
}
