//! `echoloop doctor`: the connection limits of this machine.

use super::output::{Format, to_stdout, with_newline};
use super::{Failure, exit_code, units};
use crate::doctor::{self, Report, Role};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echoloop doctor                      show limits and how many connections fit
  echoloop doctor --connections 1m     does a server of a million fit here?
  echoloop doctor --connections 1m --role both
                                       and with its clients on the same machine?
  echoloop doctor --connections 50k --role client
                                       can 50,000 be opened to one remote port?
  echoloop doctor -o json              for scripts: the keys are stable

Nothing is changed: commands are shown, not run.
Exit code 3 if --connections do not fit.";

/// Report connection limits and how to raise them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Exit with 3 unless N connections fit
    #[arg(long, value_name = "N", value_parser = units::positive_count)]
    connections: Option<usize>,

    /// Check this machine as the server, as the client, or as both ends
    #[arg(long, value_name = "ROLE", value_enum, default_value = "server")]
    role: Role,

    /// Print the report in this format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Format,
}

impl ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Role] {
        &Role::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Flags {
    /// Reads the limits of this machine and reports them.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let connections = self.connections.map(|count| count as u64);
        let report = Report::new(doctor::read_facts(), self.role, connections);
        to_stdout(match self.output {
            Format::Text => doctor::text(&report),
            Format::Json => with_newline(doctor::json(&report))?,
        })?;
        Ok(exit_code(report.fits() != Some(false)))
    }
}
