//! `send`: what comes from standard input goes to the server, what comes back goes to standard output.
//!
//! Neither waits for the other. The server is sent no more than it takes: standard input is read only while nothing is
//! owed. Standard output is given no more than it takes: what waits for it is counted in the pool of what connections
//! hold, and when that is full the connection is not read. So memory is bounded, whoever is slow, and the slow one's
//! pace reaches the other end.

use super::conversation::{Conversation, Listening};
use super::dialing::{Dialing, Target};
use super::failure::{Awaited, End, Failure};
use super::framing::{Encoder, Framing};
use super::input::{Found, Input, Source as InputSource};
use super::unframing::Decoder;
use crate::connection::{
    Classes, CloseReason, Closed, Common, Connection, Connections, Driver, Limits, Pool, Timeouts,
};
use crate::net::{Key, Net, Readiness, Source, Stream, Time};
use crate::reactor::{Borrowed, Handler, Reactor, SCRATCH_SIZE};
use std::io::ErrorKind;
use std::time::Duration;

/// Bytes that may wait for standard output before the server is read no more; what one turn reads comes on top.
const MOST_OUTPUT: usize = 256 * 1024;

/// What `send` does, and with whom.
#[derive(Clone, Debug)]
pub struct SendConfig {
    /// The server.
    pub target: Target,
    /// What is sent.
    pub input: Input,
    /// How messages are told apart.
    pub framing: Framing,
    /// The longest message either way, in bytes.
    pub max_message: usize,
    /// How long nothing may move before it is given up; `None`: for ever.
    pub timeout: Option<Duration>,
}

/// How a conversation went that came to its end.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Bytes that were sent.
    pub sent: u64,
    /// Bytes that came back.
    pub received: u64,
    /// Nobody reads standard output any more, so not everything was waited for.
    pub output_closed: bool,
}

/// One conversation with a server.
pub struct Sender<N: Net> {
    reactor: Connections<N, Conversation>,
    crew: Crew,
}

/// All of it but the loop, which calls it.
struct Crew {
    driver: Driver<Conversation>,
    dialing: Dialing,
    input: InputSource,
    timeout: Option<Duration>,
    key: Option<Key>,
    /// The first connection has been begun.
    has_begun: bool,
    /// All of the input has been handed to the connection, with FIN behind it.
    has_said_all: bool,
    /// What the pool was told of the output.
    accounted: usize,
    /// Bytes that were found on a connection that was gone already.
    salvaged: u64,
    /// How much had been sent and received when the last connection was closed.
    moved: Sent,
    end: Option<Result<Sent, Failure>>,
}

impl<N: Net> Sender<N> {
    /// A conversation that begins with its first turn. `net` is to have standard output, and standard input if that is what is sent.
    pub fn new(net: N, config: SendConfig) -> Sender<N> {
        let timeouts = Timeouts {
            idle: config.timeout,
            stall: config.timeout,
            connect: config.target.connect_timeout,
        };
        let encoder = Encoder::new(config.framing, config.max_message);
        let input = InputSource::new(config.input, encoder);
        let most_owed = input.most_at_once();
        let limits = Limits {
            // A client that owes is read all the same. Else, with an echo server that does as ours does, neither would
            // read until the other has.
            max_pending: most_owed.saturating_add(2 * SCRATCH_SIZE),
            ..Limits::default()
        };
        // What is owed never fills the pool by itself, so that when it is full it is standard output that is waited for.
        let max_held = most_owed.saturating_mul(2).saturating_add(MOST_OUTPUT);
        let conversation = Conversation::new(Decoder::new(config.framing, config.max_message));
        let common = Common::new(conversation, limits, max_held);
        Sender {
            reactor: Reactor::new(net, timeouts.by_class(), Duration::ZERO),
            crew: Crew {
                driver: Driver::new(common),
                dialing: Dialing::new(config.target),
                input,
                timeout: config.timeout,
                key: None,
                has_begun: false,
                has_said_all: false,
                accounted: 0,
                salvaged: 0,
                moved: Sent::default(),
                end: None,
            },
        }
    }

    /// Connects, sends, receives, and comes back when both have said all and standard output has it.
    ///
    /// # Errors
    /// Why that was not possible. What had come back is on standard output all the same.
    pub fn run(mut self) -> Result<Sent, Failure> {
        loop {
            if let Some(end) = self.turn() {
                return end;
            }
        }
    }

    /// One turn of the loop. Gives back how it went once it is over, as [`run`](Sender::run) does, and is not to be
    /// called again after that.
    pub fn turn(&mut self) -> Option<Result<Sent, Failure>> {
        if !std::mem::replace(&mut self.crew.has_begun, true) {
            self.crew.dial(&mut self.reactor);
        }
        if self.crew.conversation().output.is_empty()
            && let Some(end) = self.crew.end.take()
        {
            return Some(end);
        }
        if let Err(error) = self.reactor.turn(&mut self.crew) {
            return Some(Err(Failure::Loop(error)));
        }
        self.crew.admit_waiting(&mut self.reactor);
        None
    }

    /// The memory held for what the server is owed and for what standard output has not taken.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.crew.driver.common.pool
    }

    /// From now on grants no memory for slots and further turns, as if the machine had none left, or does again. For
    /// tests, as [`Pool::refuse`].
    pub fn refuse_places(&mut self, refuses: bool) {
        self.reactor.refuse(refuses);
    }
}

impl Crew {
    fn conversation(&mut self) -> &mut Conversation {
        &mut self.driver.common.protocol
    }

    fn dial<N: Net>(&mut self, reactor: &mut Connections<N, Conversation>) {
        match self.dialing.next(&mut self.driver, reactor) {
            Ok(key) => {
                if let Some(slot) = reactor.find(key) {
                    // A server may send FIN and listen on; while there is input, that may be so.
                    slot.tenant.speak_on();
                }
                self.key = Some(key);
            }
            Err(failure) => self.end = Some(Err(failure)),
        }
    }

    /// Hands on what can be handed on, both ways.
    fn carry_on<N: Net>(&mut self, reactor: &mut Connections<N, Conversation>) {
        self.flush_output(reactor);
        self.pump_input(reactor);
    }

    /// The connection is read on if it has waited for standard output, and there is room now.
    fn admit_waiting<N: Net>(&mut self, reactor: &mut Connections<N, Conversation>) {
        while let Some((key, reason)) = self.driver.admit_waiting(reactor) {
            self.ended(reactor, key, reason);
        }
        if self.conversation().output.len() != self.accounted {
            // Without memory for a turn it was read at once, and nobody has looked at what came.
            self.flush_output(reactor);
        }
    }

    /// Standard output gets what it takes.
    fn flush_output<N: Net>(&mut self, reactor: &mut Connections<N, Conversation>) {
        let common = &mut self.driver.common;
        let flushed = common.protocol.output.flush(&mut reactor.net);
        if flushed.is_err() {
            common.protocol.output = super::Output::default();
        }
        let waiting = common.protocol.output.len();
        common.pool.account(self.accounted, waiting);
        self.accounted = waiting;
        match flushed {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.hang_up(reactor, CloseReason::SessionDone);
                self.end = Some(Ok(Sent {
                    output_closed: true,
                    ..self.moved.clone()
                }));
            }
            Err(error) => self.abort(reactor, Failure::Output(error)),
        }
    }

    /// The server gets the next piece of the input, if it has taken all that went before.
    fn pump_input<N: Net>(&mut self, reactor: &mut Connections<N, Conversation>) {
        let Some(key) = self.key else { return };
        let owes = reactor.find(key).is_none_or(|slot| slot.tenant.owes());
        if owes || self.has_said_all || !self.conversation().is_open {
            return;
        }
        let has_heard_all = self.conversation().has_heard_all;
        if has_heard_all {
            // Whether there is more to say is to be known now, not when an event tells of it.
            self.input.heed_event();
        }
        let driver = &mut self.driver;
        let mut ended = None;
        match self.input.next(&mut reactor.net) {
            Ok(Found::Piece(bytes)) => {
                ended = driver.write(reactor, key, |outbox| outbox.write(bytes));
                // The connection has its turn in between, so that neither direction waits for the other.
                if reactor.run_again(key).is_err() {
                    return self.abort(reactor, Failure::NoMemory);
                }
            }
            Ok(Found::Last(bytes)) => {
                self.has_said_all = true;
                if !bytes.is_empty() {
                    ended = driver.write(reactor, key, |outbox| outbox.write(bytes));
                }
                ended = ended.or_else(|| driver.half_close(reactor, key));
            }
            // The server has said all, and there is nothing to say to it now: nobody knows that there will be.
            Ok(Found::Nothing) if has_heard_all => {
                self.has_said_all = true;
                ended = driver.half_close(reactor, key);
            }
            Ok(Found::Nothing) => {}
            Err(failure) => return self.abort(reactor, failure),
        }
        if let Some(reason) = ended {
            self.ended(reactor, key, reason);
        }
    }

    /// The connection has ended, or has never stood.
    fn ended<N: Net>(
        &mut self,
        reactor: &mut Connections<N, Conversation>,
        key: Key,
        reason: CloseReason,
    ) {
        let awaited = match reactor.find(key).map(|slot| slot.tenant.owed()) {
            Some(owed) if owed > 0 => Awaited::Room(owed),
            _ if self.input.has_ended() => Awaited::Reply,
            _ => Awaited::Anything,
        };
        if let CloseReason::PeerReset | CloseReason::WriteFailed = reason {
            self.salvage(reactor, key);
        }
        let Some(closed) = self.hang_up(reactor, reason) else {
            return;
        };
        if !self.conversation().is_open {
            self.dialing.note_failed(closed);
            return self.dial(reactor);
        }
        self.end = Some(self.judge(closed, awaited));
        self.flush_output(reactor);
    }

    /// Reads what had come when a write found out that the connection is gone, such as why it was: a server that answers
    /// and closes without having read all of the input resets it. That is at most what the kernel holds for one socket.
    fn salvage<N: Net>(&mut self, reactor: &mut Connections<N, Conversation>, key: Key) {
        let Some(Borrowed { slot, scratch, .. }) = reactor.borrow(key) else {
            return;
        };
        loop {
            match slot.stream.read(scratch) {
                Ok(count) if count > 0 => {
                    self.salvaged += count as u64;
                    self.driver.common.protocol.hear(&scratch[..count]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    fn judge(&mut self, closed: Closed, awaited: Awaited) -> Result<Sent, Failure> {
        let end = End::of(&closed, self.dialing.peer());
        let conversation = self.conversation();
        if conversation.output.is_out_of_memory() {
            return Err(Failure::NoMemory);
        }
        if let Some(what) = conversation.malformed {
            return Err(Failure::Malformed { end, what });
        }
        match (closed.reason, self.timeout) {
            (CloseReason::PeerClosed, _) => Ok(self.moved.clone()),
            (CloseReason::Idle | CloseReason::Stalled, Some(timeout)) => Err(Failure::Silent {
                end,
                awaited,
                timeout,
            }),
            _ => Err(Failure::Lost {
                end,
                error: closed.error,
            }),
        }
    }

    /// Ends it here: the server is told by RST that it did not get everything.
    fn abort<N: Net>(&mut self, reactor: &mut Connections<N, Conversation>, failure: Failure) {
        self.hang_up(reactor, CloseReason::DrainExpired);
        self.end = Some(Err(failure));
    }

    fn hang_up<N: Net>(
        &mut self,
        reactor: &mut Connections<N, Conversation>,
        reason: CloseReason,
    ) -> Option<Closed> {
        let key = self.key.take()?;
        let mut closed = self.driver.close(reactor, key, reason)?;
        closed.bytes_in += std::mem::take(&mut self.salvaged);
        self.moved = Sent {
            sent: closed.bytes_out,
            received: closed.bytes_in,
            output_closed: false,
        };
        Some(closed)
    }
}

fn bytes_in<N: Net>(reactor: &mut Connections<N, Conversation>, key: Key) -> Option<u64> {
    reactor.find(key).map(|slot| slot.tenant.bytes_in())
}

impl<N: Net> Handler<N, Connection<Listening>> for Crew {
    fn ready(
        &mut self,
        reactor: &mut Connections<N, Conversation>,
        key: Key,
        readiness: Readiness,
    ) {
        let heard = bytes_in(reactor, key);
        let ended = self.driver.drive(reactor, key, readiness);
        if bytes_in(reactor, key) != heard {
            // One that owes has the time of its peer's reading alone; but a server that speaks is not silent.
            reactor.touch(key);
        }
        // What is malformed stays so: the server's FIN is not waited for.
        let malformed = self.conversation().malformed.is_some();
        match ended.or(malformed.then_some(CloseReason::Malformed)) {
            Some(reason) => self.ended(reactor, key, reason),
            None => self.carry_on(reactor),
        }
    }

    fn expired(&mut self, reactor: &mut Connections<N, Conversation>, key: Key) {
        // What has arrived comes first: events may still be queued in the kernel.
        if let Some(slot) = reactor.find(key) {
            let readiness = Classes::readiness_at_deadline(slot.class());
            self.ready(reactor, key, readiness);
        }
        if !reactor.is_expired(key) {
            return;
        }
        let Some(slot) = reactor.find(key) else {
            return;
        };
        let (reason, class) = (slot.tenant.expire(), slot.class());
        if self.conversation().output.is_empty() {
            self.ended(reactor, key, reason);
        } else {
            // It is standard output that is waited for, and the server may wait for that too.
            reactor.set_class(key, class);
        }
    }

    fn source_ready(&mut self, reactor: &mut Connections<N, Conversation>, source: Source) {
        match source {
            Source::STDIN => self.input.heed_event(),
            Source::STDOUT => self.conversation().output.heed_event(),
            _ => {}
        }
        self.carry_on(reactor);
    }

    fn wake_at(&self) -> Option<Time> {
        None
    }
}
