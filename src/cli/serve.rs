//! `echoloop serve`: the daemon.

use super::Failure;
use super::units::{self, ListenAddress};
use crate::net::{
    DEFAULT_BACKLOG, Limit, ListenOptions, MioNet, Net, RESERVED_DESCRIPTORS, SocketBuffer,
    raise_descriptor_limit, stdout_is_null,
};
use crate::protocol::{Collect, Discard, Frame, Line, Protocol, Raw, Width};
use crate::server::{Config, Exit, Server};
use clap::{Args, ValueEnum};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// What `line` puts before each line where nothing is said.
const USUAL_PREFIX: &str = "ECHO ";

const EXAMPLES: &str = "\
Examples:
  echoloop serve                                  echo on 127.0.0.1:8000
  echoloop serve -l :7 -l '[::1]:8000'            port 7 of all interfaces, and one more
  echoloop serve -p line --prefix 'you said: '     lines of text, each behind a prefix
  echoloop serve -p frame:4 --max-message 16MiB   frames behind a length of 4 bytes
  echoloop serve -p collect >> received           all that each client sends, one after another
  echoloop serve --max-connections 10k -v         at most 10,000 clients, each logged
  echoloop serve --idle-timeout 5m                close clients that are silent for 5 minutes
  echoloop serve --reuse-port                     one of several on the same port, one a core
  echoloop serve --spin 100us                     lowest latency, for a busy core
  printf 'hello\\n' | nc -N 127.0.0.1 8000         try it

SIGTERM, SIGINT or SIGHUP drain it: pending output is sent, then FIN. A second
SIGTERM or SIGINT more than 500 ms later ends it at once; SIGHUP does not.
SIGHUP and SIGINT are ignored if they were at the start (nohup, jobs of sh).";

/// Echo to everybody: a TCP echo daemon (RFC 862) on one thread
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[arg(short, long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = ListenAddress::parse,
        help = "Address to listen on: HOST:PORT, [V6]:PORT, or :PORT for all interfaces; port 0 picks one (repeatable)")]
    listen: Vec<ListenAddress>,

    /// What is spoken: all comes back byte by byte, line by line, or in frames behind a length of 1, 2 or 4 bytes; or
    /// all is dropped; or all that a client sends until its FIN goes to stdout
    #[arg(short, long, value_name = "P", default_value = "raw", value_enum)]
    protocol: ProtocolArg,

    /// What `line` puts before each line [default: "ECHO "]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Largest line, frame or collection; a larger one ends its connection
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::positive_size)]
    max_message: usize,

    /// Connections allowed; further ones are refused at once [default: what descriptors allow, at most 1m]
    #[arg(long, value_name = "N", value_parser = units::count)]
    max_connections: Option<usize>,

    /// Connections allowed from one IPv4 address or one IPv6 /64 [default: any number]
    #[arg(long, value_name = "N", value_parser = units::count)]
    max_per_source: Option<usize>,

    /// Close a connection idle for D: no byte received, none acknowledged [default: never]
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    idle_timeout: Option<Duration>,

    /// Reset a client with pending output that acknowledges no byte for D
    #[arg(long, value_name = "D", default_value = "60s", value_parser = units::positive_duration)]
    stall_timeout: Duration,

    /// Pending output per client; above it the server stops reading from that client
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = units::positive_size)]
    max_pending: usize,

    /// All buffers together; near it slow readers are throttled first, then evicted
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::positive_size)]
    max_buffered: usize,

    /// Send and receive buffer of each connection in the kernel, or `kernel`: as large as the kernel lets them grow, for
    /// bulk over long distances. A connection moves at most a buffer per round trip: 128KiB / 50 ms = 2.6 MB/s
    /// [default: 128KiB to receive, 80KiB to send: at most 512KiB of memory]
    #[arg(long, value_name = "SIZE|kernel", value_parser = units::socket_buffer)]
    socket_buffer: Option<SocketBuffer>,

    /// TCP keepalive: probe after D of silence; a dead peer is detected within 2 x D, minimum 3s [default: never]
    #[arg(long, value_name = "D", value_parser = units::keepalive)]
    keepalive: Option<Duration>,

    /// After a signal: time for clients to take what they are owed, before they are cut short
    #[arg(long, value_name = "D", default_value = "10s", value_parser = units::duration)]
    drain_timeout: Duration,

    /// Connections that may wait to be accepted; net.core.somaxconn caps it
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BACKLOG, value_parser = units::backlog)]
    backlog: u32,

    /// Poll without sleeping for up to D before each sleep: lower latency for more CPU
    #[arg(long, value_name = "D", default_value = "0", value_parser = units::duration)]
    spin: Duration,

    /// Let several processes listen on the same port, one a core (`SO_REUSEPORT`)
    #[arg(long)]
    reuse_port: bool,

    /// Drain when the process that started this one has ended, however it did
    #[arg(long, hide = true)]
    end_with_parent: bool,
}

/// The protocols, by their names on the command line.
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
}

impl Flags {
    /// What is wrong with the flags, each of which has the right form, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.prefix.is_some() && self.protocol != ProtocolArg::Line {
            return Err(
                "--prefix is what stands before each line: add --protocol line, or leave it out"
                    .to_owned(),
            );
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
        let mut seen = Vec::new();
        for listen in &self.listen {
            // Port 0 is another one each time, and on a shared port it is as asked for.
            let may_repeat = self.reuse_port || listen.as_str().ends_with(":0");
            if seen.contains(&listen) && !may_repeat {
                return Err(format!(
                    "--listen {} is given twice: leave one of them out, or add --reuse-port",
                    listen.as_str()
                ));
            }
            seen.push(listen);
        }
        Ok(())
    }

    /// Serves until a signal ends it.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let max_message = self.max_message;
        // Each protocol is a server of its own, compiled for it: what is spoken is not looked up for any byte.
        match self.protocol {
            ProtocolArg::Raw => self.serve(Raw),
            ProtocolArg::Line => {
                let prefix = self.prefix.as_deref().unwrap_or(USUAL_PREFIX);
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
        let descriptors = raise_descriptor_limit().unwrap_or_else(|error| {
            log::warn!("the limit of open descriptors could not be raised: {error}");
            1024
        });
        let config = self.config(descriptors);
        let addresses = self.resolve()?;
        let net = self.net().map_err(|error| {
            Failure(format!(
                "cannot start the event loop: {error}; {}",
                remedy(&error)
            ))
        })?;
        let mut server = Server::new(net, protocol, config);
        for (typed, addresses) in addresses {
            self.listen(&mut server, typed, &addresses)?;
        }
        match server.run() {
            Ok(Exit::Drained) => Ok(ExitCode::SUCCESS),
            Ok(Exit::Interrupted) => Ok(ExitCode::FAILURE),
            Err(error) => Err(Failure(format!("cannot go on serving: {error}"))),
        }
    }

    fn net(&self) -> io::Result<MioNet> {
        let mut net = MioNet::with_signals()?;
        net.set_orphan_timeout(self.stall_timeout);
        if let Err(error) = net.open_sock_diag() {
            log::warn!(
                "cannot open a sock_diag socket: {error}; --stall-timeout and --idle-timeout are judged by \
                 whether output could be written, not by what the client acknowledged"
            );
        }
        if self.protocol == ProtocolArg::Collect {
            if stdout_is_null() {
                log::warn!(
                    "standard output is /dev/null, or closed: what is collected will be lost; \
                     give it a file, or a pipe with a reader"
                );
            }
            net.take_stdout()?;
        }
        Ok(net)
    }

    fn config(&self, descriptors: u64) -> Config {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let reserved = RESERVED_DESCRIPTORS + self.listen.len();
        let available = descriptors.saturating_sub(reserved).max(1);
        let max_connections = self
            .max_connections
            .unwrap_or(available.min(Config::default().max_connections));
        if max_connections > available {
            log::warn!(
                "--max-connections {max_connections} is more than the {descriptors} descriptors allow: \
                 clients will wait; {}",
                Limit::Descriptors.hint()
            );
        }
        if self.max_message > self.max_buffered && self.protocol != ProtocolArg::Raw {
            log::warn!(
                "--max-message {} is more than --max-buffered {}: a client that sends that much is reset for lack of memory",
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
            ..Config::default()
        }
    }

    /// Looks all names up, before the loop starts: looking up blocks.
    fn resolve(&self) -> Result<Vec<(&ListenAddress, Vec<SocketAddr>)>, Failure> {
        let resolve = |typed: &ListenAddress| typed.resolve();
        let resolved = self.listen.iter().map(|typed| match resolve(typed) {
            Ok(addresses) => Ok((typed, addresses)),
            Err(error) => Err(Failure(format!(
                "cannot listen on {}: the name does not resolve ({error}); \
                 check the spelling, or give an address such as 127.0.0.1:8000",
                typed.as_str()
            ))),
        });
        resolved.collect()
    }

    /// Listens on all addresses of a name, or at least on those that this machine has.
    fn listen<N: Net, P: Protocol>(
        &self,
        server: &mut Server<N, P>,
        typed: &ListenAddress,
        addresses: &[SocketAddr],
    ) -> Result<(), Failure> {
        let mut listening = false;
        let mut absent = None;
        for &address in addresses {
            match self.listen_or_fall_back(server, address) {
                Ok(()) => listening = true,
                Err(error) if is_absent(&error) => absent = Some(error),
                Err(error) => return Err(cannot_listen(typed, &error)),
            }
        }
        match absent {
            Some(error) if !listening => Err(cannot_listen(typed, &error)),
            _ => Ok(()),
        }
    }

    /// Listens on `address`; where IPv6 is switched off, all interfaces are those of IPv4.
    fn listen_or_fall_back<N: Net, P: Protocol>(
        &self,
        server: &mut Server<N, P>,
        address: SocketAddr,
    ) -> io::Result<()> {
        let mut options = ListenOptions {
            address,
            backlog: self.backlog,
            reuse_port: self.reuse_port,
            socket_buffer: self.socket_buffer.unwrap_or_default(),
            keepalive: self.keepalive,
        };
        match server.listen(&options) {
            Err(error) if is_absent(&error) && is_any_ipv6(address) => {
                options.address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                server.listen(&options).map(|_| ())
            }
            result => result.map(|_| ()),
        }
    }
}

/// From now on SIGTERM comes when the parent is gone (prctl(2), `PR_SET_PDEATHSIG`).
fn end_with_parent() -> Result<(), Failure> {
    let parent = nix::unistd::getppid();
    let asked = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM);
    asked.map_err(|error| Failure(format!("cannot watch the parent process: {error}")))?;
    // It may have gone just before that; then a stranger is the parent now.
    if nix::unistd::getppid() == parent {
        Ok(())
    } else {
        Err(Failure("the parent process has ended".to_owned()))
    }
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// Whether an address cannot be had because the machine has no such address, or none of its family.
fn is_absent(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn cannot_listen(typed: &ListenAddress, error: &io::Error) -> Failure {
    let typed = typed.as_str();
    Failure(format!(
        "cannot listen on {typed}: {error}; {}",
        remedy(error)
    ))
}

/// What to do about an error at the start.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "something listens there already (ss -ltnp shows what): \
             stop it, choose another port with --listen, or share the port with --reuse-port on both"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE: \
             choose a higher port with --listen, or: setcap cap_net_bind_service+ep on the program"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address (ip addr shows which it has)"
        }
        ErrorKind::InvalidInput => {
            "an address of a link (fe80::) needs the number of its interface, as in [fe80::1%2]:8000 \
             (ip -6 address shows both)"
        }
        _ => Limit::behind(error).map_or("try another address with --listen", Limit::hint),
    }
}
