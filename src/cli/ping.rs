//! `echoloop ping`: verified echoes on schedule.

use super::connecting::{Connecting, cannot_start};
use super::{Failure, units};
use crate::client::{PingConfig, PingReport, Pinger, Style};
use crate::net::MioNet;
use clap::{Args, ValueEnum};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  echoloop ping                                   an echo a second to 127.0.0.1:8000, until Ctrl-C
  echoloop ping example.org:7 -c 5                five echoes
  echoloop ping -c 1000 -i 1ms -q                 a thousand in a second, the summary alone
  echoloop ping -s 64KiB -c 3                     larger ones
  echoloop ping -c 10 -o json                     the summary as one JSON object

All echoes go over one connection, each with bytes of its own, and every byte that comes back is checked. \
An echo is sent when it is due, even if those before it are not back. -q leaves the lines out.

Exit codes: 0 at least one came back, and none wrong; 1 none came back, one came back wrong, or the connection ended; \
2 wrong usage.";

/// How the summary is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each echo, and then the summary
    Text,
    /// The summary alone, as one JSON object
    Json,
}

/// Time verified echoes to a server, as ping(8) does
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Stop after N echoes [default: go on until Ctrl-C]
    #[arg(short, long, value_name = "N", value_parser = units::positive_count)]
    count: Option<usize>,

    /// From one echo to the next
    #[arg(short, long, value_name = "D", default_value = "1s", value_parser = units::positive_duration)]
    interval: Duration,

    /// Bytes of each echo, at most 64MiB
    #[arg(short, long, value_name = "SIZE", default_value = "64", value_parser = units::message_size)]
    size: usize,

    /// An echo that is not back after D is lost
    #[arg(short = 'W', long, value_name = "D", default_value = "2s", value_parser = units::positive_duration)]
    timeout: Duration,

    /// What is printed
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        value_enum,
        hide_possible_values = true,
        help = "What is printed: text, or the summary alone as json"
    )]
    output: Format,

    #[command(flatten)]
    connecting: Connecting,
}

impl Flags {
    /// What is wrong with the flags together, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        self.connecting.check()
    }

    /// Sends echoes until enough are sent or a signal comes.
    pub(super) fn run(self, quiet: bool) -> Result<ExitCode, Failure> {
        let target = self.connecting.resolve()?;
        let config = PingConfig {
            target,
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
        let net = network().map_err(|error| cannot_start(&error))?;
        judge(Pinger::new(net, config)?.run()?)
    }
}

fn network() -> io::Result<MioNet> {
    let mut net = MioNet::with_signals()?;
    net.keep_time_precisely()?;
    net.take_stdout()?;
    Ok(net)
}

/// What the exit code says of it.
fn judge(report: PingReport) -> Result<ExitCode, Failure> {
    let PingReport { peer, echoes, .. } = report;
    if let Some(failure) = report.failure {
        return Err(failure.into());
    }
    if report.output_closed {
        return Ok(ExitCode::SUCCESS);
    }
    let (sent, wrong) = (echoes.sent, echoes.mismatched);
    if wrong > 0 || echoes.surplus > 0 {
        return Err(Failure(format!(
            "what {peer} sent back is not what it was sent ({wrong} of {sent} echoes wrong, {} bytes too many): \
             it does not echo raw; start it with --protocol raw, or check what is on the way",
            echoes.surplus
        )));
    }
    if echoes.received + echoes.late == 0 {
        return Err(Failure(format!(
            "no echo came back from {peer} ({sent} sent): \
             it hangs, or does not echo raw; wait longer with --timeout"
        )));
    }
    Ok(ExitCode::SUCCESS)
}
