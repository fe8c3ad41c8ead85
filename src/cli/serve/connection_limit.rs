//! How many connections `serve` admits, and what limits them.

use crate::doctor::{Limit, RESERVED_FDS, hint};
use crate::server::{Config, Refusal, Shortage};

/// What sets the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// `--max-connections`.
    Flag,
    /// The limit of file descriptors.
    Fds,
    /// The default of `--max-connections`.
    Default,
}

/// The most connections at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimit {
    pub(super) connections: usize,
    origin: Origin,
    /// The limit of file descriptors of the process.
    fds: usize,
    /// The connections that it allows.
    allowed: usize,
}

impl ConnectionLimit {
    /// The limit by the flag, if it is given, for a process that may have `fds` file descriptors, `others` of them for
    /// listeners and what they serve beside clients.
    pub(super) fn new(flag: Option<usize>, fds: u64, others: usize) -> ConnectionLimit {
        let fds = usize::try_from(fds).unwrap_or(usize::MAX);
        let allowed = fds.saturating_sub(RESERVED_FDS + others).max(1);
        let default = Config::default().max_connections;
        let (connections, origin) = match flag {
            Some(connections) => (connections, Origin::Flag),
            None if allowed < default => (allowed, Origin::Fds),
            None => (default, Origin::Default),
        };
        ConnectionLimit {
            connections,
            origin,
            fds,
            allowed,
        }
    }

    /// Warns of more connections than file descriptors.
    pub(super) fn warn(&self) {
        let ConnectionLimit {
            connections,
            fds,
            allowed,
            ..
        } = self;
        if self.is_too_high() {
            log::warn!(
                "--max-connections {connections} is more than the {fds} file descriptors allow: \
                 clients above {allowed} will wait; {}",
                hint(Limit::Fds)
            );
        }
    }

    /// Logs the limit, unless there was a warning.
    pub(super) fn log(&self) {
        let ConnectionLimit {
            connections, fds, ..
        } = self;
        match self.origin {
            Origin::Flag if self.is_too_high() => {}
            Origin::Flag => log::info!("at most {connections} connections (--max-connections)"),
            Origin::Fds => log::info!(
                "at most {connections} connections, since the process may have {fds} file descriptors; {}",
                hint(Limit::Fds)
            ),
            Origin::Default => {
                log::info!("at most {connections} connections (the default of --max-connections)");
            }
        }
    }

    fn is_too_high(&self) -> bool {
        self.connections > self.allowed
    }

    /// What to do about a limit that keeps clients out, appended to the server's warning.
    pub(super) fn advice(&self) -> fn(Shortage<'_>) -> String {
        match self.origin {
            Origin::Fds => |shortage| match shortage {
                Shortage::Refused(Refusal::MaxConnections) => format!("; {}", hint(Limit::Fds)),
                _ => advice(shortage),
            },
            Origin::Flag | Origin::Default => advice,
        }
    }
}

fn advice(shortage: Shortage<'_>) -> String {
    match shortage {
        Shortage::Refused(Refusal::MaxConnections) => "; raise --max-connections".to_owned(),
        Shortage::Refused(Refusal::MaxPerSource) => "; raise --max-per-source".to_owned(),
        Shortage::Refused(Refusal::NoMemory) => format!("; {}", hint(Limit::Memory)),
        Shortage::Refused(Refusal::MaxHandshakes) => "; raise --max-handshakes".to_owned(),
        Shortage::Refused(Refusal::Denied) => "; see --allow and --deny".to_owned(),
        Shortage::Refused(Refusal::NotProxy) => "; see --proxy-from".to_owned(),
        Shortage::Rate => "; raise --accept-rate".to_owned(),
        Shortage::Paused(error) => {
            let limit = Limit::behind(error).unwrap_or(Limit::Memory);
            format!("; lower --max-connections, or {}", hint(limit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn flag_precedes_the_file_descriptors_and_these_the_default() {
        let limit = |flag, fds| ConnectionLimit::new(flag, fds, 1);
        let flag = limit(Some(10), 1024);
        assert_eq!((flag.connections, flag.origin), (10, Origin::Flag));
        let few = limit(None, 100);
        assert_eq!(few.connections, 100 - RESERVED_FDS - 1);
        assert_eq!(few.origin, Origin::Fds);
        let many = limit(None, 1 << 30);
        assert_eq!(
            (many.connections, many.origin),
            (1_000_000, Origin::Default)
        );
        assert_eq!(limit(None, 3).connections, 1);
    }

    #[test]
    fn advice_names_the_flag_or_command_that_raises_the_limit() {
        for (shortage, remedy) in [
            (
                Shortage::Refused(Refusal::MaxConnections),
                "--max-connections",
            ),
            (Shortage::Refused(Refusal::MaxPerSource), "--max-per-source"),
            (Shortage::Refused(Refusal::NoMemory), "echoloop doctor"),
            (Shortage::Paused(&Errno::MFILE.into()), "ulimit -n"),
        ] {
            let advice = ConnectionLimit::new(None, 1 << 30, 1).advice()(shortage);
            assert!(
                advice.starts_with("; ") && advice.contains(remedy),
                "{advice}"
            );
        }
    }

    #[test]
    fn advice_about_a_limit_by_file_descriptors_does_not_name_the_flag() {
        let advice = ConnectionLimit::new(None, 30, 1).advice();
        let text = advice(Shortage::Refused(Refusal::MaxConnections));
        assert!(
            text.contains("ulimit -n") && !text.contains("--max-connections"),
            "{text}"
        );
        let other = advice(Shortage::Refused(Refusal::MaxPerSource));
        assert!(other.contains("--max-per-source"), "{other}");
    }
}
