//! What the session of `ping` does with what comes back: each echo is compared with what was sent, and told.

use super::Failure;
use super::echoes::{Echoes, Finding};
use super::output::Output;
use super::ping::PingConfig;
use super::summary::{Style, line_of};
use crate::protocol::{Context, Outbox, Protocol, Session};
use std::time::Duration;

/// Bytes that may wait for standard output before lines are left out: the schedule does not wait for a reader.
const MOST_OUTPUT: usize = 64 * 1024;

/// What the session and its owner share.
#[derive(Debug)]
pub struct Echoing {
    pub(super) echoes: Echoes,
    pub(super) output: Output,
    /// The server, as the user named it.
    name: String,
    /// The server's address: the one that is tried, or that has answered.
    pub(super) peer: String,
    pub(super) size: usize,
    pub(super) patience: Duration,
    pub(super) style: Style,
    /// The connection stands, or has stood.
    pub(super) is_open: bool,
    pub(super) lines_left_out: u64,
}

/// The session: all its state is shared with its owner.
#[derive(Clone, Copy, Debug)]
pub struct Verifying;

impl Echoing {
    pub(super) fn new(config: &PingConfig) -> Result<Echoing, Failure> {
        let echoes = Echoes::new(config.size, config.patience);
        Ok(Echoing {
            echoes: echoes.map_err(|_| Failure::NoMemory)?,
            output: Output::default(),
            name: config.target.name.clone(),
            peer: config.target.name.clone(),
            size: config.size,
            patience: config.patience,
            style: config.style,
            is_open: false,
            lines_left_out: 0,
        })
    }

    /// The connection stands: says with whom.
    fn begin(&mut self) {
        self.is_open = true;
        let Echoing { name, peer, .. } = self;
        if self.style == Style::Lines {
            let address = if name == peer {
                String::new()
            } else {
                format!(" ({peer})")
            };
            let header = format!("PING {name}{address}: {} bytes each\n", self.size);
            self.output.push(header.as_bytes());
        }
    }

    fn print(&mut self, finding: Finding) {
        if self.style != Style::Lines {
            return;
        }
        if self.output.len() >= MOST_OUTPUT {
            self.lines_left_out += 1;
            return;
        }
        let line = line_of(finding, self.size, &self.peer, self.patience);
        self.output.push(line.as_bytes());
    }

    /// Lets the echoes find something, and prints it.
    pub(super) fn find(&mut self, look: impl FnOnce(&mut Echoes, &mut dyn FnMut(Finding))) {
        let mut findings = Vec::new();
        look(&mut self.echoes, &mut |finding| findings.push(finding));
        for finding in findings {
            self.print(finding);
        }
    }
}

impl Protocol for Echoing {
    type Session = Verifying;

    fn name(&self) -> &'static str {
        "ping"
    }

    fn session(&mut self) -> Verifying {
        Verifying
    }
}

impl Session for Verifying {
    type Shared = Echoing;

    fn open(&mut self, context: Context<'_, Echoing>, _: &mut Outbox<'_>) {
        context.shared.begin();
    }

    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, Echoing>,
        _: &mut Outbox<'_>,
    ) -> usize {
        let now = context.now;
        context
            .shared
            .find(|echoes, tell| echoes.receive(input, now, tell));
        input.len()
    }
}
