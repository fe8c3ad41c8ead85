//! `echoloop ping`: verified echoes on schedule.

use super::connecting::Connecting;
use super::output::{Format, open_stdout};
use super::tls::TlsArgs;
use super::{Failure, scheduling_net, units};
use crate::cli::value::by;
use crate::client::{PingConfig, PingReport, Pinger, Style};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  echoloop ping                        one echo per second until Ctrl-C
  echoloop ping example.org:7 -c 5     five echoes
  echoloop ping -c 1000 -i 1ms -q      1,000 in a second, summary only
  echoloop ping -s 64KiB -c 3          larger echoes
  echoloop ping -c 10 -o json          the summary as one JSON object
  echoloop ping --tls example.org:7    over TLS, with the time of the handshake

All echoes use one connection. Each has its own bytes, and every byte received
is verified. An echo is sent when it is due, even if earlier ones are
outstanding. -q prints the summary only.

Exit codes: 0 at least one echo received and none wrong; 1 no echo, a wrong
echo, or the connection ended; 2 wrong usage.";

/// Measure the round trip of verified echoes, as ping(8) does
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Stop after N echoes [default: until Ctrl-C]
    #[arg(short, long, value_name = "N", value_parser = by(units::positive_count))]
    count: Option<usize>,

    /// Send an echo every D
    #[arg(short, long, value_name = "D", default_value = "1s", value_parser = by(units::positive_duration))]
    interval: Duration,

    /// Send SIZE bytes each, at most 64MiB
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_parser = by(units::message_size))]
    size: usize,

    /// Count an echo as lost after D
    #[arg(short = 'W', long, value_name = "D", default_value = "2s", value_parser = by(units::positive_duration))]
    timeout: Duration,

    /// Print a line per echo and a summary, or (json) the summary only
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_enum)]
    output: Format,

    #[command(flatten)]
    connecting: Connecting,

    #[command(flatten)]
    tls: TlsArgs,
}

impl Flags {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), String> {
        self.connecting.check()?;
        self.tls.check()
    }

    /// Sends echoes until the count is reached or a signal arrives.
    pub(super) fn run(self, quiet: bool) -> Result<ExitCode, Failure> {
        let tls = self.tls.settings(self.connecting.target(), false)?;
        let config = PingConfig {
            target: self.connecting.resolve()?,
            count: self.count.map(|count| count as u64),
            interval: self.interval,
            size: self.size,
            timeout: self.timeout,
            style: match (self.output, quiet) {
                (Format::Json, _) => Style::Json,
                (Format::Text, true) => Style::Summary,
                (Format::Text, false) => Style::Lines,
            },
        };
        let mut net = scheduling_net()?;
        let stdout = Box::new(open_stdout(net.inner_mut())?);
        check_echoes(Pinger::over_transport(net, config, tls, stdout)?.run()?)
    }
}

/// Succeeds if an echo was received and none was wrong.
fn check_echoes(report: PingReport) -> Result<ExitCode, Failure> {
    let PingReport { peer, echoes, .. } = report;
    let (sent, wrong, surplus) = (echoes.sent, echoes.mismatched, echoes.surplus);
    if let Some(failure) = report.failure {
        Err(failure.into())
    } else if report.output_closed {
        Ok(ExitCode::SUCCESS)
    } else if wrong > 0 || surplus > 0 {
        Err(Failure(format!(
            "echo mismatch from {peer} ({wrong} of {sent} echoes wrong, {surplus} surplus bytes): \
             the server does not echo raw, or the path alters data; start it with --protocol raw"
        )))
    } else if echoes.received + echoes.late == 0 {
        Err(Failure(format!(
            "no echo received from {peer} ({sent} sent): \
             the server hangs, or does not echo raw; wait longer with --timeout"
        )))
    } else {
        Ok(ExitCode::SUCCESS)
    }
}
