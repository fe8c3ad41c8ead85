//! The steps of a scenario: what happened, why, at which line, and what it has changed.

use super::source::{LOOP, Line};
use crate::net::TraceEvent;
use crate::trace::Timeline;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which component acts: the server, a client, the clock.
    pub actor: String,
    /// What it does, in a few words.
    pub title: String,
    /// What happened and why, in plain sentences.
    pub text: String,
    /// The event of the timeline, if the server acts.
    pub event: Option<TraceEvent>,
    /// The values that differ from those of the step before, by name.
    pub changes: Vec<(String, String)>,
    /// The place in the event loop.
    pub(super) phase: Phase,
    /// The line of the call, in [`CALLS`](super::source::CALLS).
    pub(super) line: Option<Line>,
}

/// The part of an iteration that runs, in the order of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Wait,
    Events,
    Deadlines,
    RunQueue,
    Sources,
    Accepting,
    Drain,
}

impl Phase {
    /// Its line in [`LOOP`].
    pub(super) fn line(self) -> Option<Line> {
        let text = match self {
            Phase::Wait => "self.wait(",
            Phase::Events => "handler.ready(",
            Phase::Deadlines => "self.fire_deadlines(",
            Phase::RunQueue => "self.run_queued(",
            Phase::Sources => "self.handle_sources(",
            Phase::Accepting => "self.events_handled(",
            Phase::Drain => "continue_drain(",
        };
        let excerpts = LOOP.iter().enumerate();
        let mut lines = excerpts.map(|(index, excerpt)| (index, excerpt.line_of(text)));
        lines.find_map(|(index, line)| line.map(|line| (index, line)))
    }
}

/// A scenario as it ran: its steps, and what they must satisfy.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// The clients, in the order in which they connect.
    pub clients: Vec<&'static str>,
    /// The events of the server.
    pub timeline: Timeline,
    /// Violations of what holds at each step: bytes that were lost, and a state that differs from that of the engine.
    pub faults: Vec<String>,
}
