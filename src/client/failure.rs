//! Why a client failed, as one line: what failed, on what, the reason, and what to do.

use super::connector::describe;
use super::decoder::Malformed;
use super::framing::TooLong;
use crate::connection::{CloseReason, Closed};
use crate::doctor::{Limit, hint};
use crate::time::in_units;
use crate::tls::TlsError;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// Why a client failed.
#[derive(Debug)]
pub enum Failure {
    /// No address of the server accepted a connection.
    Connect {
        /// The server as the user named it.
        name: String,
        /// Each address tried, with its error.
        attempts: Vec<(SocketAddr, io::Error)>,
        /// The timeout of each attempt.
        timeout: Option<Duration>,
        /// The local address was given.
        is_bound: bool,
    },
    /// An established connection ended early.
    Lost {
        /// The connection.
        end: End,
        /// The error, if there was one.
        error: Option<io::Error>,
    },
    /// The TLS session of an established connection failed.
    Tls {
        /// The connection.
        end: End,
        /// Why.
        error: TlsError,
    },
    /// No byte moved within the timeout.
    Timeout {
        /// The connection.
        end: End,
        /// What was awaited.
        awaited: Awaited,
        /// The timeout.
        timeout: Duration,
    },
    /// The server violated the protocol.
    Malformed {
        /// The connection.
        end: End,
        /// The violation.
        violation: Malformed,
    },
    /// An input line is too long for one message.
    TooLong(TooLong),
    /// Standard input cannot be read.
    Input(io::Error),
    /// Standard output cannot be written.
    Output(io::Error),
    /// A signal arrived before a connection was established.
    Interrupted {
        /// The address that was being tried.
        peer: String,
    },
    /// The server does not reply as a clock.
    Clock {
        /// The server as the user named it.
        name: String,
        /// What it did instead.
        reason: String,
    },
    /// There was no memory for the bytes received.
    OutOfMemory,
    /// The event loop failed.
    Loop(io::Error),
}

/// A connection when it ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The server's address.
    pub peer: String,
    /// Why it ended.
    pub reason: CloseReason,
    /// Bytes that the kernel accepted.
    pub sent: u64,
    /// Bytes received.
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

/// What a client was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// More input, or bytes from the server.
    InputOrReply,
    /// Bytes or FIN from the server; all input has been sent.
    Reply,
    /// That the server accepts the pending bytes, this many.
    Acceptance(usize),
}

impl Failure {
    /// The failure of an established connection that has ended.
    pub(super) fn of_end(
        end: End,
        error: Option<io::Error>,
        awaited: Awaited,
        timeout: Option<Duration>,
    ) -> Failure {
        match (end.reason, timeout) {
            (CloseReason::Idle | CloseReason::Stalled, Some(timeout)) => Failure::Timeout {
                end,
                awaited,
                timeout,
            },
            _ => Failure::Lost { end, error },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect {
                name,
                attempts,
                timeout,
                is_bound,
            } => write_attempts(f, name, attempts, *timeout, *is_bound),
            Failure::Lost { end, error } => write_lost(f, end, error.as_ref()),
            Failure::Tls { end, error } => write!(
                f,
                "TLS with {} failed ({end}): {error}; the reply may be incomplete; {}",
                end.peer,
                error.remedy()
            ),
            Failure::Timeout {
                end,
                awaited,
                timeout,
            } => write_timeout(f, end, *awaited, *timeout),
            Failure::Malformed { end, violation } => write!(
                f,
                "{} violated the protocol: {violation} ({end}); set the server's protocol with --protocol, or {}",
                end.peer,
                match violation {
                    Malformed::TooLong { .. } => "allow longer frames with --max-message",
                    Malformed::Truncated { .. } => "see the server's log",
                }
            ),
            Failure::TooLong(TooLong { line, max }) => write!(
                f,
                "cannot send line {line} of the input: it is longer than {max} bytes; \
                 choose a longer header such as frame:4, or allow longer frames with --max-message"
            ),
            Failure::Input(error) => write!(
                f,
                "cannot read standard input: {}; use a file or a pipe, or --message",
                describe(error)
            ),
            Failure::Output(error) => write!(
                f,
                "cannot write to standard output: {}; the rest of the reply is lost; \
                 free space there, or redirect it",
                describe(error)
            ),
            Failure::Interrupted { peer } => write!(
                f,
                "interrupted before {peer} accepted the connection; check that a server listens there"
            ),
            Failure::Clock { name, reason } => write!(
                f,
                "cannot read the clock of {name}: {reason}; start a clock there (echoloop serve -p clock)"
            ),
            Failure::OutOfMemory => write!(f, "out of memory for the bytes received; free some"),
            Failure::Loop(error) => write!(
                f,
                "the event loop failed: {}; {}",
                describe(error),
                hint(Limit::behind(error).unwrap_or(Limit::Memory))
            ),
        }
    }
}

fn write_attempts(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    attempts: &[(SocketAddr, io::Error)],
    timeout: Option<Duration>,
    is_bound: bool,
) -> fmt::Result {
    write!(f, "cannot connect to {name}: ")?;
    for (index, (address, error)) in attempts.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if attempts.len() > 1 || address.to_string() != name {
            write!(f, "{address}: ")?;
        }
        match (error.kind(), timeout) {
            (ErrorKind::TimedOut, Some(timeout)) => {
                write!(f, "no answer within {}", in_units(timeout))?;
            }
            _ => f.write_str(&describe(error))?,
        }
    }
    let all = |kind| attempts.iter().all(|(_, error)| error.kind() == kind);
    let any = |kind| attempts.iter().any(|(_, error)| error.kind() == kind);
    let limit = attempts.iter().find_map(|(_, error)| Limit::behind(error));
    let mut handshakes = attempts.iter().filter_map(|(_, error)| tls_error(error));
    let remedy = if let Some(error) = handshakes.next() {
        error.remedy()
    } else if all(ErrorKind::ConnectionRefused) {
        "nothing listens there: check the port, or start a server (echoloop serve)"
    } else if any(ErrorKind::ConnectionReset) {
        "the server resets new connections; it may be overloaded or failing: see its log"
    } else if is_bound && (any(ErrorKind::AddrNotAvailable) || any(ErrorKind::AddrInUse)) {
        "check --bind (ip addr lists the addresses of this machine), or leave it out"
    } else if any(ErrorKind::TimedOut) {
        "check the address and the firewalls, or wait longer with --connect-timeout"
    } else if let Some(limit) = limit {
        return write!(f, "; {}", hint(limit));
    } else {
        "check the address and the route (ip route get)"
    };
    write!(f, "; {remedy}")
}

/// The error of TLS that an error of a connection contains.
fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

fn write_lost(f: &mut fmt::Formatter<'_>, end: &End, error: Option<&io::Error>) -> fmt::Result {
    let peer = &end.peer;
    match end.reason {
        CloseReason::PeerReset => write!(
            f,
            "{peer} reset the connection ({end}): it may have failed or rejected the input; see its log"
        ),
        CloseReason::PeerClosed => write!(
            f,
            "{peer} closed the connection ({end}) before the last echo; see its log"
        ),
        CloseReason::PeerLost => write!(
            f,
            "the connection to {peer} is lost ({end}): {}; check the network and the server",
            error.map_or_else(|| "no answer".to_owned(), describe)
        ),
        CloseReason::NoMemory => write!(
            f,
            "the connection to {peer} failed ({end}): out of memory; free some"
        ),
        reason => write!(
            f,
            "the connection to {peer} ended ({end}): {reason}{}; try again",
            error.map_or_else(String::new, |error| format!(", {}", describe(error)))
        ),
    }
}

fn write_timeout(
    f: &mut fmt::Formatter<'_>,
    end: &End,
    awaited: Awaited,
    timeout: Duration,
) -> fmt::Result {
    let (peer, timeout) = (&end.peer, in_units(timeout));
    match awaited {
        Awaited::InputOrReply => write!(
            f,
            "no bytes from standard input or {peer} for {timeout} ({end}): \
             end the input, or wait longer with --timeout"
        ),
        Awaited::Reply => write!(
            f,
            "no reply or FIN from {peer} for {timeout} ({end}): \
             it may hang, or use another protocol; wait longer with --timeout"
        ),
        Awaited::Acceptance(pending) => write!(
            f,
            "{peer} has read nothing for {timeout}, with {pending} bytes pending ({end}): \
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
    fn each_address_is_listed_with_its_error_a_single_one_once() {
        let (first, second) = (
            "[::1]:8000".parse().unwrap(),
            "127.0.0.1:8000".parse().unwrap(),
        );
        let both = Failure::Connect {
            name: "localhost:8000".to_owned(),
            attempts: vec![(first, refused()), (second, ErrorKind::TimedOut.into())],
            timeout: Some(Duration::from_secs(10)),
            is_bound: false,
        };
        assert_eq!(
            both.to_string(),
            "cannot connect to localhost:8000: [::1]:8000: Connection refused, \
             127.0.0.1:8000: no answer within 10s; \
             check the address and the firewalls, or wait longer with --connect-timeout"
        );
        let one = Failure::Connect {
            name: "127.0.0.1:8000".to_owned(),
            attempts: vec![(second, refused())],
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
