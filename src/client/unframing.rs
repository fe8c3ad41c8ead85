//! How replies become lines again: the way back of [`Encoder`](super::Encoder).
//!
//! Pure: bytes in, bytes out, cut anywhere. What comes is passed on as it comes, so nothing of a long reply is held.

use super::framing::Framing;
use std::fmt;

/// What the server sent is not what the framing asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A header declares more than is allowed.
    TooLong {
        /// The length that it declares.
        declared: usize,
        /// What is allowed.
        most: usize,
    },
    /// The end came within a frame.
    CutShort {
        /// How many bytes of it are missing; at least so many, if even its header is incomplete.
        missing: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::TooLong { declared, most } => {
                write!(
                    f,
                    "it declares a frame of {declared} bytes, of at most {most}"
                )
            }
            Malformed::CutShort { missing } => {
                write!(f, "it ended within a frame, {missing} bytes before its end")
            }
        }
    }
}

/// Makes lines of the replies. What comes is passed on as it comes: nothing is kept but an incomplete header.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    most: usize,
    header: [u8; 4],
    header_read: usize,
    /// Bytes of the frame at hand that have not come yet; `None`: its header is not complete.
    missing: Option<usize>,
    is_open: bool,
}

impl Decoder {
    /// For replies of at most `max_message` bytes.
    #[must_use]
    pub fn new(framing: Framing, max_message: usize) -> Decoder {
        Decoder {
            framing,
            most: max_message,
            header: [0; 4],
            header_read: 0,
            missing: None,
            is_open: false,
        }
    }

    /// Hands what is to be printed for `input` to `print`, piece by piece.
    ///
    /// # Errors
    /// A frame is too long; what came before it has been printed.
    pub fn decode(&mut self, input: &[u8], mut print: impl FnMut(&[u8])) -> Result<(), Malformed> {
        let Framing::Frame(size) = self.framing else {
            if let Some(last) = input.last() {
                self.is_open = *last != b'\n';
                print(input);
            }
            return Ok(());
        };
        let mut rest = input;
        while !rest.is_empty() {
            if let Some(missing) = self.missing {
                let (piece, behind) = rest.split_at(missing.min(rest.len()));
                print(piece);
                rest = behind;
                self.missing = Some(missing - piece.len());
            } else {
                self.header[self.header_read] = rest[0];
                self.header_read += 1;
                rest = &rest[1..];
                if self.header_read == size {
                    self.missing = Some(self.take_header(size)?);
                }
            }
            if self.missing == Some(0) {
                print(b"\n");
                self.missing = None;
            }
        }
        Ok(())
    }

    fn take_header(&mut self, size: usize) -> Result<usize, Malformed> {
        let bytes = &self.header[..size];
        let declared = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        self.header_read = 0;
        if declared > self.most {
            return Err(Malformed::TooLong {
                declared,
                most: self.most,
            });
        }
        Ok(declared)
    }

    /// The server has said all: what is to be printed for that.
    ///
    /// # Errors
    /// A frame has begun that is not complete.
    pub fn finish(&mut self) -> Result<&'static [u8], Malformed> {
        match self.framing {
            Framing::Line if self.is_open => Ok(b"\n"),
            Framing::Frame(size) if self.missing.is_some() || self.header_read > 0 => {
                let missing = self.missing.unwrap_or(size - self.header_read);
                Err(Malformed::CutShort { missing })
            }
            _ => Ok(b""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Encoder, TooLong};
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
    fn each_reply_is_a_line() {
        let printed = decoded(Framing::Frame(2), &[b"\0\x02ab\0\0\0\x01c"]).unwrap();
        assert_eq!(printed, b"ab\n\nc\n");
        let printed = decoded(Framing::Line, &[b"ECHO a\r\n", b"ECHO b"]).unwrap();
        assert_eq!(printed, b"ECHO a\r\nECHO b\n");
        assert_eq!(decoded(Framing::Raw, &[b"ab", b""]).unwrap(), b"ab");
    }

    #[test]
    fn a_reply_that_is_no_frame_is_found_out() {
        let http = decoded(Framing::Frame(4), &[b"HTTP/1.1"]).unwrap_err();
        let declared = 0x4854_5450;
        assert_eq!(
            http,
            Malformed::TooLong {
                declared,
                most: 1000
            }
        );
        let cut = |bytes: &[u8]| decoded(Framing::Frame(2), &[bytes]).unwrap_err();
        assert_eq!(cut(b"\0\x05ab"), Malformed::CutShort { missing: 3 });
        assert_eq!(cut(b"\0"), Malformed::CutShort { missing: 1 });
    }

    fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
    }

    proptest! {
        #[test]
        fn however_input_and_replies_are_cut_an_echo_prints_each_line_again(
            lines in prop::collection::vec("[a-z\r]{0,20}[a-z]|", 0..20),
            size in prop::sample::select(vec![1_usize, 2, 4]),
            input_cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            reply_cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let typed: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
            let framing = Framing::Frame(size);
            let mut encoder = Encoder::new(framing, 1000);
            let most = encoder.most_out(typed.len());
            let sent = encoded(&mut encoder, &pieces(typed.as_bytes(), &input_cuts)).unwrap();
            prop_assert!(sent.len() <= most);
            let printed = decoded(framing, &pieces(&sent, &reply_cuts)).unwrap();
            prop_assert_eq!(printed, typed.as_bytes());
        }
    }
}
