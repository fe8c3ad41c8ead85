//! `echoloop serve`: the daemon.

mod access;
mod admin;
mod any_protocol;
mod connection_limit;
mod listening;
mod proxy;
mod records;
mod reporting;
mod start;
mod tls;
mod trace;
mod upgrade;

use super::Failure;
use super::addresses::ListenAddress;
use super::protocol::ProtocolArg;
use super::units;
use crate::cli::value::by;
use crate::logging;
use crate::net::{DEFAULT_BACKLOG, SocketBuffer, time_of_day};
use crate::protocol::{Clock, Collect, Discard, Echo, Frame, Line, Protocol, Raw, Width};
use crate::proxy::Proxied;
use crate::server::Server;
use crate::tls::Transport;
use access::AccessFlags;
use admin::AdminFlags;
use any_protocol::AnyProtocol;
use clap::Args;
use proxy::ProxyFlags;
use reporting::ReportFlags;
use std::process::ExitCode;
use std::time::Duration;
use tls::{Hooks, LayerHooks, NoTls, TlsFlags};
use trace::TraceFlags;
use upgrade::UpgradeFlags;

/// The default of `--prefix`.
const DEFAULT_PREFIX: &str = "ECHO ";

const EXAMPLES: &str = "\
Examples:
  echoloop serve                                  echo on 127.0.0.1:8000
  echoloop serve -l :7 -l '[::1]:8000'            several listeners
  echoloop serve -p line --prefix 'you said: '    echo lines, with a prefix
  echoloop serve -p frame:4 --max-message 16MiB   frames with a 4-byte length
  echoloop serve -p collect >> received           store what each client sends
  echoloop serve -p clock -l :9000                the clock for load --clock
  echoloop serve --max-connections 10k -v         at most 10,000, each logged
  echoloop serve --idle-timeout 5m                close idle connections
  echoloop serve --allow 10.0.0.0/8               reset all other clients
  echoloop serve --tls-cert C.pem --tls-key K.pem  over TLS, with this identity
  echoloop serve --admin 127.0.0.1:9000           metrics and a live page
  echoloop serve --reuse-port                     one of several, one per core
  printf 'hello\\n' | nc -N 127.0.0.1 8000         try it

SIGTERM and SIGINT drain: stop accepting, send pending output and FIN. A second
one more than 500 ms later exits immediately and resets connections with unsent
data. SIGHUP loads the certificates again. SIGHUP and SIGINT that were ignored
at startup (nohup, background jobs of sh) stay ignored. SIGUSR2 starts an
upgrade: see echoloop upgrade --help. SIGUSR1 logs the counters, and writes the
file of --trace.";

/// Run a TCP echo daemon (RFC 862) on one thread
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[arg(short, long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = by(ListenAddress::parse),
        help = "Listen on HOST:PORT, [V6]:PORT or :PORT (all interfaces); port 0 picks a free one (repeatable)")]
    listen: Vec<ListenAddress>,

    /// Select the protocol: raw, line and frame echo; discard drops input; collect writes it to stdout, one record per
    /// client; clock replies to 8 bytes with the time
    #[arg(short, long, value_name = "P", default_value = "raw", value_enum)]
    protocol: ProtocolArg,

    /// Put TEXT before each line (with -p line) [default: "ECHO "]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Limit a line, frame or record to SIZE; a larger one closes the connection
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = by(units::positive_size))]
    max_message: usize,

    /// Refuse connections above N [default: what the file descriptors allow, at most 1m]
    #[arg(long, value_name = "N", value_parser = by(units::count))]
    max_connections: Option<usize>,

    /// Refuse connections above N from one IPv4 address or IPv6 /64 [default: unlimited]
    #[arg(long, value_name = "N", value_parser = by(units::count))]
    max_per_source: Option<usize>,

    /// Close connections idle for D: no byte received, none acknowledged [default: never]
    #[arg(long, value_name = "D", value_parser = by(units::positive_duration))]
    idle_timeout: Option<Duration>,

    /// Reset a client with pending output that acknowledges no byte for D
    #[arg(long, value_name = "D", default_value = "60s", value_parser = by(units::positive_duration))]
    stall_timeout: Duration,

    /// Stop reading from a client while its pending output exceeds SIZE
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = by(units::positive_size))]
    max_pending: usize,

    /// Limit all buffers together to SIZE; near it throttle slow readers first, then evict
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = by(units::positive_size))]
    max_buffered: usize,

    /// Set the kernel's send and receive buffer of each connection; kernel: autotuning, for bulk over long distances. A
    /// connection moves at most one buffer per round trip: 128KiB / 50 ms = 2.6 MB/s [default: 128KiB to receive, 80KiB
    /// to send: at most 512KiB of memory]
    #[arg(long, value_name = "SIZE|kernel", value_parser = by(units::socket_buffer))]
    socket_buffer: Option<SocketBuffer>,

    /// Send TCP keepalive probes after D of silence; a dead peer is detected within 2 x D, minimum 3s [default: never]
    #[arg(long, value_name = "D", value_parser = by(units::keepalive))]
    keepalive: Option<Duration>,

    /// After a signal, wait up to D for clients to read pending output; then close the rest
    #[arg(long, value_name = "D", default_value = "10s", value_parser = by(units::duration))]
    drain_timeout: Duration,

    /// Limit the accept queue to N connections; net.core.somaxconn caps it
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BACKLOG, value_parser = by(units::backlog))]
    backlog: u32,

    /// Poll without sleeping for up to D before each sleep: lower latency, more CPU
    #[arg(long, value_name = "D", default_value = "0", value_parser = by(units::duration))]
    spin: Duration,

    /// Share the port among several processes, one per core (`SO_REUSEPORT`)
    #[arg(long)]
    reuse_port: bool,

    #[command(flatten)]
    access: AccessFlags,

    #[command(flatten)]
    report: ReportFlags,

    #[command(flatten)]
    admin: AdminFlags,

    #[command(flatten)]
    proxy: ProxyFlags,

    #[command(flatten)]
    tls: TlsFlags,

    #[command(flatten)]
    upgrade: UpgradeFlags,

    #[command(flatten)]
    trace: TraceFlags,

    /// Drain when the parent process ends
    #[arg(long, hide = true)]
    end_with_parent: bool,
}

impl Flags {
    /// The form of log lines.
    pub(super) fn log_format(&self) -> logging::Format {
        self.report.log_format
    }

    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.prefix.is_some() && self.protocol != ProtocolArg::Line {
            return Err("--prefix needs --protocol line: add it, or leave --prefix out".to_owned());
        }
        self.access.check()?;
        self.proxy.check()?;
        self.tls.check()?;
        self.admin.check(&self.listen)?;
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
        let is_layered = self.tls.is_on() || self.proxy.is_on();
        // The clock shares the event loop of the layers, since its messages are few.
        if is_layered || self.protocol == ProtocolArg::Clock {
            return self.run_layered();
        }
        // One monomorphized server per protocol: no dispatch on the data path.
        match self.protocol {
            ProtocolArg::Raw => self.serve(Raw, &NoTls),
            ProtocolArg::Line => self.serve(self.line(), &NoTls),
            ProtocolArg::Frame1 => self.serve(self.frame(Width::One), &NoTls),
            ProtocolArg::Frame2 => self.serve(self.frame(Width::Two), &NoTls),
            ProtocolArg::Frame4 => self.serve(self.frame(Width::Four), &NoTls),
            ProtocolArg::Discard => self.serve(Discard, &NoTls),
            ProtocolArg::Collect => self.serve(self.collect(), &NoTls),
            ProtocolArg::Clock => self.serve(Clock::new(time_of_day), &NoTls),
        }
    }

    fn run_layered(&self) -> Result<ExitCode, Failure> {
        let protocol = match self.protocol {
            ProtocolArg::Collect => return self.serve_layered(self.collect()),
            ProtocolArg::Raw => AnyProtocol::Raw(Raw),
            ProtocolArg::Line => AnyProtocol::Line(self.line()),
            ProtocolArg::Frame1 => AnyProtocol::Frame(self.frame(Width::One)),
            ProtocolArg::Frame2 => AnyProtocol::Frame(self.frame(Width::Two)),
            ProtocolArg::Frame4 => AnyProtocol::Frame(self.frame(Width::Four)),
            ProtocolArg::Discard => AnyProtocol::Discard(Discard),
            ProtocolArg::Clock => AnyProtocol::Clock(Clock::new(time_of_day)),
        };
        self.serve_layered(protocol)
    }

    /// Serves with TLS, the PROXY protocol, or both.
    fn serve_layered<P: Protocol>(&self, protocol: P) -> Result<ExitCode, Failure> {
        let transport = if self.tls.is_on() {
            Transport::Tls(self.tls.wrap(protocol)?)
        } else {
            Transport::Plain(protocol)
        };
        let proxied = Proxied::new(transport, self.proxy.proxies());
        self.serve(proxied, &LayerHooks(&self.tls))
    }

    fn line(&self) -> Line<Echo> {
        let prefix = self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX);
        Line::echo(self.max_message, prefix.as_bytes())
    }

    fn frame(&self, width: Width) -> Frame<Echo> {
        Frame::echo(width, self.max_message)
    }

    fn collect(&self) -> Collect {
        Collect::new(self.max_message)
    }

    fn serve<P: Protocol>(&self, protocol: P, hooks: &impl Hooks<P>) -> Result<ExitCode, Failure> {
        let (net, config, trace, start) = self.prepare(protocol.name())?;
        let mut server = Server::new(net, protocol, config);
        let (mut handover, mut admin, mut reports) = self.start(&mut server, start)?;
        let linger = self.upgrade.linger();
        let exit = upgrade::run(
            &mut server,
            &mut handover,
            (&mut admin, &mut reports),
            linger,
            hooks,
            &trace,
        );
        trace.end();
        self.upgrade.end(exit, &handover)
    }
}
