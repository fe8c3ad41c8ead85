//! `echoloop lab trace-of`.

use crate::cli::Failure;
use crate::cli::output::to_stdout;
use crate::trace::Strace;
use clap::Args;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  strace -f -ttt -T -o strace.out ./server      run a server in strace
  echoloop lab trace-of strace.out > trace.json
  strace -f -ttt -T -o strace.out -p PID        or watch one that runs

Open trace.json in https://ui.perfetto.dev, which reads it on this machine.
A connection is what accept(2) or connect(2) has opened. Without -T calls have
no duration. strace cannot see operations of io_uring.";

/// Convert the output of strace(1) to a timeline for the viewer Perfetto
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Read FILE, which strace -f -ttt -T -o FILE has written; -: standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The longest line that is read; strace cuts strings to 32 bytes by default.
const MAX_LINE: u64 = 1 << 20;

impl Flags {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let strace = if self.file == Path::new("-") {
            read(io::stdin().lock())
        } else {
            File::open(&self.file).and_then(|file| read(BufReader::new(file)))
        };
        let shown = self.file.display();
        let strace = strace.map_err(|error| {
            let remedy = "give the file of strace -f -ttt -T -o FILE, or - for standard input";
            Failure::new(format!("cannot read {shown}"), error, remedy)
        })?;
        if strace.is_empty() {
            return Err(Failure(format!(
                "{shown} has no line of strace with times: record with strace -f -ttt -T -o FILE"
            )));
        }
        match strace.malformed() {
            (_, None) => {}
            (1, Some(line)) => log::warn!("line {line} of {shown} was not understood"),
            (count, Some(first)) => {
                log::warn!(
                    "{count} lines of {shown} were not understood, the first is line {first}"
                );
            }
        }
        to_stdout(strace.chrome_trace())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads all lines; one that is too long is cut, and its rest is another line.
fn read(mut input: impl BufRead) -> io::Result<Strace> {
    let mut strace = Strace::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(strace);
        }
        strace.add(&String::from_utf8_lossy(&line));
    }
}
