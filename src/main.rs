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
            fail(&failure);
            return ExitCode::from(2);
        }
    };
    // There is no other logger in this process; if there were, it would do.
    let _ = logging::start(level);
    cli.run().unwrap_or_else(|failure| fail(&failure))
}

/// Says in one line what failed. That stderr is gone is no reason to fail otherwise.
fn fail(failure: &Failure) -> ExitCode {
    // In one write, so that no other program on the same stderr writes within the line.
    let line = format!("echoloop: {failure}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    ExitCode::FAILURE
}
