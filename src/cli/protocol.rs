//! The protocols, by the names that users type.

use crate::client::Framing;
use crate::protocol::Width;
use clap::ValueEnum;

/// The argument of `--protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProtocolArg {
    Raw,
    Line,
    #[value(name = "frame:1")]
    Frame1,
    #[value(name = "frame:2")]
    Frame2,
    #[value(name = "frame:4")]
    Frame4,
    Discard,
    Collect,
    Clock,
}

impl ProtocolArg {
    /// How a client of this protocol frames messages. `discard`, `collect` and `clock` take bytes, as `raw`
    /// does.
    pub(super) fn framing(self) -> Framing {
        match self {
            ProtocolArg::Raw | ProtocolArg::Discard | ProtocolArg::Collect | ProtocolArg::Clock => {
                Framing::Raw
            }
            ProtocolArg::Line => Framing::Line,
            ProtocolArg::Frame1 => Framing::Frame(Width::One),
            ProtocolArg::Frame2 => Framing::Frame(Width::Two),
            ProtocolArg::Frame4 => Framing::Frame(Width::Four),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_names_are_exact() {
        let parse = |name| ProtocolArg::from_str(name, false).map(ProtocolArg::framing);
        assert_eq!(parse("collect"), Ok(Framing::Raw));
        assert_eq!(parse("clock"), Ok(Framing::Raw));
        assert_eq!(parse("line"), Ok(Framing::Line));
        assert_eq!(parse("frame:4"), Ok(Framing::Frame(Width::Four)));
        for wrong in ["frame", "frame:3", "Raw", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
