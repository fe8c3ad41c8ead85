//! The kernel and the server of a scenario, as the steps show them; records a step for each call of the server.

use super::kernel::{Item, Kernel, Sizes};
use super::script::{Act, Action, Group};
use super::sentences;
use super::source::{Line, line_of_note, line_with};
use super::step::{Phase, Recording, Step};
use super::view::View;
use crate::net::{Key, Note, Opening, Readiness, Ready, Source, Time, TraceEvent, TraceKind};
use crate::trace::{source_text, text_of};
use std::time::Duration;

/// The time between two groups of actions.
const BETWEEN: Duration = Duration::from_millis(10);

/// An event that a wait has returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported {
    pub(super) item: Item,
    pub(super) ready: Ready,
    pub(super) progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    Current,
    Done,
}

/// A scenario while it runs.
pub(super) struct World {
    pub(super) kernel: Kernel,
    /// The user space of the connections, by index of the socket.
    pub(super) views: Vec<View>,
    script: std::slice::Iter<'static, Group>,
    /// The events of this iteration.
    pub(super) events: Vec<Reported>,
    pub(super) phase: Phase,
    pub(super) iteration: usize,
    pub(super) is_accepting_paused: bool,
    is_draining: bool,
    /// What was explained already: later sentences are shorter.
    explained: Vec<&'static str>,
    /// The values of the last step, for the changes of the next.
    values: Vec<(String, String)>,
    pub(super) recording: Recording,
    /// The script is over, or the server has stopped: nothing more is recorded.
    pub(super) is_over: bool,
}

impl World {
    pub(super) fn new(sizes: Sizes, script: &'static [Group]) -> World {
        World {
            kernel: Kernel::new(sizes),
            views: Vec::new(),
            script: script.iter(),
            events: Vec::new(),
            phase: Phase::Wait,
            iteration: 0,
            is_accepting_paused: false,
            is_draining: false,
            explained: Vec::new(),
            values: Vec::new(),
            recording: Recording::default(),
            is_over: false,
        }
    }

    /// The name of a connection: `#1`.
    pub(super) fn name(&self, id: usize) -> String {
        let key = self.kernel.sockets[id].key;
        key.map_or_else(String::new, |key| key.to_string())
    }

    /// The socket with this key.
    pub(super) fn find(&self, key: Key) -> Option<usize> {
        let mut sockets = self.kernel.sockets.iter();
        sockets.position(|socket| socket.key == Some(key))
    }

    pub(super) fn wait(&mut self, timeout: Option<Duration>, line: Option<Line>) -> Vec<Ready> {
        self.finish_events();
        self.events.clear();
        self.phase = Phase::Wait;
        self.iteration += 1;
        let start = self.kernel.now;
        let sleeps = self.kernel.ready_list().is_empty() && timeout != Some(Duration::ZERO);
        let micros = timeout.map_or(u32::MAX, |timeout| {
            u32::try_from(timeout.as_micros()).unwrap_or(u32::MAX)
        });
        let kind = TraceKind::Wait(micros);
        if sleeps {
            let is_first = timeout.is_none() && self.is_first("sleep");
            self.step(0, kind, sentences::sleeps(timeout, is_first), line);
        } else {
            self.event(0, kind);
        }
        let mut is_late = false;
        while sleeps && !is_late && self.kernel.ready_list().is_empty() {
            let Some(group) = self.script.next() else {
                self.is_over = true;
                return Vec::new();
            };
            is_late = self.perform(group, start, timeout);
        }
        let taken = self.kernel.take_ready();
        self.events
            .extend(taken.into_iter().map(|(item, ready)| Reported {
                item,
                ready,
                progress: Progress::Waiting,
            }));
        let count = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let kind = TraceKind::Woke(count);
        if sleeps || count > 0 || self.is_first("poll") {
            let text = self.woke_text(sleeps, start);
            self.step(0, kind, text, line);
        } else {
            self.event(0, kind);
        }
        self.events.iter().map(|event| event.ready).collect()
    }

    fn woke_text(&mut self, slept: bool, start: Time) -> String {
        if self.events.is_empty() {
            return if slept {
                sentences::woke_for_deadline(self.kernel.now.since(start))
            } else {
                sentences::polls(self.is_draining)
            };
        }
        let names: Vec<String> = self
            .events
            .iter()
            .map(|event| self.event_text(event))
            .collect();
        let is_first = self.is_first("wake");
        sentences::woke(&names, slept, is_first)
    }

    /// Whether nothing of this kind was explained before.
    pub(super) fn is_first(&mut self, what: &'static str) -> bool {
        let is_first = !self.explained.contains(&what);
        if is_first {
            self.explained.push(what);
        }
        is_first
    }

    /// An event in words: `#1 input`.
    pub(super) fn event_text(&self, event: &Reported) -> String {
        self.item_text(event.item, event.ready.readiness)
    }

    pub(super) fn item_text(&self, item: Item, readiness: Readiness) -> String {
        match item {
            Item::Listener => "listener".to_owned(),
            Item::Signals => source_text(Source::SIGNALS),
            Item::Connection(id) => {
                format!("{} {}", self.name(id), sentences::readiness(readiness))
            }
        }
    }

    /// Performs a group of actions. True if the time of the wait has passed.
    fn perform(&mut self, group: Group, start: Time, timeout: Option<Duration>) -> bool {
        let mut is_late = false;
        self.kernel.now = self.kernel.now + BETWEEN;
        for act in group {
            if let (Action::Sleep, Some(timeout)) = (act.action, timeout) {
                self.kernel.now = start + timeout;
                is_late = true;
            }
            self.act(act);
        }
        is_late
    }

    fn act(&mut self, act: &Act) {
        let mut sockets = self.kernel.sockets.iter();
        let id = sockets.rposition(|socket| socket.client == act.client);
        let (title, text) = act.perform(&mut self.kernel, id.unwrap_or_default());
        if let Action::Connect = act.action {
            self.views.push(View::default());
            self.recording.clients.push(act.client);
        }
        let mut sockets = self.kernel.sockets.iter();
        if let Some(id) = sockets.rposition(|socket| socket.client == act.client) {
            self.views[id].client = act.does;
        }
        self.push(Step {
            actor: act.actor(),
            title,
            text,
            event: None,
            changes: Vec::new(),
            phase: Phase::Wait,
            line: None,
        });
    }

    /// The server acts on a connection: the events before that of the connection are done.
    pub(super) fn on_call(&mut self, id: usize) {
        let is_current = |event: &Reported| {
            event.item == Item::Connection(id) && event.progress != Progress::Done
        };
        let position = self.events.iter().position(is_current);
        match position {
            Some(position) if self.phase <= Phase::Events && !self.views[id].is_queued => {
                self.finish_events_before(position);
                self.events[position].progress = Progress::Current;
                self.phase = Phase::Events;
            }
            _ if self.phase <= Phase::RunQueue && self.views[id].is_queued => {
                self.finish_events();
                self.views[id].is_queued = false;
                self.phase = Phase::RunQueue;
            }
            _ => {}
        }
    }

    /// All events of connections are done, and a later part of the iteration runs.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.finish_events();
        self.phase = self.phase.max(phase);
        match phase {
            Phase::Sources => self.on_source(Item::Signals),
            Phase::Accepting => self.on_source(Item::Listener),
            _ => {}
        }
    }

    /// The event of a source was handled.
    pub(super) fn on_source(&mut self, item: Item) {
        let mut events = self.events.iter_mut();
        if let Some(event) = events.find(|event| event.item == item) {
            event.progress = Progress::Done;
        }
    }

    fn finish_events(&mut self) {
        self.finish_events_before(self.events.len());
    }

    /// The connections of these events were driven. Records a step for each that made no call.
    fn finish_events_before(&mut self, end: usize) {
        for index in 0..end {
            let Reported {
                item,
                ready,
                progress,
            } = self.events[index];
            let Item::Connection(id) = item else { continue };
            if progress == Progress::Waiting && !self.kernel.sockets[id].is_closed {
                self.events[index].progress = Progress::Current;
                self.phase = self.phase.max(Phase::Events);
                self.not_called(id, ready);
            }
            self.events[index].progress = Progress::Done;
        }
    }

    fn not_called(&mut self, id: usize, ready: Ready) {
        let (file, line) = if self.views[id].is_queued {
            (
                "src/connection/driver/mod.rs",
                "slot.tenant.add_readiness(readiness);",
            )
        } else {
            (
                "src/connection/reading.rs",
                "self.is_input_blocked() || is_full",
            )
        };
        let kind = TraceKind::Ready {
            readiness: ready.readiness,
            source: 0,
        };
        let event = self.event(ready.key.serial, kind);
        let (view, socket) = (&self.views[id], &self.kernel.sockets[id]);
        let (title, text) = sentences::not_called(&self.name(id), view, socket);
        self.server_step(title, Some(event), text, line_with(file, line));
    }

    pub(super) fn note(&mut self, key: Key, note: Note) {
        let text = if let Some(id) = self.find(key) {
            match note {
                Note::Drain => self.enter(Phase::Drain),
                Note::DeadlinePassed(_) => self.enter(Phase::Deadlines),
                _ => {}
            }
            self.views[id].on_note(note);
            sentences::note(note, &self.name(id), &self.views[id])
        } else {
            match note {
                Note::AcceptPaused => self.is_accepting_paused = true,
                Note::AcceptResumed => {
                    self.enter(Phase::Accepting);
                    self.is_accepting_paused = false;
                }
                _ => {}
            }
            sentences::server_note(note, &self.kernel)
        };
        match text {
            Some(text) => {
                let line = line_of_note(note, key.source().is_some());
                self.step(key.serial, TraceKind::Note(note), text, line);
            }
            None => {
                self.event(key.serial, TraceKind::Note(note));
            }
        }
    }

    /// The server has taken SIGTERM.
    pub(super) fn on_signal(&mut self) {
        self.enter(Phase::Sources);
        self.is_draining = true;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    pub(super) fn opened(&mut self, id: usize, key: Key, line: Option<Line>) {
        self.views[id].on_registered();
        let is_first = self.is_first("register");
        let client = self.kernel.sockets[id].client;
        let text = sentences::registered(&self.name(id), client, is_first);
        let kind = TraceKind::Opened(Opening::Accepted);
        self.step(key.serial, kind, text, line);
    }

    /// Adds an event to the timeline without a step.
    pub(super) fn event(&mut self, serial: u32, kind: TraceKind) -> TraceEvent {
        let event = TraceEvent::new(self.kernel.now, Duration::ZERO, serial, kind);
        self.recording.timeline.push(event);
        event
    }

    /// Records a step of the server.
    pub(super) fn step(&mut self, serial: u32, kind: TraceKind, text: String, line: Option<Line>) {
        let event = self.event(serial, kind);
        let title = match serial {
            0 => text_of(kind),
            serial => format!("#{serial}: {}", text_of(kind)),
        };
        self.server_step(title, Some(event), text, line);
    }

    /// Records a step of the server that has this title.
    pub(super) fn server_step(
        &mut self,
        title: String,
        event: Option<TraceEvent>,
        text: String,
        line: Option<Line>,
    ) {
        self.push(Step {
            actor: "server".to_owned(),
            title,
            text,
            event,
            changes: Vec::new(),
            phase: self.phase,
            line,
        });
    }

    fn push(&mut self, mut step: Step) {
        if self.is_over {
            return;
        }
        let values = self.snapshot();
        let old = &self.values;
        let is_new = |value: &&(String, String)| !old.contains(value);
        step.changes = values.iter().filter(is_new).cloned().collect();
        self.values = values;
        self.check_bytes(&step.title);
        self.recording.steps.push(step);
    }

    fn check_bytes(&mut self, title: &str) {
        for (socket, view) in self.kernel.sockets.iter().zip(&self.views) {
            if !view.conserves(socket) {
                let client = socket.client;
                let fault = format!("bytes of client {client} are lost at {title:?}");
                self.recording.faults.push(fault);
            }
        }
    }
}
