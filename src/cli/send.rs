//! `echoloop send`: standard input to a server, its reply to standard output.

use super::connecting::{Connecting, cannot_start};
use super::output::{cannot_use, open_stdout};
use super::protocol::ProtocolArg;
use super::tls::TlsArgs;
use super::{Failure, units};
use crate::cli::value::by;
use crate::client::{Framing, Input, SendConfig, Sender};
use crate::net::MioNet;
use crate::stdio::StandardStream;
use clap::Args;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  printf 'hello\\n' | echoloop send                send to 127.0.0.1:8000
  echoloop send example.org:7 < file > copy       echo a file
  echoloop send -p line --message hello           one line and its reply
  echoloop send -p frame:2 -m a -m b              two frames and replies
  echoloop send --timeout 5s </dev/null           send nothing, only receive
  echoloop send --tls --ca ca.pem example.org:7   over TLS

At the end of the input it half-closes, then reads until the server's FIN. If
the server sends FIN first, input that was already read is still sent.

With -p line, a missing line end is added to the last line. With -p frame:N,
each line of the input is one message, without its line end, and each reply is
printed as a line. --message TEXT is sent as such a line; with raw, unchanged.

Exit codes: 0 both sides sent FIN, or the reader of standard output closed it;
1 failed, with the reason in one line; 2 wrong usage.";

/// Send standard input to a server and print the reply
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Select the protocol of the server
    #[arg(short, long, value_name = "P", default_value = "raw", value_enum)]
    protocol: ProtocolArg,

    /// Send TEXT in place of standard input (repeatable)
    #[arg(short, long, value_name = "TEXT")]
    message: Vec<String>,

    /// Limit each frame to SIZE
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = by(units::positive_size))]
    max_message: usize,

    /// Fail after D without a byte sent or received [default: never]
    #[arg(long, value_name = "D", value_parser = by(units::positive_duration))]
    timeout: Option<Duration>,

    #[command(flatten)]
    connecting: Connecting,

    #[command(flatten)]
    tls: TlsArgs,
}

impl Flags {
    /// Sends and receives until both sides have sent FIN.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let tls = self.tls.settings(self.connecting.target(), false)?;
        let target = self.connecting.resolve()?;
        let mut net = MioNet::new().map_err(|error| cannot_start(&error))?;
        let stdout = Box::new(open_stdout(&mut net)?);
        let mut stdin: Box<dyn Read> = Box::new(io::empty());
        let input = if self.message.is_empty() {
            let stream = StandardStream::stdin(&mut net);
            stdin = Box::new(stream.map_err(|error| cannot_use("input", &error))?);
            Input::Stdin
        } else {
            let messages = self.message.into_iter().map(String::into_bytes);
            Input::Messages(messages.collect())
        };
        let config = SendConfig {
            target,
            input,
            framing: self.protocol.framing(),
            max_message: self.max_message,
            timeout: self.timeout,
        };
        let sent = Sender::over_transport(net, config, tls, stdin, stdout).run()?;
        log::debug!(
            "done: bytes_sent={} bytes_received={}",
            sent.sent,
            sent.received
        );
        if sent.output_closed {
            log::debug!("standard output was closed by its reader");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Checks the flags against each other, and the length of messages before any is sent.
    pub(super) fn check(&self) -> Result<(), String> {
        self.connecting.check()?;
        self.tls.check()?;
        let framing = self.protocol.framing();
        let most = match framing {
            Framing::Raw | Framing::Line => usize::MAX,
            Framing::Frame(_) => framing.max_message().min(self.max_message),
        };
        match self.message.iter().map(String::len).max() {
            Some(longest) if longest > most => Err(format!(
                "a --message of {longest} bytes is too long: at most {most} fit; \
                 choose a longer header such as frame:4, or raise --max-message"
            )),
            _ => Ok(()),
        }
    }
}
