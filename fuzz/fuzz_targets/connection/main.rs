//! A connection over a socket that follows a script: whatever reads and writes find, and whatever events come when,
//! what goes out is what the session said, in order and within the bounds, and it ends for the right reason.
//!
//! A run has two parts. First the fuzzer's steps, events without a cause and lost ones included. Then all that is left
//! of the script is told honestly, an edge after each call that would block, with the peer's FIN behind it: by that
//! alone the connection must come to its end.
#![no_main]

mod due;
mod messages;
mod script;
mod size;

use arbitrary::{Arbitrary, Result, Unstructured};
use due::{Due, Spoken};
use echoloop::connection::{CloseReason, Common, Connection, Limits, Outcome, Workbench};
use echoloop::net::{Readiness, Time};
use echoloop::protocol::{Protocol, Raw, Session};
use echoloop::reactor::{Scratch, scratch};
use libfuzzer_sys::fuzz_target;
use messages::Messages;
use script::{Broken, Connect, Content, Read, Script, Write};
use size::Size;
use std::cell::RefCell;
use std::io::ErrorKind;

/// Drives after which a run is long enough, whatever would still come.
const MOST_DRIVES: usize = 500;

/// Bytes read after which a run is long enough.
const MOST_BYTES: usize = 1 << 20;

#[derive(Arbitrary, Debug)]
struct Run {
    /// Whether a short read has emptied the socket.
    drains: bool,
    /// Begun from here, and not accepted.
    connecting: bool,
    speaks: Speaks,
    limits: Bounds,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Speaks {
    Raw,
    Messages {
        content: Vec<u8>,
        impatient: bool,
    },
    /// Messages of one byte that all ask for the same.
    ManyAlike {
        head: u8,
    },
}

#[derive(Arbitrary, Debug)]
struct Bounds {
    max_pending: Size,
    budget: Size,
    /// For all connections together; there is one.
    max_buffered: Option<Size>,
}

#[derive(Debug)]
enum Step {
    Read(Read),
    Write(Write),
    Connect(Connect),
    ShutdownFails,
    Drive {
        readable: bool,
        writable: bool,
        drain: bool,
    },
    /// The server stops.
    Drain,
    /// So many bytes are said from outside the session.
    Say(u8),
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(source: &mut Unstructured<'a>) -> Result<Step> {
        Ok(match source.int_in_range(0..=31)? {
            0..=8 => Step::Read(source.arbitrary()?),
            9..=17 => Step::Write(source.arbitrary()?),
            18..=26 => Step::Drive {
                readable: source.arbitrary()?,
                writable: source.arbitrary()?,
                drain: source.arbitrary()?,
            },
            27..=28 => Step::Say(source.arbitrary()?),
            29 => Step::Connect(source.arbitrary()?),
            30 => Step::Drain,
            _ => Step::ShutdownFails,
        })
    }
}

/// A connection on its bench, and what must become of it.
struct Rig<P: Protocol, const DRAINS: bool> {
    connection: Connection<P::Session>,
    common: Common<P>,
    gathered: Vec<u8>,
    script: Script<DRAINS>,
    due: Due,
    /// It was begun, and neither stands nor has ended yet.
    connecting: bool,
    drained: bool,
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
            script: Script::new(content),
            due: Due::default(),
            connecting: run.connecting,
            drained: false,
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
        self.drives > MOST_DRIVES || self.script.read + self.script.dropped > MOST_BYTES
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
        let read = script.read + script.dropped;
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
        self.script.begin(self.common.protocol.kept());
        let read_before = self.script.read;
        let outcome = SCRATCH.with_borrow_mut(|scratch| {
            self.connection.drive(
                &mut self.script,
                readiness,
                scratch,
                &mut Workbench {
                    serial: 1,
                    now: Time::ZERO,
                    common: &mut self.common,
                    gathered: &mut self.gathered,
                },
            )
        });
        self.connecting &= !self.script.stands;
        let read = self.script.read - read_before;
        assert!(
            read <= self.common.limits.budget,
            "{read} bytes read in a turn"
        );
        self.check();
        self.check_outcome(outcome);
        outcome
    }

    /// The server stops.
    fn drain(&mut self) {
        self.connection.drain();
        let is_ending = self.drained || self.is_ending();
        if !is_ending && !self.connecting {
            // Whether there is input is not known, and no edge need come for it.
            self.script.told |= Readiness::READABLE | Readiness::DRAIN;
        }
        self.drained = true;
        self.connecting = false;
    }

    /// The session or the peer has ended it, and it may still owe something.
    fn is_ending(&self) -> bool {
        let is_finished = self.common.protocol.finished().is_some();
        is_finished || self.script.fin_read || self.script.fin_sent
    }

    /// Says something from outside the session; true if the connection has closed.
    fn say(&mut self, length: usize) -> bool {
        if self.is_ending() {
            // To say something then is its owner's mistake.
            return false;
        }
        let saying = vec![b'!'; length];
        self.due.bytes.extend(&saying);
        self.due.from_outside += length;
        self.script.begin(0);
        let mut bench = Workbench {
            serial: 1,
            now: Time::ZERO,
            common: &mut self.common,
            gathered: &mut self.gathered,
        };
        let said = self
            .connection
            .write(&mut self.script, &mut bench, |outbox| outbox.write(&saying));
        match said {
            Ok(is_said) => {
                if !is_said {
                    // Its FIN is the next thing to be sent: nothing goes behind that.
                    let kept = self.due.bytes.len() - length;
                    self.due.bytes.truncate(kept);
                    self.due.from_outside -= length;
                }
                self.check();
                false
            }
            Err(reason) => {
                self.check_outcome(Outcome::Closed(reason));
                true
            }
        }
    }

    /// What holds whenever something was done with the connection.
    fn check(&mut self) {
        let Rig {
            connection,
            common,
            script,
            due,
            ..
        } = self;
        common.protocol.settle(due, script.read);
        let fresh = due.compared..script.written.len();
        assert_eq!(
            script.written.get(fresh.clone()),
            due.bytes.get(fresh),
            "written is what was due"
        );
        due.compared = script.written.len();
        assert_eq!(connection.bytes_in(), script.read as u64);
        assert_eq!(connection.bytes_out(), script.written.len() as u64);
        assert_eq!(common.bytes_dropped, script.dropped as u64);
        let owed = connection.owed();
        assert_eq!(connection.owes(), owed > 0);
        if script.broken.is_some() {
            // What it still holds, its owner gives back.
            return;
        }
        let unwritten = due.bytes.len() - script.written.len();
        assert_eq!(owed, unwritten, "what is not written is owed");
        if let Some(reply) = common.protocol.longest_reply() {
            let most = common.limits.max_pending + reply + due.from_outside;
            assert!(owed <= most, "{owed} bytes owed, allowed are {most}");
        }
        let must_hold = owed + common.protocol.kept();
        let held = common.pool.held();
        assert!(held >= must_hold, "{held} bytes account for {must_hold}");
        assert!(must_hold > 0 || held == 0, "{held} bytes held for nothing");
    }

    /// The connection waits only for what will come, and ends only for what has come.
    fn check_outcome(&self, outcome: Outcome) {
        let told = self.script.told;
        let owed = self.connection.owed();
        match outcome {
            Outcome::Closed(reason) => self.check_reason(reason),
            Outcome::Turn => assert!(told.contains(Readiness::READABLE), "a turn for nothing"),
            Outcome::Memory => assert!(self.common.pool.is_scarce(), "there is memory enough"),
            Outcome::Taker => panic!("nobody has made a record"),
            Outcome::Event if self.connecting => {}
            Outcome::Event if owed > 0 => {
                let forgotten = told.contains(Readiness::WRITABLE);
                assert!(!forgotten, "it owes, and forgets that there is room");
            }
            Outcome::Input | Outcome::Event => {
                assert_eq!(owed, 0, "it owes, and waits for input only");
                let forgotten = told.contains(Readiness::READABLE);
                assert!(!forgotten, "it forgets that there may be input");
                let stopped = self.common.protocol.is_stopped();
                assert!(!stopped, "the session was not called again");
            }
        }
    }

    fn check_reason(&self, reason: CloseReason) {
        let script = &self.script;
        let finished = self.common.protocol.finished().map(CloseReason::from);
        let after_fin = finished.unwrap_or(CloseReason::Drained);
        let expected = match script.broken {
            None => {
                assert!(script.fin_read, "closed as {reason} without a cause");
                assert_eq!(script.written, self.due.bytes, "closed before all was sent");
                if script.fin_sent {
                    after_fin
                } else {
                    finished.unwrap_or(CloseReason::PeerClosed)
                }
            }
            Some(Broken::Read(_)) if script.fin_sent => after_fin,
            Some(Broken::Read(kind)) if is_loss(kind) => CloseReason::PeerLost,
            Some(Broken::Write(kind)) if is_loss(kind) => CloseReason::PeerLost,
            Some(Broken::Write(kind)) if !is_reset(kind) => CloseReason::WriteFailed,
            Some(Broken::Read(_) | Broken::Write(_) | Broken::Shutdown) => CloseReason::PeerReset,
            Some(Broken::Connect) => CloseReason::ConnectFailed,
        };
        assert_eq!(reason, expected);
        assert_eq!(self.common.last_error.is_some(), script.broken.is_some());
    }
}

fn is_loss(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::HostUnreachable)
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
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
