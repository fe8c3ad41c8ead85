//! The signals that ask the program to end, as one more thing that can be ready.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signals to catch: SIGTERM, and SIGINT and SIGHUP unless they were inherited as ignored.
///
/// `nohup` ignores SIGHUP for the program that it starts, and a non-interactive shell ignores SIGINT for its background
/// jobs; to catch such a signal would undo that.
pub(super) fn signals_to_catch() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_signals(&status);
    let is_ignored = |signal: i32| ignored >> (signal - 1) & 1 == 1;
    [SIGTERM, SIGINT, SIGHUP]
        .into_iter()
        .filter(|&signal| signal == SIGTERM || !is_ignored(signal))
        .collect()
}

/// The signals that a process ignores, one bit each (`SigIgn` of proc(5)); none where that is not given.
fn ignored_signals(status: &str) -> u64 {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0)
}

/// A request to end, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, as service managers send it.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGHUP, the terminal has gone.
    Hangup,
}

impl Signal {
    /// Its name, as in signal(7).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
            Signal::Hangup => "SIGHUP",
        }
    }

    pub(super) fn from_number(number: i32) -> Option<Signal> {
        match number {
            SIGTERM => Some(Signal::Terminate),
            SIGINT => Some(Signal::Interrupt),
            SIGHUP => Some(Signal::Hangup),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_proc_status() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        assert_eq!(ignored_signals(status), 0x1003);
        for without in ["", "SigIgn:\tnonsense\n"] {
            assert_eq!(ignored_signals(without), 0, "{without:?}");
        }
    }
}
