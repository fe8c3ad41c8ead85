//! `echoloop lab explain`.

use crate::cli::Failure;
use crate::cli::output::to_stdout;
use crate::lab::explain::{SCENARIOS, Scenario, find, page, record};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, Command};
use std::ffi::OsStr;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  echoloop lab explain                    the scenarios, one per line
  echoloop lab explain slow-reader > loop.html
                                          a page for the browser

Each page is one file that loads nothing. The arrow keys step, space plays.
Without scripts the page is a table of all steps.";

/// Write a page that shows the event loop step by step
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// The scenario; without it, list the scenarios
    #[arg(value_name = "NAME", value_parser = Names)]
    scenario: Option<&'static Scenario>,
}

impl Flags {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.scenario {
            None => to_stdout(list())?,
            Some(scenario) => to_stdout(page_of(scenario)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn page_of(scenario: &Scenario) -> Result<String, Failure> {
    // The server of the scenario would log, and the level selects some of its calls.
    log::set_max_level(log::LevelFilter::Off);
    let recording = record(scenario).map_err(|error| {
        let what = format!("cannot run the scenario {}", scenario.name);
        Failure::new(what, error, "report this as a bug of echoloop")
    })?;
    Ok(page(scenario, &recording))
}

/// One line per scenario.
fn list() -> String {
    let lines = SCENARIOS.iter();
    let lines = lines.map(|scenario| format!("{:<13}{}\n", scenario.name, scenario.summary));
    lines.collect()
}

/// Parses the name of a scenario. clap suggests the most similar name for an unknown one.
#[derive(Clone)]
struct Names;

impl Names {
    fn parser() -> PossibleValuesParser {
        let values = SCENARIOS.iter().map(|scenario| {
            let value = PossibleValue::new(scenario.name);
            value.help(scenario.summary)
        });
        PossibleValuesParser::new(values)
    }
}

impl TypedValueParser for Names {
    type Value = &'static Scenario;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let name = Names::parser().parse_ref(command, argument, value);
        let name = name.map_err(|mut error| {
            // The list of all names is wider than a terminal.
            error.remove(ContextKind::ValidValue);
            let tip = "'echoloop lab explain' lists the scenarios".to_owned();
            let tips = ContextValue::StyledStrs(vec![tip.into()]);
            error.insert(ContextKind::Suggested, tips);
            error
        })?;
        find(&name).ok_or_else(|| clap::Error::new(ErrorKind::InvalidValue).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values: Vec<PossibleValue> = Names::parser().possible_values()?.collect();
        Some(Box::new(values.into_iter()))
    }
}
