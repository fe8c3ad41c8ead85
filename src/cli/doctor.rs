//! `echoloop doctor`: the connection limits of this machine.

use super::output::{Format, to_stdout, with_newline};
use super::userspace::UserspaceFlags;
use super::{Failure, exit_code, units};
use crate::cli::value::by;
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
  echoloop doctor --connections 50k --role load
                                       can 50,000 be opened to one remote port?
  echoloop doctor --connections 100k --tls
                                       does a server of 100,000 with TLS fit?
  echoloop doctor --connections 5m --role load --userspace-tcp
                                       and 5,000,000 from user space?
  echoloop doctor -o json              for scripts: the keys are stable

Nothing is changed: commands are shown, not run.
Exit code 3 if --connections do not fit.";

/// Report connection limits and how to raise them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Exit with 3 unless N connections fit
    #[arg(long, value_name = "N", value_parser = by(units::positive_count))]
    connections: Option<usize>,

    /// Check this machine as the server, as the host of load, or as both ends
    #[arg(long, value_name = "ROLE", value_enum, default_value = "server")]
    role: Role,

    /// Count the memory of a TLS session per connection
    #[arg(long)]
    tls: bool,

    #[command(flatten)]
    userspace: UserspaceFlags,

    /// Print the report in this format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Format,
}

impl ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Role] {
        &Role::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let value = PossibleValue::new(self.name());
        // The name in JSON, which older versions had on the command line too.
        Some(match self {
            Role::Client => value.alias("client"),
            Role::Server | Role::Both => value,
        })
    }
}

impl Flags {
    /// Reads the limits of this machine and reports them.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let connections = self.connections.map(|count| count as u64);
        // Before the process enters another network namespace.
        let facts = doctor::read_facts();
        let report = if self.userspace.is_on() {
            Report::in_userspace(facts, self.role, connections, self.userspace.examine())
        } else if self.tls {
            Report::over_tls(facts, self.role, connections)
        } else {
            Report::new(facts, self.role, connections)
        };
        to_stdout(match self.output {
            Format::Text => doctor::text(&report),
            Format::Json => with_newline(doctor::json(&report))?,
        })?;
        Ok(exit_code(report.fits() != Some(false)))
    }
}
