//! What is to be sent: standard input as it comes, or messages from the command line; framed, piece by piece.

use super::Failure;
use super::framing::{Encoder, TooLong};
use crate::net::Net;
use std::collections::VecDeque;
use std::io::ErrorKind;

/// How many bytes are read from standard input at once.
const PIECE: usize = 32 * 1024;

/// Where the input comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Standard input, to its end.
    Stdin,
    /// These messages, one after another.
    Messages(Vec<Vec<u8>>),
}

/// What a look at the input has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// The next bytes to send; more may be at hand.
    Piece(&'a [u8]),
    /// Nothing for now: an event will tell.
    Nothing,
    /// These bytes, and nothing behind them.
    Last(&'a [u8]),
}

/// The input on its way into messages.
#[derive(Debug)]
pub(super) struct Source {
    /// None: they come from standard input.
    messages: Option<VecDeque<Vec<u8>>>,
    encoder: Encoder,
    piece: Box<[u8]>,
    framed: Vec<u8>,
    /// Standard input may have something: no call has found it empty since it said so.
    is_ready: bool,
    has_ended: bool,
}

impl Source {
    pub(super) fn new(input: Input, encoder: Encoder) -> Source {
        let (messages, piece) = match input {
            Input::Stdin => (None, PIECE),
            Input::Messages(messages) => (Some(messages.into()), 0),
        };
        Source {
            messages,
            encoder,
            piece: vec![0; piece].into_boxed_slice(),
            framed: Vec::new(),
            is_ready: true,
            has_ended: false,
        }
    }

    /// The most bytes that are found at once.
    pub(super) fn most_at_once(&self) -> usize {
        let messages = self.messages.iter().flatten();
        let longest = messages.map(Vec::len).max().unwrap_or(0);
        self.encoder.most_out(PIECE.max(longest))
    }

    /// Standard input says that it may have something.
    pub(super) fn heed_event(&mut self) {
        self.is_ready = true;
    }

    /// Whether all has been found.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Looks for the next piece.
    pub(super) fn next(&mut self, net: &mut impl Net) -> Result<Found<'_>, Failure> {
        if self.has_ended {
            return Ok(Found::Last(&[]));
        }
        if let Some(messages) = &mut self.messages {
            let message = messages.pop_front();
            self.has_ended = messages.is_empty();
            let Some(message) = message else {
                return Ok(Found::Last(&[]));
            };
            let framed = self.encoder.message(&message, &mut self.framed);
            return found(framed, self.has_ended);
        }
        while self.is_ready {
            match net.read_stdin(&mut self.piece) {
                Ok(0) => {
                    self.has_ended = true;
                    return found(self.encoder.finish(&mut self.framed), true);
                }
                Ok(count) => {
                    let framed = self.encoder.encode(&self.piece[..count], &mut self.framed);
                    return found(framed, false);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_ready = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Input(error)),
            }
        }
        Ok(Found::Nothing)
    }
}

fn found(framed: Result<&[u8], TooLong>, is_last: bool) -> Result<Found<'_>, Failure> {
    let bytes = framed.map_err(Failure::TooLong)?;
    Ok(if is_last {
        Found::Last(bytes)
    } else {
        Found::Piece(bytes)
    })
}
