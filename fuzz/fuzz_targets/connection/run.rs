//! The input of a run, as drawn by the fuzzer.

use crate::script::{Connect, Read, Write};
use crate::size::Size;
use arbitrary::{Arbitrary, Result, Unstructured};

#[derive(Arbitrary, Debug)]
pub struct Run {
    /// Whether a short read has drained the socket.
    pub drains: bool,
    /// An outgoing connection, not an accepted one.
    pub connecting: bool,
    pub protocol: ProtocolChoice,
    pub limits: Bounds,
    pub steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
pub enum ProtocolChoice {
    Raw,
    Messages {
        content: Vec<u8>,
        impatient: bool,
    },
    /// Messages of one byte with the same operation.
    OneByteMessages {
        header: u8,
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
    SocketRead(Read),
    SocketWrite(Write),
    Connect(Connect),
    ShutdownFails,
    Drive {
        readable: bool,
        writable: bool,
        drain: bool,
    },
    /// The server drains.
    Drain,
    /// The session's output is complete.
    HalfClose,
    /// The peer's FIN does not end the output.
    AllowHalfOpen,
    /// Output of this length from outside the session.
    Write(u8),
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(source: &mut Unstructured<'a>) -> Result<Step> {
        Ok(match source.int_in_range(0..=31)? {
            0..=8 => Step::SocketRead(source.arbitrary()?),
            9..=17 => Step::SocketWrite(source.arbitrary()?),
            18..=26 => Step::Drive {
                readable: source.arbitrary()?,
                writable: source.arbitrary()?,
                drain: source.arbitrary()?,
            },
            27 => Step::Write(source.arbitrary()?),
            28 if source.arbitrary()? => Step::HalfClose,
            28 => Step::AllowHalfOpen,
            29 => Step::Connect(source.arbitrary()?),
            30 => Step::Drain,
            _ => Step::ShutdownFails,
        })
    }
}
