//! A connection over a socket that follows a script: whatever reads and writes find, and whatever events come when,
//! what goes out is what the session said, in order and within the bounds, and it ends for the right reason.
//!
//! A run has two parts. First the fuzzer's steps, events without a cause and lost ones included. Then all that is left
//! of the script is told honestly, an edge after each call that would block, with the peer's FIN behind it: by that
//! alone the connection must come to its end.
#![no_main]

mod checks;
mod due;
mod messages;
mod run;
mod script;
mod size;

use due::{Due, Spoken};
use echoloop::connection::{Common, Connection, Limits, Outcome, Workbench};
use echoloop::net::{Readiness, Time};
use echoloop::protocol::{Protocol, Raw, Session};
use echoloop::reactor::{Scratch, scratch};
use libfuzzer_sys::fuzz_target;
use messages::Messages;
use run::{Run, Speaks, Step};
use script::{Content, Read, Script};
use size::Size;
use std::cell::RefCell;

/// Drives after which a run is long enough, whatever would still come.
const MOST_DRIVES: usize = 500;

/// Bytes read after which a run is long enough.
const MOST_BYTES: usize = 1 << 20;

/// A connection on its bench, and what must become of it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Rig<P: Protocol, const DRAINS: bool> {
    connection: Connection<P::Session>,
    common: Common<P>,
    gathered: Vec<u8>,
    script: Script<DRAINS>,
    due: Due,
    /// It was begun, and neither stands nor has ended yet.
    connecting: bool,
    /// It was given up before it stood.
    called_off: bool,
    drained: bool,
    /// Nothing more will be said from outside.
    said_all: bool,
    speaks_on: bool,
    /// The peer's FIN has been read, and has not ended it.
    heard_out: bool,
    drives: usize,
}

impl<P: Spoken, const DRAINS: bool> Rig<P, DRAINS>
where
    P::Session: Session<Shared = P>,
{
    fn new(mut protocol: P, content: Content, run: &Run) -> Self {
        let session = protocol.session();
        let bounds = &run.limits;
        let limits = Limits {
            max_pending: bounds.max_pending.at_least_one(),
            budget: bounds.budget.at_least_one(),
        };
        let max_buffered = bounds.max_buffered.map_or(1 << 30, Size::at_least_one);
        Rig {
            connection: if run.connecting {
                Connection::connecting(session)
            } else {
                Connection::open(session)
            },
            common: Common::new(protocol, limits, max_buffered),
            gathered: Vec::new(),
            script: Script::new(content, !run.connecting),
            due: Due::default(),
            connecting: run.connecting,
            called_off: false,
            drained: false,
            said_all: false,
            speaks_on: false,
            heard_out: false,
            drives: 0,
        }
    }

    fn run(mut self, steps: &[Step]) {
        for step in steps {
            if self.take(step) || self.is_long_enough() {
                return;
            }
        }
        self.come_to_an_end();
    }

    fn is_long_enough(&self) -> bool {
        self.drives > MOST_DRIVES || self.bytes_read() > MOST_BYTES
    }

    fn bytes_read(&self) -> usize {
        self.script.read + self.script.read_after_fin
    }

    /// Takes a step; true if the connection has closed.
    fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Read(read) => self.script.reads.push_back(*read),
            Step::Write(write) => self.script.writes.push_back(*write),
            Step::Connect(connect) => self.script.connects.push_back(*connect),
            Step::ShutdownFails => self.script.shutdown_fails = true,
            Step::Drive {
                readable,
                writable,
                drain,
            } => {
                let readiness = Readiness::READABLE.when(*readable)
                    | Readiness::WRITABLE.when(*writable)
                    | Readiness::DRAIN.when(*drain);
                return matches!(self.drive(readiness), Outcome::Closed(_));
            }
            Step::Drain => self.drain(),
            Step::HalfClose => return self.half_close(),
            Step::SpeakOn => {
                self.connection.speak_on();
                self.speaks_on |= !self.script.fin_read;
            }
            Step::Say(length) => return self.say(usize::from(*length)),
        }
        false
    }

    /// Tells all that is left honestly, until the connection has closed.
    fn come_to_an_end(&mut self) {
        self.script.reads.push_back(Read::Fin);
        self.script.generous = true;
        let mut idle_drives = 0;
        while !self.is_long_enough() {
            if self.heard_out && self.half_close() {
                return;
            }
            let told = self.script.told;
            let input = Readiness::READABLE | Readiness::DRAIN;
            // What was told and not taken back is still known to the connection: no edge comes for it.
            let readiness = input.when(!told.contains(Readiness::READABLE))
                | Readiness::WRITABLE.when(!told.contains(Readiness::WRITABLE));
            let before = self.progress();
            match self.drive(readiness) {
                Outcome::Closed(_) => return,
                // It fills the memory of all with a message that it still waits for the rest of.
                Outcome::Memory if self.connection.owed() == 0 => {
                    assert!(self.common.protocol.kept() > 0, "memory is held by nobody");
                    return;
                }
                Outcome::Input
                | Outcome::Event
                | Outcome::Turn
                | Outcome::Memory
                | Outcome::Taker => {}
            }
            idle_drives = if before == self.progress() {
                idle_drives + 1
            } else {
                0
            };
            assert!(idle_drives < 4, "it does not come to its end");
        }
    }

    fn progress(&self) -> (usize, usize, usize, usize, bool) {
        let script = &self.script;
        let read = self.bytes_read();
        let kept = self.common.protocol.kept();
        (
            read,
            kept,
            script.written.len(),
            script.len(),
            script.fin_sent,
        )
    }

    fn drive(&mut self, readiness: Readiness) -> Outcome {
        self.drives += 1;
        self.script.told |= readiness;
        let is_mute = self.begin(self.common.protocol.kept());
        let (read_before, fin_before) = (self.script.read, self.script.fin_read);
        let outcome = SCRATCH.with_borrow_mut(|scratch| {
            self.connection.drive(
                &mut self.script,
                readiness,
                scratch,
                &mut Workbench {
                    serial: 1,
                    now: Time::ZERO,
                    budget: self.common.limits.budget,
                    common: &mut self.common,
                    gathered: &mut self.gathered,
                },
            )
        });
        self.connecting &= !self.script.stands;
        let is_finished = self.common.protocol.finished().is_some();
        let may_speak = self.speaks_on && !self.said_all && !self.drained && !is_finished;
        self.heard_out |= self.script.fin_read && !fin_before && may_speak;
        let read = self.script.read - read_before;
        assert!(
            read <= self.common.limits.budget,
            "{read} bytes read in a turn"
        );
        self.check(is_mute);
        self.check_outcome(outcome);
        outcome
    }

    /// Something is about to be done with the connection; true if its FIN has been sent already.
    fn begin(&mut self, kept: usize) -> bool {
        let is_finished = self.common.protocol.finished().is_some();
        self.script.hears_on = self.said_all && !self.drained && !is_finished;
        self.script.begin(kept);
        self.script.fin_sent
    }

    /// Nothing more will be said; true if the connection has closed.
    fn half_close(&mut self) -> bool {
        self.said_all = true;
        let is_mute = self.begin(0);
        let mut bench = Workbench {
            serial: 1,
            now: Time::ZERO,
            budget: self.common.limits.budget,
            common: &mut self.common,
            gathered: &mut self.gathered,
        };
        let closed = self.connection.half_close(&mut self.script, &mut bench);
        match closed {
            Ok(()) => {
                self.check(is_mute);
                let is_idle = !self.connecting && self.connection.owed() == 0;
                let is_ending = self.drained || self.is_ending();
                assert!(!is_idle || is_ending, "all is said, and FIN is not sent");
                false
            }
            Err(reason) => {
                self.check_outcome(Outcome::Closed(reason));
                true
            }
        }
    }

    /// The program stops.
    fn drain(&mut self) {
        self.connection.drain();
        self.called_off |= self.connecting;
        let is_ending = self.drained || self.is_ending();
        if !is_ending && !self.connecting {
            // Whether there is input is not known, and no edge need come for it.
            self.script.told |= Readiness::READABLE | Readiness::DRAIN;
        }
        self.drained = true;
        self.connecting = false;
    }

    /// The session, the peer or the program has ended it, and it may still owe something.
    fn is_ending(&self) -> bool {
        let is_finished = self.common.protocol.finished().is_some();
        is_finished || self.called_off || self.script.fin_read || self.script.fin_sent
    }

    /// Says something from outside the session; true if the connection has closed.
    fn say(&mut self, length: usize) -> bool {
        if self.is_ending() && !self.heard_out {
            // To say something then is its owner's mistake.
            return false;
        }
        let saying = vec![b'!'; length];
        self.due.bytes.extend(&saying);
        self.due.from_outside += length;
        let is_mute = self.begin(0);
        let mut bench = Workbench {
            serial: 1,
            now: Time::ZERO,
            budget: self.common.limits.budget,
            common: &mut self.common,
            gathered: &mut self.gathered,
        };
        let said = self
            .connection
            .write(&mut self.script, &mut bench, |outbox| outbox.write(&saying));
        match said {
            Ok(is_said) => {
                let must = !self.said_all && !self.drained;
                assert!(is_said || !must, "it could have been said");
                assert!(!is_said || !self.said_all, "said after all was said");
                if !is_said {
                    // Its FIN is the next thing to be sent: nothing goes behind that.
                    let kept = self.due.bytes.len() - length;
                    self.due.bytes.truncate(kept);
                    self.due.from_outside -= length;
                }
                self.check(is_mute);
                false
            }
            Err(reason) => {
                self.check_outcome(Outcome::Closed(reason));
                true
            }
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::new(scratch());
}

fn speak<P: Spoken>(protocol: P, content: Content, run: &Run)
where
    P::Session: Session<Shared = P>,
{
    if run.drains {
        Rig::<P, true>::new(protocol, content, run).run(&run.steps);
    } else {
        Rig::<P, false>::new(protocol, content, run).run(&run.steps);
    }
}

fuzz_target!(|run: Run| {
    match &run.speaks {
        Speaks::Raw => speak(Raw, Content::Positions, &run),
        Speaks::Messages { content, impatient } => {
            let content = Content::Cycle(content.clone());
            let protocol = Messages::new(content.clone(), *impatient);
            speak(protocol, content, &run);
        }
        Speaks::ManyAlike { head } => {
            let content = Content::Cycle(vec![head & 0xf0 | 1, b'x']);
            let mut protocol = Messages::new(content.clone(), false);
            protocol.longest_reply = messages::longest_reply(1);
            speak(protocol, content, &run);
        }
    }
});
