//! `echoloop send`: standard input to a server, and what comes back to standard output.

use super::connecting::{Connecting, cannot_start};
use super::serve::ProtocolArg;
use super::{Failure, units};
use crate::client::{Framing, Input, SendConfig, Sender};
use crate::net::MioNet;
use crate::protocol::Width;
use clap::Args;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  printf 'hello\\n' | echoloop send                to 127.0.0.1:8000, and what comes back
  echoloop send example.org:7 < file > copy       a file there and back
  echoloop send -p line --message hello           one line, and its reply
  echoloop send -p frame:2 -m a -m b              two frames, as Erlang's {packet, 2}
  echoloop send --timeout 5s </dev/null           no input: what does it say by itself?

At the end of the input it half-closes, and reads to the server's FIN. \
If the server sends FIN first, what input is at hand is still sent.

With -p line, the last line of the input gets a line end if it has none. With -p frame:N, each line of the input is one \
message without its line end, and each reply is printed as a line. TEXT is sent as a line is; raw sends it as it is.

Exit codes: 0 both have said all, or nobody reads standard output any more; 1 failed, with one line that says why; \
2 wrong usage.";

/// Send standard input to a server, and print what comes back
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Protocol of the server
    #[arg(short, long, value_name = "P", default_value = "raw", value_enum)]
    protocol: ProtocolArg,

    /// Send TEXT in place of standard input (repeatable)
    #[arg(short, long, value_name = "TEXT")]
    message: Vec<String>,

    /// Largest frame sent or received
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::positive_size)]
    max_message: usize,

    /// Give up when nothing has moved either way for D [default: never]
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    timeout: Option<Duration>,

    #[command(flatten)]
    connecting: Connecting,
}

impl Flags {
    /// Sends and receives until both sides have said all.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let target = self.connecting.resolve()?;
        let mut net = MioNet::new().map_err(|error| cannot_start(&error))?;
        net.take_stdout()
            .map_err(|error| cannot_take("output", &error))?;
        let input = if self.message.is_empty() {
            net.take_stdin()
                .map_err(|error| cannot_take("input", &error))?;
            Input::Stdin
        } else {
            let messages = self.message.into_iter().map(String::into_bytes);
            Input::Messages(messages.collect())
        };
        let sender = Sender::new(
            net,
            SendConfig {
                target,
                input,
                framing: framing(self.protocol),
                max_message: self.max_message,
                timeout: self.timeout,
            },
        );
        let sent = sender.run()?;
        log::debug!("{} bytes sent, {} received", sent.sent, sent.received);
        if sent.output_closed {
            log::debug!("nobody reads standard output any more");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What is wrong with the flags together, if anything is: a message that does not fit is known before it is sent.
    pub(super) fn check(&self) -> Result<(), String> {
        self.connecting.check()?;
        let framing = framing(self.protocol);
        if framing == Framing::Raw || framing == Framing::Line {
            return Ok(());
        }
        let most = framing.max_message().min(self.max_message);
        match self.message.iter().find(|message| message.len() > most) {
            None => Ok(()),
            Some(message) => Err(format!(
                "a --message of {} bytes is too long: at most {most} fit; \
                 choose a longer header such as frame:4, or allow more with --max-message",
                message.len()
            )),
        }
    }
}

fn cannot_take(which: &str, error: &io::Error) -> Failure {
    Failure(format!(
        "cannot use standard {which}: {error}; give it a file, a pipe or a terminal"
    ))
}

/// How a client of the protocol delimits messages; discard and collect accept any bytes.
fn framing(protocol: ProtocolArg) -> Framing {
    match protocol {
        ProtocolArg::Raw | ProtocolArg::Discard | ProtocolArg::Collect => Framing::Raw,
        ProtocolArg::Line => Framing::Line,
        ProtocolArg::Frame1 => Framing::Frame(Width::One),
        ProtocolArg::Frame2 => Framing::Frame(Width::Two),
        ProtocolArg::Frame4 => Framing::Frame(Width::Four),
    }
}
