//! `echoloop doctor`: what this machine allows.

use super::{Failure, units};
use crate::doctor::{self, Report, Role};
use clap::{Args, ValueEnum};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// What was asked for does not fit: ran, but a threshold was missed.
const DOES_NOT_FIT: u8 = 3;

const EXAMPLES: &str = "\
Examples:
  echoloop doctor                      what this machine carries, and what limits it
  echoloop doctor --connections 1m     does a server of a million fit here?
  echoloop doctor --connections 1m --role both
                                       and with its clients on this same machine?
  echoloop doctor --connections 50k --role client
                                       can 50,000 be opened to one port elsewhere?
  echoloop doctor -o json              for scripts: its keys are stable

Nothing is changed: commands are shown, not run.
Exit code 3 if --connections do not fit.";

/// Show what this machine allows: how many connections, and how to raise each limit
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Do N connections fit? Exit code 3 if they do not
    #[arg(long, value_name = "N", value_parser = units::positive_count)]
    connections: Option<usize>,

    /// Whether this machine accepts them, opens them, or has both ends
    #[arg(long, value_name = "ROLE", value_enum, default_value = "server")]
    role: RoleName,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Server,
    Client,
    Both,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Flags {
    /// Looks at this machine and says what it carries.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let role = match self.role {
            RoleName::Server => Role::Server,
            RoleName::Client => Role::Client,
            RoleName::Both => Role::Both,
        };
        let asked = self
            .connections
            .map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let report = Report::new(doctor::read_facts(), role, asked);
        let shown = match self.output {
            Format::Text => doctor::text(&report),
            Format::Json => doctor::json(&report)
                .map(|json| json + "\n")
                .map_err(|error| {
                    Failure(format!(
                        "cannot write the report as JSON: {error}; try -o text"
                    ))
                })?,
        };
        match std::io::stdout().lock().write_all(shown.as_bytes()) {
            // A reader such as head has seen enough.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure(format!(
                "cannot write the report to stdout: {error}; check where it is redirected to"
            ))),
            _ => Ok(match report.fits() {
                Some(false) => ExitCode::from(DOES_NOT_FIT),
                _ => ExitCode::SUCCESS,
            }),
        }
    }
}
