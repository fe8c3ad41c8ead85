//! A connection over a scripted socket: for any results of reads and writes and any order of events, the output is that
//! of the session, in order and within the limits, and the connection closes for the correct reason.
//!
//! A run has two parts. First the fuzzer's steps, including spurious and lost events. Then the rest of the script, an edge
//! after each call that would block, and the peer's FIN: the connection must close without further events.
#![no_main]

mod checks;
mod due;
mod messages;
mod run;
mod script;
mod size;

use due::{Due, Observed};
use echoloop::connection::testing::{DriveContext, Outcome};
use echoloop::connection::{Common, Connection, Limits};
use echoloop::net::{Key, Readiness, Time};
use echoloop::protocol::{Protocol, Raw, Session};
use echoloop::reactor::{Scratch, scratch};
use libfuzzer_sys::fuzz_target;
use messages::Messages;
use run::{ProtocolChoice, Run, Step};
use script::{Content, Read, Script};
use size::Size;
use std::cell::RefCell;

/// The most drives of a run.
const MOST_DRIVES: usize = 500;

/// The most bytes read in a run.
const MOST_BYTES: usize = 1 << 20;

/// A connection, its socket, and the expected state.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct TestHarness<P: Protocol, const DRAINS: bool> {
    connection: Connection<P::Session>,
    common: Common<P>,
    write_buffer: Vec<u8>,
    script: Script<DRAINS>,
    due: Due,
    /// Neither established nor closed yet.
    connecting: bool,
    /// Cancelled before it was established.
    cancelled: bool,
    drained: bool,
    /// No more output from outside.
    output_complete: bool,
    allows_half_open: bool,
    /// The peer's FIN has been read, but output may continue.
    recv_closed: bool,
    drives: usize,
}

impl<P: Observed, const DRAINS: bool> TestHarness<P, DRAINS>
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
        TestHarness {
            connection: if run.connecting {
                Connection::connecting(session)
            } else {
                Connection::open(session)
            },
            common: Common::new(protocol, limits, max_buffered),
            write_buffer: Vec::new(),
            script: Script::new(content, !run.connecting),
            due: Due::default(),
            connecting: run.connecting,
            cancelled: false,
            drained: false,
            output_complete: false,
            allows_half_open: false,
            recv_closed: false,
            drives: 0,
        }
    }

    fn run(mut self, steps: &[Step]) {
        for step in steps {
            if self.execute(step) || self.is_long_enough() {
                return;
            }
        }
        self.finish();
    }

    fn is_long_enough(&self) -> bool {
        self.drives > MOST_DRIVES || self.bytes_read() > MOST_BYTES
    }

    fn bytes_read(&self) -> usize {
        self.script.read + self.script.read_after_fin
    }

    /// Executes a step; true if the connection has closed.
    fn execute(&mut self, step: &Step) -> bool {
        match step {
            Step::SocketRead(read) => self.script.reads.push_back(*read),
            Step::SocketWrite(write) => self.script.writes.push_back(*write),
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
            Step::AllowHalfOpen => {
                self.connection.allow_half_open();
                self.allows_half_open |= !self.script.fin_read;
            }
            Step::Write(length) => return self.write_from_outside(usize::from(*length)),
        }
        false
    }

    /// Runs the rest of the script with correct events, until the connection has closed.
    fn finish(&mut self) {
        self.script.reads.push_back(Read::Fin);
        self.script.accepts_all = true;
        let mut idle_drives = 0;
        while !self.is_long_enough() {
            if self.recv_closed && self.half_close() {
                return;
            }
            let reported = self.script.reported;
            let input = Readiness::READABLE | Readiness::DRAIN;
            // No edge occurs for readiness that the connection already knows.
            let readiness = input.when(!reported.contains(Readiness::READABLE))
                | Readiness::WRITABLE.when(!reported.contains(Readiness::WRITABLE));
            let before = self.progress();
            match self.drive(readiness) {
                Outcome::Closed(_) => return,
                // Its incomplete message has used all of the shared memory.
                Outcome::Memory if self.connection.pending_output(&self.common.pool) == 0 => {
                    assert!(
                        self.common.protocol.unconsumed() > 0,
                        "memory is scarce, but no input is kept"
                    );
                    return;
                }
                Outcome::Input
                | Outcome::Event
                | Outcome::Again
                | Outcome::Memory
                | Outcome::RecordReady => {}
            }
            idle_drives = if before == self.progress() {
                idle_drives + 1
            } else {
                0
            };
            assert!(idle_drives < 4, "the connection does not close");
        }
    }

    fn progress(&self) -> (usize, usize, usize, usize, bool) {
        let script = &self.script;
        let read = self.bytes_read();
        let unconsumed = self.common.protocol.unconsumed();
        (
            read,
            unconsumed,
            script.written.len(),
            script.len(),
            script.fin_sent,
        )
    }

    fn drive(&mut self, readiness: Readiness) -> Outcome {
        self.drives += 1;
        self.script.reported |= readiness;
        let is_mute = self.begin(self.common.protocol.unconsumed());
        let (read_before, fin_before) = (self.script.read, self.script.fin_read);
        let outcome = SCRATCH.with_borrow_mut(|scratch| {
            self.connection.drive(
                &mut self.script,
                readiness,
                scratch,
                &mut DriveContext::new(
            Key { slot: 0, serial: 1 },
            Time::ZERO,
            &mut self.common,
            &mut self.write_buffer,
        ),
            )
        });
        self.connecting &= !self.script.established;
        let is_finished = self.common.protocol.finished().is_some();
        let stays_open =
            self.allows_half_open && !self.output_complete && !self.drained && !is_finished;
        self.recv_closed |= self.script.fin_read && !fin_before && stays_open;
        let read = self.script.read - read_before;
        assert!(
            read <= self.common.limits.budget,
            "{read} bytes read in one drive"
        );
        self.check(is_mute);
        self.check_outcome(outcome);
        outcome
    }

    /// Prepares the script for a step; true if FIN has been sent already.
    fn begin(&mut self, unconsumed: usize) -> bool {
        let is_finished = self.common.protocol.finished().is_some();
        self.script.reads_after_fin = self.output_complete && !self.drained && !is_finished;
        self.script.begin(unconsumed);
        self.script.fin_sent
    }

    /// Half-closes; true if the connection has closed.
    fn half_close(&mut self) -> bool {
        self.output_complete = true;
        let is_mute = self.begin(0);
        let mut bench = DriveContext::new(
            Key { slot: 0, serial: 1 },
            Time::ZERO,
            &mut self.common,
            &mut self.write_buffer,
        );
        let closed = self.connection.half_close(&mut self.script, &mut bench);
        match closed {
            Ok(()) => {
                self.check(is_mute);
                let is_idle = !self.connecting && self.connection.pending_output(&self.common.pool) == 0;
                let is_ending = self.drained || self.is_ending();
                assert!(
                    !is_idle || is_ending,
                    "all output is written, but FIN is not sent"
                );
                false
            }
            Err(reason) => {
                self.check_outcome(Outcome::Closed(reason));
                true
            }
        }
    }

    /// Drains the connection.
    fn drain(&mut self) {
        self.connection.drain();
        self.cancelled |= self.connecting;
        let is_ending = self.drained || self.is_ending();
        if !is_ending && !self.connecting {
            // There may be input without another edge.
            self.script.reported |= Readiness::READABLE | Readiness::DRAIN;
        }
        self.drained = true;
        self.connecting = false;
    }

    /// Whether session, peer or server has ended the connection; output may still be pending.
    fn is_ending(&self) -> bool {
        let is_finished = self.common.protocol.finished().is_some();
        is_finished || self.cancelled || self.script.fin_read || self.script.fin_sent
    }

    /// Writes output from outside the session; true if the connection has closed.
    fn write_from_outside(&mut self, length: usize) -> bool {
        if self.is_ending() && !self.recv_closed {
            // The owner must not write then.
            return false;
        }
        let output = vec![b'!'; length];
        self.due.bytes.extend(&output);
        self.due.from_outside += length;
        let is_mute = self.begin(0);
        let mut bench = DriveContext::new(
            Key { slot: 0, serial: 1 },
            Time::ZERO,
            &mut self.common,
            &mut self.write_buffer,
        );
        let written = self
            .connection
            .write(&mut self.script, &mut bench, |outbox| outbox.write(&output));
        match written {
            Ok(is_accepted) => {
                let must = !self.output_complete && !self.drained;
                assert!(is_accepted || !must, "output was rejected without a cause");
                assert!(
                    !is_accepted || !self.output_complete,
                    "output was accepted after the half-close"
                );
                if !is_accepted {
                    // FIN is next, and no output follows it.
                    let unconsumed = self.due.bytes.len() - length;
                    self.due.bytes.truncate(unconsumed);
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

fn run_with<P: Observed>(protocol: P, content: Content, run: &Run)
where
    P::Session: Session<Shared = P>,
{
    if run.drains {
        TestHarness::<P, true>::new(protocol, content, run).run(&run.steps);
    } else {
        TestHarness::<P, false>::new(protocol, content, run).run(&run.steps);
    }
}

fuzz_target!(|run: Run| {
    match &run.protocol {
        ProtocolChoice::Raw => run_with(Raw, Content::Positions, &run),
        ProtocolChoice::Messages { content, impatient } => {
            let content = Content::Cycle(content.clone());
            let protocol = Messages::new(content.clone(), *impatient);
            run_with(protocol, content, &run);
        }
        ProtocolChoice::OneByteMessages { header } => {
            let content = Content::Cycle(vec![header & 0xf0 | 1, b'x']);
            let mut protocol = Messages::new(content.clone(), false);
            protocol.longest_reply = messages::longest_reply(1);
            run_with(protocol, content, &run);
        }
    }
});
