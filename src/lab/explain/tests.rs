use super::source::{CALLS, line_with};
use super::*;
use crate::net::{Note, TraceKind};

fn recorded() -> impl Iterator<Item = (&'static str, Recording)> {
    let scenarios = SCENARIOS.iter();
    scenarios.map(|scenario| (scenario.name, record(scenario).unwrap()))
}

fn kinds(name: &str) -> Vec<TraceKind> {
    let recording = record(find(name).unwrap()).unwrap();
    let events = recording.timeline.events.iter();
    events.map(|event| event.kind).collect()
}

#[test]
fn no_byte_is_lost_and_the_engine_has_the_states_shown() {
    for (name, recording) in recorded() {
        assert_eq!(recording.faults, [""; 0], "{name}");
    }
}

#[test]
fn scenarios_have_15_to_60_steps_with_texts() {
    for (name, recording) in recorded() {
        let count = recording.steps.len();
        assert!((15..=60).contains(&count), "{name}: {count}");
        for step in &recording.steps {
            let is_whole = step.text.ends_with('.') && !step.text.contains("  ");
            assert!(is_whole && !step.title.is_empty(), "{name}: {step:?}");
            assert!(step.text.matches('`').count() % 2 == 0, "{name}: {step:?}");
        }
    }
}

#[test]
fn each_step_of_the_server_has_the_line_of_its_call() {
    for (name, recording) in recorded() {
        let steps = recording.steps.iter();
        for step in steps.filter(|step| step.actor == "server") {
            assert!(step.phase.line().is_some(), "{name}: {step:?}");
            let Some((excerpt, number)) = step.line else {
                assert_eq!(step.title, "the server exits", "{name}: {step:?}");
                continue;
            };
            let mut lines = CALLS[excerpt].lines();
            let (_, line) = lines.find(|(of, _)| *of == number).unwrap();
            let call = match step.event.map(|event| event.kind) {
                Some(TraceKind::Wait(_) | TraceKind::Woke(_)) => "net.wait(",
                Some(TraceKind::Read(_) | TraceKind::Eof | TraceKind::ReadFailed(_)) => {
                    "stream.read"
                }
                Some(TraceKind::Write(_) | TraceKind::WriteFailed(_)) => "stream.write",
                Some(TraceKind::Opened(_)) => "net.register(",
                Some(TraceKind::WatchWritable) => "net.watch_writable(",
                Some(TraceKind::FinSent) => "stream.shutdown_write(",
                Some(TraceKind::Closed(_)) => "net.close(",
                Some(TraceKind::AcceptExhausted | TraceKind::AcceptEmpty) => "net.accept(",
                Some(TraceKind::Signal(_)) => "net.take_signal(",
                _ => "",
            };
            assert!(line.contains(call), "{name}: {line:?} for {step:?}");
        }
    }
}

#[test]
fn lines_that_are_found_by_their_text_exist() {
    for (file, text) in [
        ("src/connection/driver/mod.rs", "Outcome::Again =>"),
        (
            "src/connection/reading.rs",
            "self.is_input_blocked() || is_full",
        ),
        ("src/server/accepting.rs", "listener.socket = None;"),
    ] {
        assert!(line_with(file, text).is_some(), "{file}: {text}");
    }
    assert_eq!(line_with("src/server/accepting.rs", "no such line"), None);
}

/// One timeline, and several renderings of it.
#[test]
fn timeline_has_the_bytes_and_iterations_of_the_steps() {
    for (name, recording) in recorded() {
        let (bytes_in, bytes_out) = recording.timeline.bytes();
        assert!(bytes_in > 0 && bytes_in == bytes_out, "{name}");
        assert!(recording.timeline.iterations.len() > 4, "{name}");
        let tracks = recording.timeline.connections.len();
        assert_eq!(tracks, recording.clients.len(), "{name}");
        let last = recording.steps.iter().rev().flat_map(|step| &step.changes);
        for client in &recording.clients {
            let counts = last
                .clone()
                .find(|(of, _)| *of == format!("{client}.count"));
            let (sent, received) = counts.unwrap().1.split_once(" sent, ").unwrap();
            assert_eq!(format!("{sent} received"), received, "{name}, {client}");
        }
    }
}

#[test]
fn each_scenario_shows_what_its_title_promises() {
    for (name, expected) in [
        (
            "two-clients",
            vec![TraceKind::Woke(2), TraceKind::Note(Note::BudgetUsed)],
        ),
        ("short-read", vec![TraceKind::Read(2), TraceKind::Read(4)]),
        (
            "slow-reader",
            vec![
                TraceKind::Note(Note::OutputPending),
                TraceKind::WatchWritable,
                TraceKind::Note(Note::OutputSent),
            ],
        ),
        (
            "half-close",
            vec![TraceKind::Eof, TraceKind::WatchWritable, TraceKind::Eof],
        ),
        (
            "emfile",
            vec![
                TraceKind::Note(Note::AcceptPaused),
                TraceKind::Woke(0),
                TraceKind::Note(Note::AcceptPaused),
                TraceKind::Note(Note::AcceptResumed),
            ],
        ),
        (
            "drain",
            vec![
                TraceKind::Note(Note::OutputPending),
                TraceKind::Note(Note::Drain),
                TraceKind::FinSent,
                TraceKind::FinSent,
            ],
        ),
    ] {
        let mut kinds = kinds(name).into_iter();
        for kind in expected {
            assert!(kinds.any(|of| of == kind), "{name}: no {kind:?}");
        }
    }
}

#[test]
fn two_runs_have_the_same_steps() {
    for scenario in &SCENARIOS {
        let [first, second] = [record(scenario), record(scenario)].map(Result::unwrap);
        assert_eq!(first.steps, second.steps, "{}", scenario.name);
    }
}
