//! How what is typed becomes messages on the wire.
//!
//! Pure: bytes in, bytes out, cut anywhere. It stands between the input and the connection; the way back is
//! [`Decoder`](super::Decoder)'s.

/// How messages are told apart on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Not at all: bytes as they are.
    Raw,
    /// By line ends.
    Line,
    /// By a big-endian length of this many bytes before each (1, 2 or 4), as Erlang's `{packet, N}`.
    Frame(usize),
}

impl Framing {
    /// The longest message that it can carry.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Framing::Raw | Framing::Line => usize::MAX,
            Framing::Frame(size) => (1 << (8 * size.min(4))) - 1,
        }
    }

    fn push_message(self, message: &[u8], framed: &mut Vec<u8>) {
        match self {
            Framing::Raw => framed.extend_from_slice(message),
            Framing::Line => {
                framed.extend_from_slice(message);
                framed.push(b'\n');
            }
            Framing::Frame(size) => {
                let length = (message.len() as u64).to_be_bytes();
                framed.extend_from_slice(&length[length.len() - size..]);
                framed.extend_from_slice(message);
            }
        }
    }
}

/// A line of the input cannot be sent as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Which line it is, from 1 on.
    pub line: u64,
    /// How many bytes a message may have.
    pub most: usize,
}

/// Makes messages of the input: each line is one, without its line end (LF or CRLF).
#[derive(Debug)]
pub struct Encoder {
    framing: Framing,
    most: usize,
    /// A line whose end has not come yet. Never longer than `most` and a line end.
    partial: Vec<u8>,
    /// The input so far does not end with a line end.
    is_open: bool,
    lines: u64,
}

impl Encoder {
    /// For frames of at most `max_message` bytes, or fewer if the header cannot carry that. What is not framed has no
    /// limit, since none of it is held.
    #[must_use]
    pub fn new(framing: Framing, max_message: usize) -> Encoder {
        Encoder {
            framing,
            most: match framing {
                Framing::Raw | Framing::Line => framing.most(),
                Framing::Frame(_) => max_message.min(framing.most()),
            },
            partial: Vec::new(),
            is_open: false,
            lines: 0,
        }
    }

    /// The most bytes that come of `piece` bytes put in at once: each may be an empty line, and get a header.
    #[must_use]
    pub fn most_out(&self, piece: usize) -> usize {
        match self.framing {
            Framing::Raw | Framing::Line => piece + 1,
            Framing::Frame(size) => {
                let longest = piece.saturating_mul(size).max(piece);
                longest.saturating_add(self.most).saturating_add(size)
            }
        }
    }

    /// What is to be sent for `piece`, the next of the input; it may stand in `framed`, which is emptied first.
    ///
    /// # Errors
    /// A line is too long to be one message.
    pub fn encode<'a>(
        &mut self,
        piece: &'a [u8],
        framed: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], TooLong> {
        framed.clear();
        if let Some(last) = piece.last() {
            self.is_open = *last != b'\n';
        }
        let Framing::Frame(_) = self.framing else {
            return Ok(piece);
        };
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(_) if self.partial.is_empty() => self.end_line(part, framed)?,
                Some(_) => {
                    let mut line = std::mem::take(&mut self.partial);
                    line.extend_from_slice(part);
                    self.end_line(&line, framed)?;
                }
                None => self.partial.extend_from_slice(part),
            }
            // A line end of two bytes may still come.
            if self.partial.len() > self.most.saturating_add(1) {
                return Err(self.too_long());
            }
        }
        Ok(framed)
    }

    /// What is to be sent at the end of the input: its last line may have no line end, and is a message all the same.
    ///
    /// # Errors
    /// That line is too long to be one message.
    pub fn finish<'a>(&mut self, framed: &'a mut Vec<u8>) -> Result<&'a [u8], TooLong> {
        framed.clear();
        if self.is_open {
            self.is_open = false;
            match self.framing {
                Framing::Raw => {}
                Framing::Line => framed.push(b'\n'),
                Framing::Frame(_) => {
                    let line = std::mem::take(&mut self.partial);
                    self.end_line(&line, framed)?;
                }
            }
        }
        Ok(framed)
    }

    /// What is to be sent for a message that stands by itself, whatever bytes are in it.
    ///
    /// # Errors
    /// It is too long.
    pub fn message<'a>(
        &mut self,
        message: &[u8],
        framed: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], TooLong> {
        framed.clear();
        if message.len() > self.most {
            return Err(self.too_long());
        }
        self.lines += 1;
        self.framing.push_message(message, framed);
        Ok(framed)
    }

    fn end_line(&mut self, line: &[u8], framed: &mut Vec<u8>) -> Result<(), TooLong> {
        let text = match line.strip_suffix(b"\n") {
            Some(text) => text.strip_suffix(b"\r").unwrap_or(text),
            None => line,
        };
        if text.len() > self.most {
            return Err(self.too_long());
        }
        self.lines += 1;
        self.framing.push_message(text, framed);
        Ok(())
    }

    fn too_long(&self) -> TooLong {
        TooLong {
            line: self.lines + 1,
            most: self.most,
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
    fn each_line_of_the_input_is_a_frame_the_empty_and_the_last_one_too() {
        let mut encoder = Encoder::new(Framing::Frame(2), 1000);
        let framed = encoded(&mut encoder, &[b"ab\r\n\nc", b"d\r", b"\ne"]).unwrap();
        assert_eq!(framed, b"\0\x02ab\0\0\0\x02cd\0\x01e");
        let mut encoder = Encoder::new(Framing::Frame(4), 1000);
        assert_eq!(encoded(&mut encoder, &[b"a\n"]).unwrap(), b"\0\0\0\x01a");
    }

    #[test]
    fn a_line_is_sent_as_it_is_and_the_last_one_gets_an_end() {
        for (typed, sent) in [("a\r\nb", "a\r\nb\n"), ("a\n", "a\n"), ("", "")] {
            let mut encoder = Encoder::new(Framing::Line, 1000);
            let bytes = encoded(&mut encoder, &[typed.as_bytes()]).unwrap();
            assert_eq!(bytes, sent.as_bytes(), "{typed:?}");
        }
        let mut encoder = Encoder::new(Framing::Raw, 1);
        assert_eq!(encoded(&mut encoder, &[b"a\nb"]).unwrap(), b"a\nb");
    }

    #[test]
    fn a_line_too_long_for_its_header_is_named_by_its_number() {
        let mut encoder = Encoder::new(Framing::Frame(1), 1000);
        let longest = [b'x'; 255];
        let framed = encoded(&mut encoder, &[&longest, b"\r\n"]).unwrap();
        assert_eq!(framed.len(), 256);
        let error = encoded(&mut encoder, &[&longest, b"x\n"]).unwrap_err();
        assert_eq!(error, TooLong { line: 2, most: 255 });
        let mut encoder = Encoder::new(Framing::Frame(4), 10);
        let mut framed = Vec::new();
        let error = encoder.encode(&[b'x'; 12], &mut framed).unwrap_err();
        assert_eq!(error, TooLong { line: 1, most: 10 });
        assert!(encoder.message(&[b'x'; 11], &mut framed).is_err());
    }

    #[test]
    fn a_message_that_stands_by_itself_may_hold_line_ends() {
        let mut framed = Vec::new();
        let mut of = |framing| {
            let mut encoder = Encoder::new(framing, 1000);
            encoder.message(b"a\nb", &mut framed).unwrap().to_vec()
        };
        assert_eq!(of(Framing::Raw), b"a\nb");
        assert_eq!(of(Framing::Line), b"a\nb\n");
        assert_eq!(of(Framing::Frame(1)), b"\x03a\nb");
    }

    #[test]
    fn only_of_frames_the_length_is_limited_however_they_come() {
        let mut framed = Vec::new();
        for framing in [Framing::Raw, Framing::Line] {
            let mut encoder = Encoder::new(framing, 3);
            assert_eq!(encoder.encode(b"hello\n", &mut framed), Ok(&b"hello\n"[..]));
            let message = encoder.message(b"hello", &mut framed).unwrap();
            assert!(message.starts_with(b"hello"), "{framing:?}");
        }
        let too_long = TooLong { line: 1, most: 3 };
        let mut encoder = Encoder::new(Framing::Frame(1), 3);
        assert_eq!(encoder.message(b"hello", &mut framed), Err(too_long));
    }
}
