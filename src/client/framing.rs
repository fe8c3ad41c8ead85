//! Encodes input lines as messages of a protocol.
//!
//! Pure: bytes in, bytes out, split anywhere. [`Decoder`](super::Decoder) is the inverse.

use crate::protocol::Width;

/// How messages are delimited on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// They are not: a stream of bytes.
    Raw,
    /// By line ends.
    Line,
    /// By a length before each, as Erlang's `{packet, N}`.
    Frame(Width),
}

impl Framing {
    /// The length of the longest message that the framing can carry.
    #[must_use]
    pub fn max_message(self) -> usize {
        match self {
            Framing::Raw | Framing::Line => usize::MAX,
            Framing::Frame(width) => width.max_length(),
        }
    }

    fn push_message(self, message: &[u8], framed: &mut Vec<u8>) {
        if let Framing::Frame(width) = self {
            width.write(message.len(), framed);
        }
        framed.extend_from_slice(message);
        if self == Framing::Line {
            framed.push(b'\n');
        }
    }
}

/// An input line that is too long for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The number of the line, from 1.
    pub line: u64,
    /// The length of the longest message allowed.
    pub max: usize,
}

/// Encodes each input line as one message, without its line end (LF or CRLF).
#[derive(Debug)]
pub struct Encoder {
    framing: Framing,
    max_message: usize,
    /// An incomplete line, at most `max_message` bytes and a line end.
    partial: Vec<u8>,
    /// The input so far does not end with a line end.
    is_line_open: bool,
    lines: u64,
}

impl Encoder {
    /// An encoder of frames of at most `max_message` bytes, or fewer if the header cannot hold that length. Raw bytes
    /// and lines are passed on unheld, so their length is not limited.
    #[must_use]
    pub fn new(framing: Framing, max_message: usize) -> Encoder {
        Encoder {
            framing,
            max_message: match framing {
                Framing::Raw | Framing::Line => usize::MAX,
                Framing::Frame(_) => max_message.min(framing.max_message()),
            },
            partial: Vec::new(),
            is_line_open: false,
            lines: 0,
        }
    }

    /// The longest output of one call for `input` bytes: each may be an empty line, which becomes a header.
    #[must_use]
    pub fn max_output(&self, input: usize) -> usize {
        match self.framing {
            Framing::Raw | Framing::Line => input + 1,
            Framing::Frame(width) => input
                .saturating_mul(width.bytes())
                .saturating_add(self.max_message)
                .saturating_add(width.bytes()),
        }
    }

    /// Encodes `piece`, the next bytes of the input. The result may be stored in `framed`, which is cleared first.
    ///
    /// # Errors
    /// A line is too long for one message.
    pub fn encode<'a>(
        &mut self,
        piece: &'a [u8],
        framed: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], TooLong> {
        framed.clear();
        if let Some(last) = piece.last() {
            self.is_line_open = *last != b'\n';
        }
        let Framing::Frame(_) = self.framing else {
            return Ok(piece);
        };
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if part.ends_with(b"\n") && self.partial.is_empty() {
                self.end_line(part, framed)?;
                continue;
            }
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_partial_line(framed)?;
            } else if self.partial.len() > self.max_message.saturating_add(1) {
                // One byte more than a message may be the CR of a line end.
                return Err(self.too_long());
            }
        }
        Ok(framed)
    }

    /// Encodes the end of the input: a last line without a line end is a message too.
    ///
    /// # Errors
    /// That line is too long for one message.
    pub fn finish<'a>(&mut self, framed: &'a mut Vec<u8>) -> Result<&'a [u8], TooLong> {
        framed.clear();
        if std::mem::take(&mut self.is_line_open) {
            match self.framing {
                Framing::Raw => {}
                Framing::Line => framed.push(b'\n'),
                Framing::Frame(_) => self.end_partial_line(framed)?,
            }
        }
        Ok(framed)
    }

    /// Encodes one message, which may contain line ends.
    ///
    /// # Errors
    /// It is too long.
    pub fn message<'a>(
        &mut self,
        message: &[u8],
        framed: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], TooLong> {
        framed.clear();
        self.push_message(message, framed)?;
        Ok(framed)
    }

    fn end_partial_line(&mut self, framed: &mut Vec<u8>) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.partial);
        self.end_line(&line, framed)
    }

    fn end_line(&mut self, line: &[u8], framed: &mut Vec<u8>) -> Result<(), TooLong> {
        let text = match line.strip_suffix(b"\n") {
            Some(text) => text.strip_suffix(b"\r").unwrap_or(text),
            None => line,
        };
        self.push_message(text, framed)
    }

    fn push_message(&mut self, message: &[u8], framed: &mut Vec<u8>) -> Result<(), TooLong> {
        if message.len() > self.max_message {
            return Err(self.too_long());
        }
        self.lines += 1;
        self.framing.push_message(message, framed);
        Ok(())
    }

    fn too_long(&self) -> TooLong {
        TooLong {
            line: self.lines + 1,
            max: self.max_message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoder: &mut Encoder, pieces: &[&[u8]]) -> Result<Vec<u8>, TooLong> {
        let (mut all, mut framed) = (Vec::new(), Vec::new());
        for piece in pieces {
            all.extend_from_slice(encoder.encode(piece, &mut framed)?);
        }
        all.extend_from_slice(encoder.finish(&mut framed)?);
        Ok(all)
    }

    #[test]
    fn each_line_is_a_frame_also_empty_and_unterminated() {
        let mut encoder = Encoder::new(Framing::Frame(Width::Two), 1000);
        let framed = encoded(&mut encoder, &[b"ab\r\n\nc", b"d\r", b"\ne"]).unwrap();
        assert_eq!(framed, b"\0\x02ab\0\0\0\x02cd\0\x01e");
        let mut encoder = Encoder::new(Framing::Frame(Width::Four), 1000);
        assert_eq!(encoded(&mut encoder, &[b"a\n"]).unwrap(), b"\0\0\0\x01a");
    }

    #[test]
    fn lines_are_unchanged_and_the_last_is_terminated() {
        for (input, sent) in [("a\r\nb", "a\r\nb\n"), ("a\n", "a\n"), ("", "")] {
            let mut encoder = Encoder::new(Framing::Line, 1000);
            let bytes = encoded(&mut encoder, &[input.as_bytes()]).unwrap();
            assert_eq!(bytes, sent.as_bytes(), "{input:?}");
        }
        let mut encoder = Encoder::new(Framing::Raw, 1);
        assert_eq!(encoded(&mut encoder, &[b"a\nb"]).unwrap(), b"a\nb");
    }

    #[test]
    fn line_too_long_for_a_frame_is_an_error_with_its_number() {
        let mut encoder = Encoder::new(Framing::Frame(Width::One), 1000);
        let longest = [b'x'; 255];
        let framed = encoded(&mut encoder, &[&longest, b"\r\n"]).unwrap();
        assert_eq!(framed.len(), 256);
        let error = encoded(&mut encoder, &[&longest, b"x\n"]).unwrap_err();
        assert_eq!(error, TooLong { line: 2, max: 255 });
        let mut encoder = Encoder::new(Framing::Frame(Width::Four), 10);
        let mut framed = Vec::new();
        let error = encoder.encode(&[b'x'; 12], &mut framed).unwrap_err();
        assert_eq!(error, TooLong { line: 1, max: 10 });
        assert!(encoder.message(&[b'x'; 11], &mut framed).is_err());
    }

    #[test]
    fn single_message_may_contain_line_ends() {
        let mut framed = Vec::new();
        let mut of = |framing| {
            let mut encoder = Encoder::new(framing, 1000);
            encoder.message(b"a\nb", &mut framed).unwrap().to_vec()
        };
        assert_eq!(of(Framing::Raw), b"a\nb");
        assert_eq!(of(Framing::Line), b"a\nb\n");
        assert_eq!(of(Framing::Frame(Width::One)), b"\x03a\nb");
    }

    #[test]
    fn only_the_length_of_frames_is_limited() {
        let mut framed = Vec::new();
        for framing in [Framing::Raw, Framing::Line] {
            let mut encoder = Encoder::new(framing, 3);
            assert_eq!(encoder.encode(b"hello\n", &mut framed), Ok(&b"hello\n"[..]));
            let message = encoder.message(b"hello", &mut framed).unwrap();
            assert!(message.starts_with(b"hello"), "{framing:?}");
        }
        let too_long = TooLong { line: 1, max: 3 };
        let mut encoder = Encoder::new(Framing::Frame(Width::One), 3);
        assert_eq!(encoder.message(b"hello", &mut framed), Err(too_long));
    }
}
