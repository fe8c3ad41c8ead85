//! Decodes replies into lines: the inverse of [`Encoder`](super::Encoder).
//!
//! Pure: bytes in, bytes out, split anywhere. Input is passed on at once, so a long reply is never held.

use super::framing::Framing;
use std::fmt;

/// Input that violates the framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A header declares a frame longer than allowed.
    TooLong {
        /// The declared length.
        declared: usize,
        /// The maximum.
        max: usize,
    },
    /// FIN came within a frame.
    Truncated {
        /// How many bytes are missing; of an incomplete header, how many of its bytes.
        missing: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::TooLong { declared, max } => {
                write!(f, "a frame of {declared} bytes, with a maximum of {max}")
            }
            Malformed::Truncated { missing } => {
                write!(f, "FIN within a frame, {missing} bytes before its end")
            }
        }
    }
}

/// Decodes replies into lines. It holds nothing but an incomplete header.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    max_message: usize,
    header: [u8; 4],
    header_len: usize,
    /// Bytes of the current frame still to come; `None` before its header is complete.
    missing: Option<usize>,
    /// The input so far does not end with a line end.
    is_line_open: bool,
}

impl Decoder {
    /// A decoder of frames of at most `max_message` bytes.
    #[must_use]
    pub fn new(framing: Framing, max_message: usize) -> Decoder {
        Decoder {
            framing,
            max_message,
            header: [0; 4],
            header_len: 0,
            missing: None,
            is_line_open: false,
        }
    }

    /// Decodes `input` and passes the result to `print`, piece by piece.
    ///
    /// # Errors
    /// A frame is too long; everything before it has been passed on.
    pub fn decode(&mut self, input: &[u8], mut print: impl FnMut(&[u8])) -> Result<(), Malformed> {
        let Framing::Frame(width) = self.framing else {
            if let Some(last) = input.last() {
                self.is_line_open = *last != b'\n';
                print(input);
            }
            return Ok(());
        };
        let mut rest = input;
        while !rest.is_empty() {
            if let Some(missing) = self.missing {
                let (piece, next) = rest.split_at(missing.min(rest.len()));
                print(piece);
                rest = next;
                self.missing = Some(missing - piece.len());
            } else {
                self.header[self.header_len] = rest[0];
                self.header_len += 1;
                rest = &rest[1..];
                if let Some(declared) = width.read(&self.header[..self.header_len]) {
                    self.header_len = 0;
                    let max = self.max_message;
                    if declared > max {
                        return Err(Malformed::TooLong { declared, max });
                    }
                    self.missing = Some(declared);
                }
            }
            if self.missing == Some(0) {
                print(b"\n");
                self.missing = None;
            }
        }
        Ok(())
    }

    /// Ends the input; returns what is still to be printed.
    ///
    /// # Errors
    /// The last frame is incomplete.
    pub fn finish(&mut self) -> Result<&'static [u8], Malformed> {
        match self.framing {
            Framing::Line if self.is_line_open => Ok(b"\n"),
            Framing::Frame(width) if self.missing.is_some() || self.header_len > 0 => {
                let missing = self.missing.unwrap_or(width.bytes() - self.header_len);
                Err(Malformed::Truncated { missing })
            }
            _ => Ok(b""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Encoder, TooLong};
    use crate::protocol::Width;
    use proptest::prelude::*;

    fn decoded(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
        let mut decoder = Decoder::new(framing, 1000);
        let mut all = Vec::new();
        for piece in pieces {
            decoder.decode(piece, |printed| all.extend_from_slice(printed))?;
        }
        all.extend_from_slice(decoder.finish()?);
        Ok(all)
    }

    fn encoded(encoder: &mut Encoder, pieces: &[&[u8]]) -> Result<Vec<u8>, TooLong> {
        let (mut all, mut framed) = (Vec::new(), Vec::new());
        for piece in pieces {
            all.extend_from_slice(encoder.encode(piece, &mut framed)?);
        }
        all.extend_from_slice(encoder.finish(&mut framed)?);
        Ok(all)
    }

    #[test]
    fn each_reply_is_printed_as_a_line() {
        let printed = decoded(Framing::Frame(Width::Two), &[b"\0\x02ab\0\0\0\x01c"]).unwrap();
        assert_eq!(printed, b"ab\n\nc\n");
        let printed = decoded(Framing::Line, &[b"ECHO a\r\n", b"ECHO b"]).unwrap();
        assert_eq!(printed, b"ECHO a\r\nECHO b\n");
        assert_eq!(decoded(Framing::Raw, &[b"ab", b""]).unwrap(), b"ab");
    }

    #[test]
    fn long_or_truncated_frame_is_malformed() {
        let http = decoded(Framing::Frame(Width::Four), &[b"HTTP/1.1"]).unwrap_err();
        let declared = 0x4854_5450;
        let max = 1000;
        assert_eq!(http, Malformed::TooLong { declared, max });
        let cut = |bytes: &[u8]| decoded(Framing::Frame(Width::Two), &[bytes]).unwrap_err();
        assert_eq!(cut(b"\0\x05ab"), Malformed::Truncated { missing: 3 });
        assert_eq!(cut(b"\0"), Malformed::Truncated { missing: 1 });
    }

    fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
    }

    proptest! {
        #[test]
        fn echoed_frames_split_anywhere_print_the_input_lines(
            lines in prop::collection::vec("[a-z\r]{0,20}[a-z]|", 0..20),
            width in prop::sample::select(vec![Width::One, Width::Two, Width::Four]),
            input_cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            reply_cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let typed: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
            let framing = Framing::Frame(width);
            let mut encoder = Encoder::new(framing, 1000);
            let most = encoder.max_output(typed.len());
            let sent = encoded(&mut encoder, &pieces(typed.as_bytes(), &input_cuts)).unwrap();
            prop_assert!(sent.len() <= most);
            let printed = decoded(framing, &pieces(&sent, &reply_cuts)).unwrap();
            prop_assert_eq!(printed, typed.as_bytes());
        }
    }
}
