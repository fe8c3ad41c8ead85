//! The signals that request the end of the program, as an event source.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signals to catch: SIGTERM, and SIGINT and SIGHUP unless the process inherited them as ignored.
///
/// `nohup` ignores SIGHUP for the program that it starts, and a non-interactive shell ignores SIGINT for its background
/// jobs; catching such a signal would undo that.
pub(super) fn signals_to_catch() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_signals(&status);
    let is_ignored = |signal: i32| ignored >> (signal - 1) & 1 == 1;
    let mut signals = Signal::ALL.map(|signal| signal as i32).to_vec();
    signals.retain(|signal| *signal == SIGTERM || !is_ignored(*signal));
    signals
}

/// The ignored signals of a process, one bit each (`SigIgn` of proc(5)); none if the line is missing.
fn ignored_signals(status: &str) -> u64 {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// A signal that requests the end of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Signal {
    /// SIGTERM, sent by service managers.
    Terminate = SIGTERM,
    /// SIGINT, Ctrl-C.
    Interrupt = SIGINT,
    /// SIGHUP: the terminal was closed.
    Hangup = SIGHUP,
}

impl Signal {
    const ALL: [Signal; 3] = [Signal::Terminate, Signal::Interrupt, Signal::Hangup];

    /// The name, as in signal(7).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
            Signal::Hangup => "SIGHUP",
        }
    }

    pub(super) fn from_number(number: i32) -> Option<Signal> {
        let mut all = Signal::ALL.into_iter();
        all.find(|signal| *signal as i32 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_parsed_from_proc_status() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        assert_eq!(ignored_signals(status), 0x1003);
        for status in ["", "SigIgn:\tnonsense\n"] {
            assert_eq!(ignored_signals(status), 0, "{status:?}");
        }
    }
}
