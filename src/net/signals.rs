//! Signals as an event source: those that request the end of the program, and the request of an upgrade.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

/// The signals to catch: SIGTERM, and SIGINT and SIGHUP unless the process inherited them as ignored.
///
/// `nohup` ignores SIGHUP for the program that it starts, and a non-interactive shell ignores SIGINT for its background
/// jobs; catching such a signal would undo that.
pub(super) fn signals_to_catch() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_signals(&status);
    let is_ignored = |signal: i32| ignored >> (signal - 1) & 1 == 1;
    let mut signals = vec![SIGTERM, SIGINT, SIGHUP];
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

/// A signal that the program catches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, sent by service managers.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGHUP: the terminal was closed.
    Hangup,
    /// SIGHUP to a program that reloads its configuration for it.
    Reload,
    /// SIGUSR2: a new program is to take over the connections.
    Upgrade,
    /// SIGUSR1: the program is to report what it does.
    Report,
}

impl Signal {
    /// The name, as in signal(7).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
            Signal::Hangup | Signal::Reload => "SIGHUP",
            Signal::Upgrade => "SIGUSR2",
            Signal::Report => "SIGUSR1",
        }
    }

    /// The signal of a number; `reloads` is whether SIGHUP is a request to reload.
    pub(super) fn from_number(number: i32, reloads: bool) -> Option<Signal> {
        match number {
            SIGTERM => Some(Signal::Terminate),
            SIGINT => Some(Signal::Interrupt),
            SIGHUP if reloads => Some(Signal::Reload),
            SIGHUP => Some(Signal::Hangup),
            SIGUSR2 => Some(Signal::Upgrade),
            SIGUSR1 => Some(Signal::Report),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sighup_requests_a_reload_only_of_programs_that_reload() {
        assert_eq!(Signal::from_number(SIGHUP, false), Some(Signal::Hangup));
        assert_eq!(Signal::from_number(SIGHUP, true), Some(Signal::Reload));
        for reloads in [false, true] {
            let signal = Signal::from_number(SIGTERM, reloads);
            assert_eq!(signal, Some(Signal::Terminate));
        }
    }

    #[test]
    fn ignored_signals_are_parsed_from_proc_status() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        assert_eq!(ignored_signals(status), 0x1003);
        for status in ["", "SigIgn:\tnonsense\n"] {
            assert_eq!(ignored_signals(status), 0, "{status:?}");
        }
    }
}
