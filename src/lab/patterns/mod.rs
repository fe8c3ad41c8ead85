//! Server architectures side by side: each echoes (RFC 862) in one file that can be read without the others.
//!
//! Every file begins with how the pattern works, what it is good for and where it fails. They share no code, so some
//! lines are in several files. `echoloop lab patterns` measures them under one load.

#![allow(clippy::needless_pass_by_value, reason = "a server owns its listener")]

pub mod acceptors;
pub mod echoloop;
pub mod epoll_edge;
pub mod epoll_level;
pub mod fork;
pub mod poll;
pub mod pool;
pub mod prefork;
pub mod process;
pub mod reuse_port;
pub mod select;
pub mod serial;
pub mod thread;
#[cfg(feature = "uring")]
pub mod uring;

use self::echoloop as whole_server;
use rustix::net::sockopt::set_tcp_nodelay;
use serde::Serialize;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// How many clients a pattern serves at a time, and by what means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// A fixed number of threads or processes, each for one client at a time.
    Workers,
    /// A thread or process for each client.
    PerClient,
    /// One thread for all clients.
    EventLoop,
}

/// The function of a pattern.
#[derive(Clone, Copy, Debug)]
enum Serve {
    Plain(fn(TcpListener) -> io::Result<()>),
    /// With a number of threads or processes.
    Sized(fn(TcpListener, usize) -> io::Result<()>),
}

/// A server architecture.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Its name on the command line, and that of its file.
    pub name: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// Its family.
    pub family: Family,
    /// What its workers are, in the plural.
    pub workers: &'static str,
    serve: Serve,
}

/// All patterns of this build.
pub static ALL: &[Pattern] = &[
    Pattern {
        name: "serial",
        summary: "one client at a time",
        family: Family::Workers,
        workers: "threads",
        serve: Serve::Plain(serial::serve),
    },
    Pattern {
        name: "prefork",
        summary: "processes that accept, started in advance",
        family: Family::Workers,
        workers: "processes",
        serve: Serve::Sized(prefork::serve),
    },
    Pattern {
        name: "pool",
        summary: "threads behind a queue of connections",
        family: Family::Workers,
        workers: "threads",
        serve: Serve::Sized(pool::serve),
    },
    Pattern {
        name: "acceptors",
        summary: "threads that accept on one listener",
        family: Family::Workers,
        workers: "threads",
        serve: Serve::Sized(acceptors::serve),
    },
    Pattern {
        name: "reuse_port",
        summary: "threads with a listener each",
        family: Family::Workers,
        workers: "threads",
        serve: Serve::Sized(reuse_port::serve),
    },
    Pattern {
        name: "process",
        summary: "a program per client, as inetd",
        family: Family::PerClient,
        workers: "processes",
        serve: Serve::Plain(process::serve),
    },
    Pattern {
        name: "fork",
        summary: "a process per client",
        family: Family::PerClient,
        workers: "processes",
        serve: Serve::Plain(fork::serve),
    },
    Pattern {
        name: "thread",
        summary: "a thread per client",
        family: Family::PerClient,
        workers: "threads",
        serve: Serve::Plain(thread::serve),
    },
    Pattern {
        name: "select",
        summary: "one thread, a set of 1,024 bits",
        family: Family::EventLoop,
        workers: "threads",
        serve: Serve::Plain(select::serve),
    },
    Pattern {
        name: "poll",
        summary: "one thread, a list of all clients",
        family: Family::EventLoop,
        workers: "threads",
        serve: Serve::Plain(poll::serve),
    },
    Pattern {
        name: "epoll_level",
        summary: "one thread, a list in the kernel",
        family: Family::EventLoop,
        workers: "threads",
        serve: Serve::Plain(epoll_level::serve),
    },
    Pattern {
        name: "epoll_edge",
        summary: "the same, each change reported once",
        family: Family::EventLoop,
        workers: "threads",
        serve: Serve::Plain(epoll_edge::serve),
    },
    #[cfg(feature = "uring")]
    Pattern {
        name: "uring",
        summary: "one thread, completions instead of readiness",
        family: Family::EventLoop,
        workers: "threads",
        serve: Serve::Plain(uring::serve),
    },
    Pattern {
        name: "echoloop",
        summary: "the server of this project",
        family: Family::EventLoop,
        workers: "threads",
        serve: Serve::Plain(whole_server::serve),
    },
];

impl Pattern {
    /// The pattern of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Pattern> {
        ALL.iter().find(|pattern| pattern.name == name)
    }

    /// How many clients it serves at a time, if it is started with this many workers; none if only resources limit it.
    #[must_use]
    pub fn places(&self, workers: usize) -> Option<usize> {
        match (self.family, self.serve) {
            (Family::Workers, Serve::Sized(_)) => Some(workers),
            (Family::Workers, Serve::Plain(_)) => Some(1),
            _ => None,
        }
    }

    /// A listener with the backlog of `std`, 128. Accepted sockets inherit `TCP_NODELAY` from it.
    ///
    /// # Errors
    /// See bind(2).
    pub fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        if self.name == "reuse_port" {
            return reuse_port::bind_shared(address);
        }
        let listener = TcpListener::bind(address)?;
        set_tcp_nodelay(&listener, true)?;
        Ok(listener)
    }

    /// Serves until the process ends, or until an error that ends the pattern.
    ///
    /// # Errors
    /// The error that ended it.
    pub fn serve(&self, listener: TcpListener, workers: usize) -> io::Result<()> {
        match self.serve {
            Serve::Plain(serve) => serve(listener),
            Serve::Sized(serve) => serve(listener, workers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// The most lines of a pattern, with its documentation.
    const MOST_LINES: usize = 80;

    #[test]
    fn each_pattern_has_at_most_80_lines_and_names_its_limits() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/patterns");
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("mod.rs") {
                continue;
            }
            count += 1;
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(lines <= MOST_LINES, "{path:?}: {lines} lines");
            for part in ["\n//! Good for: ", "\n//! Fails when: "] {
                assert!(text.contains(part), "{path:?} lacks {part:?}");
            }
            for shared in ["super::", "crate::lab"] {
                assert!(
                    !text.contains(shared),
                    "{path:?} uses another file: {shared}"
                );
            }
        }
        assert!(count >= 14, "{count} patterns");
        assert!(ALL.len() >= count - 1);
    }

    #[test]
    fn names_are_found_and_unique() {
        for pattern in ALL {
            let found = Pattern::find(pattern.name).unwrap();
            assert_eq!(found.summary, pattern.summary);
        }
        assert!(Pattern::find("nothing").is_none());
        assert_eq!(Pattern::find("serial").unwrap().places(64), Some(1));
        assert_eq!(Pattern::find("pool").unwrap().places(64), Some(64));
        assert_eq!(Pattern::find("poll").unwrap().places(64), None);
    }
}
