//! Why a client failed: what, on what, why, and what to do about it, in one line.

use super::dialing::plain;
use super::framing::TooLong;
use super::unframing::Malformed;
use crate::connection::{CloseReason, Closed};
use crate::doctor::hint;
use crate::net::Limit;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// Why a client could not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// No address of the name could be connected to.
    Connect {
        /// The name.
        name: String,
        /// Each address, and why it could not be connected to.
        tries: Vec<(SocketAddr, io::Error)>,
        /// How long each had to answer.
        timeout: Option<Duration>,
        /// The address to connect from was given.
        is_bound: bool,
    },
    /// A connection that stood has ended, but not in good order.
    Lost {
        /// Whose connection, why, and how far it had come.
        end: End,
        /// The error, if it was one.
        error: Option<io::Error>,
    },
    /// What was waited for did not come within the time for that.
    Silent {
        /// Whose connection, and how far it had come.
        end: End,
        /// What was waited for.
        awaited: Awaited,
        /// For how long.
        timeout: Duration,
    },
    /// What the server sent is not what the protocol asks for.
    Malformed {
        /// Whose connection, and how far it had come.
        end: End,
        /// What is wrong with it.
        what: Malformed,
    },
    /// The input cannot be sent as a message.
    TooLong(TooLong),
    /// Standard input cannot be read.
    Input(io::Error),
    /// Standard output cannot be written to.
    Output(io::Error),
    /// A signal came before anybody answered.
    Interrupted {
        /// Whom it was trying to reach.
        peer: String,
    },
    /// There is no memory for what was received.
    NoMemory,
    /// The event loop cannot go on.
    Loop(io::Error),
}

/// How a connection stood when it ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The server's address.
    pub peer: String,
    /// Why it ended.
    pub reason: CloseReason,
    /// Bytes that the kernel had taken.
    pub sent: u64,
    /// Bytes that had come.
    pub received: u64,
}

impl End {
    pub(super) fn of(closed: &Closed, peer: String) -> End {
        End {
            peer,
            reason: closed.reason,
            sent: closed.bytes_out,
            received: closed.bytes_in,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let End { sent, received, .. } = self;
        write!(f, "{sent} bytes sent, {received} received")
    }
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// More input, or something from the server.
    Anything,
    /// All input is sent: something from the server, or its FIN.
    Reply,
    /// That the server takes what it is sent; so many bytes wait.
    Room(usize),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect {
                name,
                tries,
                timeout,
                is_bound,
            } => write_tries(f, name, tries, *timeout, *is_bound),
            Failure::Lost { end, error } => write_lost(f, end, error.as_ref()),
            Failure::Silent {
                end,
                awaited,
                timeout,
            } => write_silent(f, end, *awaited, *timeout),
            Failure::Malformed { end, what } => write!(
                f,
                "what {} sent is not in the protocol: {what} ({end}); {}",
                end.peer,
                match what {
                    Malformed::TooLong { .. } =>
                        "choose the server's with --protocol, or allow more with --max-message",
                    Malformed::CutShort { .. } =>
                        "choose the server's with --protocol, or see in its log why it ended there",
                }
            ),
            Failure::TooLong(TooLong { line, most }) => write!(
                f,
                "cannot send line {line} of the input: it has more than {most} bytes; \
                 choose a longer header such as frame:4, or allow more with --max-message"
            ),
            Failure::Input(error) => write!(
                f,
                "cannot read standard input: {}; give it a file or a pipe, or use --message",
                plain(error)
            ),
            Failure::Output(error) => write!(
                f,
                "cannot write to standard output: {}; the rest of the reply is lost, \
                 so make room and try again",
                plain(error)
            ),
            Failure::Interrupted { peer } => write!(
                f,
                "interrupted before {peer} answered; see whether a server listens there"
            ),
            Failure::NoMemory => write!(f, "out of memory for what was received; free some"),
            Failure::Loop(error) => write!(
                f,
                "the event loop cannot go on: {}; {}",
                plain(error),
                Limit::behind(error)
                    .map_or_else(|| "free some memory, and try again".to_owned(), hint)
            ),
        }
    }
}

fn write_tries(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    tries: &[(SocketAddr, io::Error)],
    timeout: Option<Duration>,
    is_bound: bool,
) -> fmt::Result {
    write!(f, "cannot connect to {name}: ")?;
    for (index, (address, error)) in tries.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if tries.len() > 1 || address.to_string() != name {
            write!(f, "{address}: ")?;
        }
        match (error.kind(), timeout) {
            (ErrorKind::TimedOut, Some(timeout)) => write!(f, "no answer within {timeout:?}")?,
            _ => f.write_str(&plain(error))?,
        }
    }
    let all = |kind| tries.iter().all(|(_, error)| error.kind() == kind);
    let any = |kind| tries.iter().any(|(_, error)| error.kind() == kind);
    f.write_str(if all(ErrorKind::ConnectionRefused) {
        "; nothing listens there: check the port, or start a server (echoloop serve)"
    } else if any(ErrorKind::ConnectionReset) {
        "; something listens there, but resets who comes: it has crashed, or wants nobody more; its log may say why"
    } else if is_bound && (any(ErrorKind::AddrNotAvailable) || any(ErrorKind::AddrInUse)) {
        "; check --bind (ip addr shows which addresses this machine has), or leave it out"
    } else if any(ErrorKind::TimedOut) {
        "; check the address and firewalls on the way, or wait longer with --connect-timeout"
    } else if let Some(limit) = tries.iter().find_map(|(_, error)| Limit::behind(error)) {
        return write!(f, "; {}", hint(limit));
    } else {
        "; check the address, and whether a way leads there (ip route get)"
    })
}

fn write_lost(f: &mut fmt::Formatter<'_>, end: &End, error: Option<&io::Error>) -> fmt::Result {
    let peer = &end.peer;
    match end.reason {
        CloseReason::PeerReset => write!(
            f,
            "{peer} reset the connection ({end}): \
             it has crashed, or refuses to go on; its log may say why"
        ),
        CloseReason::PeerClosed => write!(
            f,
            "{peer} closed the connection ({end}): it has ended, or does not want more; its log may say why"
        ),
        CloseReason::PeerLost => write!(
            f,
            "the connection to {peer} is lost ({end}): {}; check the network and the server",
            error.map_or_else(|| "no answer".to_owned(), plain)
        ),
        CloseReason::NoMemory => write!(
            f,
            "the connection to {peer} cannot go on ({end}): out of memory; free some"
        ),
        reason => write!(
            f,
            "the connection to {peer} has ended ({end}): {reason}{}; try again",
            error.map_or_else(String::new, |error| format!(", {}", plain(error)))
        ),
    }
}

fn write_silent(
    f: &mut fmt::Formatter<'_>,
    end: &End,
    awaited: Awaited,
    timeout: Duration,
) -> fmt::Result {
    let peer = &end.peer;
    match awaited {
        Awaited::Anything => write!(
            f,
            "neither standard input nor {peer} said anything for {timeout:?} ({end}): \
             end the input, or wait longer with --timeout"
        ),
        Awaited::Reply => write!(
            f,
            "waited for {timeout:?} for {peer} to answer or to close ({end}): \
             it may hang, or speak another protocol; wait longer with --timeout"
        ),
        Awaited::Room(bytes) => write!(
            f,
            "waited for {timeout:?} for {peer} to take what it is sent, of which {bytes} bytes still wait ({end}): \
             it may hang; wait longer with --timeout"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> io::Error {
        io::Error::from_raw_os_error(111)
    }

    #[test]
    fn each_address_is_told_with_its_error_and_a_single_one_not_twice() {
        let (first, second) = (
            "[::1]:8000".parse().unwrap(),
            "127.0.0.1:8000".parse().unwrap(),
        );
        let both = Failure::Connect {
            name: "localhost:8000".to_owned(),
            tries: vec![(first, refused()), (second, ErrorKind::TimedOut.into())],
            timeout: Some(Duration::from_secs(10)),
            is_bound: false,
        };
        assert_eq!(
            both.to_string(),
            "cannot connect to localhost:8000: [::1]:8000: Connection refused, \
             127.0.0.1:8000: no answer within 10s; \
             check the address and firewalls on the way, or wait longer with --connect-timeout"
        );
        let one = Failure::Connect {
            name: "127.0.0.1:8000".to_owned(),
            tries: vec![(second, refused())],
            timeout: None,
            is_bound: false,
        };
        assert_eq!(
            one.to_string(),
            "cannot connect to 127.0.0.1:8000: Connection refused; \
             nothing listens there: check the port, or start a server (echoloop serve)"
        );
    }
}
