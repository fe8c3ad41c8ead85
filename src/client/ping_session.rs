//! The protocol of `ping`: verifies what the server sends and queues a line for each echo.

use super::Failure;
use super::echo_tracker::{EchoEvent, EchoTracker};
use super::ping::PingConfig;
use super::summary::{Style, line_of};
use crate::protocol::{Context, Outbox, Protocol, Session};
use crate::stdout::StdoutQueue;

/// Queued output above which lines are left out: the schedule does not wait for a slow reader.
const MAX_QUEUED: usize = 64 * 1024;

/// The state that the session shares with its owner.
#[derive(Debug)]
pub struct PingProtocol {
    pub(super) config: PingConfig,
    pub(super) echoes: EchoTracker,
    pub(super) output: StdoutQueue,
    /// The address that is being tried or is connected.
    pub(super) peer: String,
    /// A connection has been established.
    pub(super) is_established: bool,
    pub(super) lines_left_out: u64,
}

/// The session of `ping`, whose state is all in [`PingProtocol`].
#[derive(Clone, Copy, Debug)]
pub struct PingSession;

impl PingProtocol {
    pub(super) fn new(config: PingConfig) -> Result<PingProtocol, Failure> {
        let echoes = EchoTracker::new(config.size, config.timeout);
        Ok(PingProtocol {
            echoes: echoes.map_err(|_| Failure::OutOfMemory)?,
            output: StdoutQueue::default(),
            peer: config.target.name.clone(),
            config,
            is_established: false,
            lines_left_out: 0,
        })
    }

    fn print_header(&mut self) {
        let (name, peer) = (&self.config.target.name, &self.peer);
        let address = if name == peer {
            String::new()
        } else {
            format!(" ({peer})")
        };
        let header = format!("PING {name}{address}: {} bytes each\n", self.config.size);
        self.output.push(header.as_bytes());
    }

    /// Queues a line for each event.
    pub(super) fn print(&mut self, events: Vec<EchoEvent>) {
        if self.config.style != Style::Lines {
            return;
        }
        let PingConfig { size, timeout, .. } = self.config;
        for event in events {
            if self.output.len() >= MAX_QUEUED {
                self.lines_left_out += 1;
                continue;
            }
            let line = line_of(event, size, &self.peer, timeout);
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
        if context.shared.config.style == Style::Lines {
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
