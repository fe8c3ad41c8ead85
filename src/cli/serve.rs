//! `echoloop serve`: the daemon.

use super::connecting::cannot_start;
use super::output::open_stdout;
use super::protocol::ProtocolArg;
use super::units::{self, ListenAddress};
use super::{Failure, raise_fd_limit, unresolved};
use crate::doctor::hint;
use crate::net::{
    DEFAULT_BACKLOG, Limit, ListenOptions, MioNet, RESERVED_FDS, SocketBuffer, StandardStreams,
    stdout_is_null,
};
use crate::protocol::{Collect, Discard, Frame, Line, Protocol, Raw, Width};
use crate::server::{Config, Exit, Refusal, Server, Shortage};
use clap::Args;
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// The default of `--prefix`.
const DEFAULT_PREFIX: &str = "ECHO ";

const EXAMPLES: &str = "\
Examples:
  echoloop serve                                  echo on 127.0.0.1:8000
  echoloop serve -l :7 -l '[::1]:8000'            several listeners
  echoloop serve -p line --prefix 'you said: '    echo lines, with a prefix
  echoloop serve -p frame:4 --max-message 16MiB   frames with a 4-byte length
  echoloop serve -p collect >> received           store what each client sends
  echoloop serve --max-connections 10k -v         at most 10,000, each logged
  echoloop serve --idle-timeout 5m                close idle connections
  echoloop serve --reuse-port                     one of several, one per core
  printf 'hello\\n' | nc -N 127.0.0.1 8000         try it

SIGTERM, SIGINT and SIGHUP drain: stop accepting, send pending output and FIN.
A second SIGTERM or SIGINT more than 500 ms later exits immediately and resets
connections with unsent data. SIGHUP and SIGINT that were ignored at startup
(nohup, background jobs of sh) stay ignored.";

/// Run a TCP echo daemon (RFC 862) on one thread
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[arg(short, long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = ListenAddress::parse,
        help = "Listen on HOST:PORT, [V6]:PORT or :PORT (all interfaces); port 0 picks a free one (repeatable)")]
    listen: Vec<ListenAddress>,

    /// Select the protocol: raw, line and frame echo; discard drops input; collect writes it to stdout, one record per
    /// client
    #[arg(short, long, value_name = "P", default_value = "raw", value_enum)]
    protocol: ProtocolArg,

    /// Put TEXT before each line (with -p line) [default: "ECHO "]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Limit a line, frame or record to SIZE; a larger one closes the connection
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::positive_size)]
    max_message: usize,

    /// Refuse connections above N [default: what the file descriptors allow, at most 1m]
    #[arg(long, value_name = "N", value_parser = units::count)]
    max_connections: Option<usize>,

    /// Refuse connections above N from one IPv4 address or IPv6 /64 [default: unlimited]
    #[arg(long, value_name = "N", value_parser = units::count)]
    max_per_source: Option<usize>,

    /// Close connections idle for D: no byte received, none acknowledged [default: never]
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    idle_timeout: Option<Duration>,

    /// Reset a client with pending output that acknowledges no byte for D
    #[arg(long, value_name = "D", default_value = "60s", value_parser = units::positive_duration)]
    stall_timeout: Duration,

    /// Stop reading from a client while its pending output exceeds SIZE
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = units::positive_size)]
    max_pending: usize,

    /// Limit all buffers together to SIZE; near it throttle slow readers first, then evict
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::positive_size)]
    max_buffered: usize,

    /// Set the kernel's send and receive buffer of each connection; kernel: autotuning, for bulk over long distances. A
    /// connection moves at most one buffer per round trip: 128KiB / 50 ms = 2.6 MB/s [default: 128KiB to receive, 80KiB
    /// to send: at most 512KiB of memory]
    #[arg(long, value_name = "SIZE|kernel", value_parser = units::socket_buffer)]
    socket_buffer: Option<SocketBuffer>,

    /// Send TCP keepalive probes after D of silence; a dead peer is detected within 2 x D, minimum 3s [default: never]
    #[arg(long, value_name = "D", value_parser = units::keepalive)]
    keepalive: Option<Duration>,

    /// After a signal, wait up to D for clients to read pending output; then close the rest
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::duration)]
    drain_timeout: Duration,

    /// Limit the accept queue to N connections; net.core.somaxconn caps it
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BACKLOG, value_parser = units::backlog)]
    backlog: u32,

    /// Poll without sleeping for up to D before each sleep: lower latency, more CPU
    #[arg(long, value_name = "D", default_value = "0", value_parser = units::duration)]
    spin: Duration,

    /// Share the port among several processes, one per core (`SO_REUSEPORT`)
    #[arg(long)]
    reuse_port: bool,

    /// Drain when the parent process ends
    #[arg(long, hide = true)]
    end_with_parent: bool,
}

impl Flags {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.prefix.is_some() && self.protocol != ProtocolArg::Line {
            return Err("--prefix needs --protocol line: add it, or leave --prefix out".to_owned());
        }
        let limits = [
            ("--max-connections", self.max_connections),
            ("--max-per-source", self.max_per_source),
        ];
        if let Some((flag, _)) = limits.iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(format!(
                "{flag} 0 would refuse every client: give at least 1, or leave it out"
            ));
        }
        for (index, listen) in self.listen.iter().enumerate() {
            // Port 0 is a different port each time.
            let may_repeat = self.reuse_port || listen.as_str().ends_with(":0");
            if self.listen[..index].contains(listen) && !may_repeat {
                return Err(format!(
                    "--listen {} is given twice: leave one of them out, or add --reuse-port",
                    listen.as_str()
                ));
            }
        }
        Ok(())
    }

    /// Serves until a signal stops the server.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let max_message = self.max_message;
        // One monomorphized server per protocol: no dispatch on the data path.
        match self.protocol {
            ProtocolArg::Raw => self.serve(Raw),
            ProtocolArg::Line => {
                let prefix = self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX);
                self.serve(Line::echo(max_message, prefix.as_bytes()))
            }
            ProtocolArg::Frame1 => self.serve(Frame::echo(Width::One, max_message)),
            ProtocolArg::Frame2 => self.serve(Frame::echo(Width::Two, max_message)),
            ProtocolArg::Frame4 => self.serve(Frame::echo(Width::Four, max_message)),
            ProtocolArg::Discard => self.serve(Discard),
            ProtocolArg::Collect => self.serve(Collect::new(max_message)),
        }
    }

    fn serve<P: Protocol>(&self, protocol: P) -> Result<ExitCode, Failure> {
        if self.end_with_parent {
            end_with_parent()?;
        }
        let config = self.config(raise_fd_limit());
        // Before the loop starts, because resolving blocks.
        let resolve = |typed: &ListenAddress| match typed.resolve() {
            Ok(addresses) => Ok((typed.clone(), addresses)),
            Err(error) => Err(unresolved("listen on", typed.as_str(), error)),
        };
        let listeners: Vec<_> = self.listen.iter().map(resolve).collect::<Result<_, _>>()?;
        let mut server = Server::new(self.net()?, protocol, config);
        server.set_record_sink(write_record);
        for (typed, addresses) in &listeners {
            self.listen(&mut server, addresses).map_err(|error| {
                let what = format!("cannot listen on {}", typed.as_str());
                Failure::new(what, &error, listen_remedy(&error))
            })?;
        }
        match server.run() {
            Ok(Exit::Drained) => Ok(ExitCode::SUCCESS),
            Ok(Exit::Interrupted) => Ok(ExitCode::FAILURE),
            Err(error) => Err(Failure(format!("the event loop failed: {error}"))),
        }
    }

    fn net(&self) -> Result<MioNet, Failure> {
        let mut net = MioNet::with_signals().map_err(|error| cannot_start(&error))?;
        net.set_orphan_timeout(self.stall_timeout);
        if let Err(error) = net.open_sock_diag() {
            log::warn!(
                "cannot open a sock_diag socket: {error}; --stall-timeout and --idle-timeout measure what the kernel \
                 accepted, not what the client acknowledged"
            );
        }
        if self.protocol == ProtocolArg::Collect {
            if stdout_is_null() {
                log::warn!(
                    "standard output is /dev/null or closed: records will be lost; redirect it to a file, or to a pipe \
                     with a reader"
                );
            }
            open_stdout(&mut net)?;
        }
        Ok(net)
    }

    fn config(&self, fds: u64) -> Config {
        let fds = usize::try_from(fds).unwrap_or(usize::MAX);
        let reserved = RESERVED_FDS + self.listen.len();
        let available = fds.saturating_sub(reserved).max(1);
        let default = available.min(Config::default().max_connections);
        let max_connections = self.max_connections.unwrap_or(default);
        if max_connections > available {
            log::warn!(
                "--max-connections {max_connections} is more than the {fds} file descriptors allow: \
                 clients above {available} will wait; {}",
                hint(Limit::Fds)
            );
        }
        if self.max_message > self.max_buffered && self.protocol != ProtocolArg::Raw {
            log::warn!(
                "--max-message {} exceeds --max-buffered {}: a client that sends a message of that size is reset",
                self.max_message,
                self.max_buffered
            );
        }
        Config {
            max_connections,
            max_per_source: self.max_per_source,
            idle_timeout: self.idle_timeout,
            stall_timeout: Some(self.stall_timeout),
            max_pending: self.max_pending,
            max_buffered: self.max_buffered,
            drain_timeout: self.drain_timeout,
            spin: self.spin,
            advice,
            ..Config::default()
        }
    }

    /// Listens on all addresses of a name that this machine has, of which there must be one.
    fn listen<P: Protocol>(
        &self,
        server: &mut Server<MioNet, P>,
        addresses: &[SocketAddr],
    ) -> io::Result<()> {
        let mut listen = |address| {
            server.listen(&ListenOptions {
                address,
                backlog: self.backlog,
                reuse_port: self.reuse_port,
                socket_buffer: self.socket_buffer.unwrap_or_default(),
                keepalive: self.keepalive,
            })
        };
        let mut is_listening = false;
        let mut absent = Ok(());
        for &address in addresses {
            let mut result = listen(address);
            let is_any_ipv6 = address.is_ipv6() && address.ip().is_unspecified();
            if is_any_ipv6 && result.as_ref().is_err_and(is_absent) {
                // IPv6 is disabled: 0.0.0.0 replaces [::].
                result = listen((Ipv4Addr::UNSPECIFIED, address.port()).into());
            }
            match result {
                Err(error) if is_absent(&error) => absent = Err(error),
                result => is_listening = result.map(|_| true)?,
            }
        }
        if is_listening { Ok(()) } else { absent }
    }
}

/// Has SIGTERM sent to this process when its parent ends (prctl(2), `PR_SET_PDEATHSIG`).
fn end_with_parent() -> Result<(), Failure> {
    let parent = nix::unistd::getppid();
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)
        .map_err(|error| Failure(format!("cannot watch the parent process: {error}")))?;
    // The parent may have ended before the call; then this process has another one now.
    if nix::unistd::getppid() == parent {
        Ok(())
    } else {
        Err(Failure("the parent process has ended".to_owned()))
    }
}

/// Whether this machine does not have the address, or no address of its family.
fn is_absent(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

/// Writes a part of a record to standard output.
fn write_record(net: &mut MioNet, bytes: &[u8]) -> io::Result<usize> {
    net.write_stdout(bytes).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => return error,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
            ErrorKind::BrokenPipe => "give it a reader that stays, or a file",
            _ => "give it a file, or a pipe with a reader",
        };
        let message = format!("standard output takes no more records: {error}; {remedy}");
        io::Error::new(error.kind(), message)
    })
}

/// What to do about a limit that keeps clients out, appended to the server's warning.
fn advice(shortage: Shortage) -> String {
    match shortage {
        Shortage::Refused(Refusal::MaxConnections) => "; raise --max-connections".to_owned(),
        Shortage::Refused(Refusal::MaxPerSource) => "; raise --max-per-source".to_owned(),
        Shortage::Refused(Refusal::NoMemory) => format!("; {}", hint(Limit::Memory)),
        Shortage::Paused(limit) => format!("; lower --max-connections, or {}", hint(limit)),
    }
}

/// What to do about a listener that cannot be opened.
fn listen_remedy(error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "something listens there already (ss -ltnp shows what): \
             stop it, choose another port with --listen, or share the port with --reuse-port on both"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE: \
             choose a higher port with --listen, or run setcap cap_net_bind_service+ep on the program"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address (ip addr shows them)"
        }
        ErrorKind::InvalidInput => {
            "a link-local address (fe80::) needs the index of its interface, as in [fe80::1%2]:8000 \
             (ip -6 address shows both)"
        }
        _ => {
            let other = || "try another address with --listen".to_owned();
            return Limit::behind(error).map_or_else(other, hint);
        }
    };
    remedy.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_flag_or_command_that_raises_the_limit() {
        for (shortage, remedy) in [
            (
                Shortage::Refused(Refusal::MaxConnections),
                "--max-connections",
            ),
            (Shortage::Refused(Refusal::MaxPerSource), "--max-per-source"),
            (Shortage::Refused(Refusal::NoMemory), "echoloop doctor"),
            (Shortage::Paused(Limit::Fds), "ulimit -n"),
        ] {
            let advice = advice(shortage);
            assert!(
                advice.starts_with("; ") && advice.contains(remedy),
                "{advice}"
            );
        }
    }
}
