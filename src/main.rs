//! The program: parse, start logging, dispatch, exit code.

use echoloop::cli::{Cli, Failure};
use echoloop::logging;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::from_arguments();
    let level = match cli.log_level() {
        Ok(level) => level,
        Err(failure) => {
            print_failure(&failure);
            return ExitCode::from(2);
        }
    };
    // Fails only if a logger is installed already; then that one is used.
    let _ = logging::start(level, cli.log_format());
    cli.run().unwrap_or_else(|failure| print_failure(&failure))
}

/// Prints a failure in one line. A closed stderr changes nothing about the exit code.
fn print_failure(failure: &Failure) -> ExitCode {
    // One write, so that other programs on the same stderr cannot write within the line.
    let line = format!("echoloop: {failure}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    ExitCode::FAILURE
}
