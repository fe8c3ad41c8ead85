//! What a run consists of, as the fuzzer draws it.

use crate::script::{Connect, Read, Write};
use crate::size::Size;
use arbitrary::{Arbitrary, Result, Unstructured};

#[derive(Arbitrary, Debug)]
pub struct Run {
    /// Whether a short read has emptied the socket.
    pub drains: bool,
    /// Begun from here, and not accepted.
    pub connecting: bool,
    pub speaks: Speaks,
    pub limits: Bounds,
    pub steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
pub enum Speaks {
    Raw,
    Messages {
        content: Vec<u8>,
        impatient: bool,
    },
    /// Messages of one byte that all ask for the same.
    ManyAlike {
        head: u8,
    },
}

#[derive(Arbitrary, Debug)]
pub struct Bounds {
    pub max_pending: Size,
    pub budget: Size,
    /// For all connections together; there is one.
    pub max_buffered: Option<Size>,
}

#[derive(Debug)]
pub enum Step {
    Read(Read),
    Write(Write),
    Connect(Connect),
    ShutdownFails,
    Drive {
        readable: bool,
        writable: bool,
        drain: bool,
    },
    /// The program stops.
    Drain,
    /// Nothing more will be said.
    HalfClose,
    /// The peer's FIN does not end what is said.
    SpeakOn,
    /// So many bytes are said from outside the session.
    Say(u8),
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(source: &mut Unstructured<'a>) -> Result<Step> {
        Ok(match source.int_in_range(0..=31)? {
            0..=8 => Step::Read(source.arbitrary()?),
            9..=17 => Step::Write(source.arbitrary()?),
            18..=26 => Step::Drive {
                readable: source.arbitrary()?,
                writable: source.arbitrary()?,
                drain: source.arbitrary()?,
            },
            27 => Step::Say(source.arbitrary()?),
            28 if source.arbitrary()? => Step::HalfClose,
            28 => Step::SpeakOn,
            29 => Step::Connect(source.arbitrary()?),
            30 => Step::Drain,
            _ => Step::ShutdownFails,
        })
    }
}
