//! `echoloop lab`: server architectures, mistakes, and the event loop step by step.

mod explain;
mod patterns;
mod trace_of;
mod trap;

use super::Failure;
use super::output::to_stdout;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// What there is, and what to try first.
const OVERVIEW: &str = "\
The lab shows how servers and event loops behave, on this machine, in seconds.

  lab trap        fifteen mistakes of network programs, each wrong and right
  lab patterns    server architectures under one load: threads, pools, epoll ...
  lab explain     pages that show the event loop step by step
  lab trace-of    the output of strace of any server, as a timeline

Try first:
  echoloop lab trap edge                      why one read per event loses data
  echoloop lab patterns --quick serial pool   why a pool of threads hangs
  echoloop lab explain two-clients > loop.html
                                              open it in a browser: arrow keys
  echoloop serve --trace loop.json            what a real loop does; the file
                                              opens in https://ui.perfetto.dev

docs/lab.md is a course of about an hour: ten steps, each a command, what it
shows, and why. All traffic stays on the loopback interface.
";

const EXAMPLES: &str = "\
Examples:
  echoloop lab                           what there is, and what to try first
  echoloop lab trap                      list the mistakes
  echoloop lab trap edge                 run one, wrong and right
  echoloop lab patterns --quick          compare server architectures
  echoloop lab explain slow-reader > loop.html
                                         the event loop, step by step";

/// Study non-blocking I/O: architectures, mistakes, the event loop
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    Patterns(patterns::Flags),
    #[command(hide = true)]
    Pattern(patterns::ServeFlags),
    Trap(trap::Flags),
    Explain(explain::Flags),
    TraceOf(trace_of::Flags),
}

impl Flags {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.part {
            None => {
                to_stdout(OVERVIEW)?;
                Ok(ExitCode::SUCCESS)
            }
            Some(Part::Patterns(flags)) => flags.run(),
            Some(Part::Pattern(flags)) => flags.run(),
            Some(Part::Trap(flags)) => flags.run(),
            Some(Part::Explain(flags)) => flags.run(),
            Some(Part::TraceOf(flags)) => flags.run(),
        }
    }
}
