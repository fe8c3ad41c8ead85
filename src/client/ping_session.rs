//! The protocol of `ping`: verifies what the server sends and queues a line for each echo.

use super::Failure;
use super::echo_tracker::{EchoEvent, EchoTracker};
use super::ping::PingConfig;
use super::summary::{Style, line_of};
use crate::protocol::{Context, Outbox, Protocol, Session};
use crate::stdout::StdoutQueue;
use std::time::Duration;

/// Queued output above which lines are left out: the schedule does not wait for a slow reader.
const MAX_QUEUED: usize = 64 * 1024;

/// The state that the session shares with its owner.
#[derive(Debug)]
pub struct PingProtocol {
    pub(super) echoes: EchoTracker,
    pub(super) output: StdoutQueue,
    /// The server as the user named it.
    name: String,
    /// The address that is being tried or is connected.
    pub(super) peer: String,
    pub(super) size: usize,
    pub(super) timeout: Duration,
    pub(super) style: Style,
    /// A connection has been established.
    pub(super) is_established: bool,
    pub(super) lines_left_out: u64,
}

/// The session of `ping`, whose state is all in [`PingProtocol`].
#[derive(Clone, Copy, Debug)]
pub struct PingSession;

impl PingProtocol {
    pub(super) fn new(config: &PingConfig) -> Result<PingProtocol, Failure> {
        let echoes = EchoTracker::new(config.size, config.timeout);
        Ok(PingProtocol {
            echoes: echoes.map_err(|_| Failure::OutOfMemory)?,
            output: StdoutQueue::default(),
            name: config.target.name.clone(),
            peer: config.target.name.clone(),
            size: config.size,
            timeout: config.timeout,
            style: config.style,
            is_established: false,
            lines_left_out: 0,
        })
    }

    fn print_header(&mut self) {
        let PingProtocol {
            name, peer, size, ..
        } = self;
        let address = match name == peer {
            true => String::new(),
            false => format!(" ({peer})"),
        };
        let header = format!("PING {name}{address}: {size} bytes each\n");
        self.output.push(header.as_bytes());
    }

    /// Queues a line for each event.
    pub(super) fn print(&mut self, events: Vec<EchoEvent>) {
        if self.style != Style::Lines {
            return;
        }
        for event in events {
            if self.output.len() >= MAX_QUEUED {
                self.lines_left_out += 1;
                continue;
            }
            let line = line_of(event, self.size, &self.peer, self.timeout);
            self.output.push(line.as_bytes());
        }
    }
}

impl Protocol for PingProtocol {
    type Session = PingSession;

    fn name(&self) -> &'static str {
        "ping"
    }

    fn session(&mut self) -> PingSession {
        PingSession
    }
}

impl Session for PingSession {
    type Shared = PingProtocol;

    fn open(&mut self, context: Context<'_, PingProtocol>, _: &mut Outbox<'_>) {
        context.shared.is_established = true;
        if context.shared.style == Style::Lines {
            context.shared.print_header();
        }
    }

    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, PingProtocol>,
        _: &mut Outbox<'_>,
    ) -> usize {
        let events = context.shared.echoes.receive(input, context.now);
        context.shared.print(events);
        input.len()
    }
}
