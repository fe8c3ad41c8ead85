//! Upgrades of the server under test at random iterations, through the real codec.
//!
//! The old server is saved, its state is encoded and decoded, and a new server on another selector of the same simulated
//! sockets is restored from it. The new one takes over, or fails at a step drawn from the seed and is dropped; then the
//! old one continues. Meanwhile time passes, and bytes, FINs, resets, new connections and signals arrive.
//!
//! | property | check |
//! |---|---|
//! | one owner per socket, no call between freeze and take-over | `check_call`, `check_single_owner` (`two_processes.rs`) |
//! | nothing of a connection is lost | `kept`: all fields of the old and the new connection are equal |
//! | `write(read(x)) == x` | `State::pass_through_codec`, and `check_restored`: the new server is saved again |
//! | bytes exact, no edge lost | the peers and the checks of both runs, at every iteration |
//! | opened = closed + live, over all generations | `check_counts` of the runs; `check_restored` compares counters |
//! | pool memory | `check_memory`: the sum over all connections, at most as much as before |
//! | no deadline early, or late by more than a tick and the pause | `check_deadlines` of the runs |
//! | order of deadlines and queues | `check_restored` |
//! | no signal lost | SIGTERM during the freeze; each run requires that the server drains |
//! | FIN and RST at once after a rollback | `check_single_owner`: a close by one of two owners sends neither |
//! | receipts | `check_records` of the protocol runs |

use crate::buffered::count_buffered;
use crate::network::{MILLISECOND, SharedNetwork};
use crate::protocol_run;
use crate::rng::Rng;
use crate::run::{Report, run_focused_with, run_with};
use crate::selector::{SERVER, SUCCESSOR};
use crate::sim_net::{SimListener, SimNet, SimStream};
use crate::stdio::WithStdio;
use echoloop::net::{Key, Net, Numbered, Traced, TracedStream};
use echoloop::protocol::Protocol;
use echoloop::server::{SavedConnection, SavedServer, Server};
use echoloop::upgrade::{decode_connections, encode_connections};
use std::fmt::Debug;
use std::io::{self, ErrorKind};

/// The upgrades of one run.
#[derive(Debug)]
pub struct Upgrades {
    rng: Rng,
    /// The chance per thousand of an upgrade after an iteration.
    chance: u64,
    /// How many may still follow.
    left: u32,
    /// The longest time of a freeze.
    longest_pause: u64,
}

/// One upgrade.
#[derive(Debug)]
pub struct Attempt {
    rng: Rng,
    /// The step at which the new process fails.
    fails_at: Option<Step>,
    longest_pause: u64,
}

/// The steps of the new process after which it may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Started,
    Listeners,
    /// This many connections are restored.
    Connections(usize),
    AllConnections,
    Restored,
}

impl Upgrades {
    /// The upgrades of a run.
    pub fn new(mut rng: Rng) -> Upgrades {
        Upgrades {
            chance: rng.one_of(&[10, 50, 200, 600]),
            left: 30,
            longest_pause: rng.one_of(&[0, 5, 100, 1_000, 5_000]) * MILLISECOND,
            rng,
        }
    }

    /// Draws whether an upgrade of the server follows now, and how; `at_stop`: SIGTERM has just been sent, which arrives at
    /// the old process. A server that drains or has ended is not upgraded.
    pub fn draw_attempt<N: Net, P: Protocol>(
        upgrades: &mut Option<Upgrades>,
        server: &Server<N, P>,
        has_ended: bool,
        at_stop: bool,
    ) -> Option<Attempt> {
        if has_ended || server.is_draining() {
            return None;
        }
        upgrades.as_mut()?.draw(at_stop)
    }

    fn draw(&mut self, at_stop: bool) -> Option<Attempt> {
        let is_due = match at_stop {
            true => self.rng.chance(500),
            false => self.left > 0 && self.rng.chance(self.chance),
        };
        if !is_due {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        let rng = &mut self.rng;
        let fails_at = rng.chance(400).then(|| match rng.between(0, 4) {
            0 => Step::Started,
            1 => Step::Listeners,
            2 => Step::Connections(rng.index(8)),
            3 => Step::AllConnections,
            _ => Step::Restored,
        });
        Some(Attempt {
            rng: Rng::new(rng.next()),
            fails_at,
            longest_pause: self.longest_pause,
        })
    }
}

/// Runs a seed of one of the suites with upgrades; panics if a check fails.
pub fn run(seed: u64) -> Report {
    // A separate generator: without upgrades, the draws of the seed are the same.
    let mut rng = Rng::new(seed ^ 0x0B5E_55ED);
    let suite = rng.between(0, 9);
    let upgrades = Some(Upgrades::new(rng));
    match suite {
        0..=3 => run_with(seed, upgrades),
        4..=5 => run_focused_with(seed, upgrades),
        _ => protocol_run::run_with(seed, upgrades).report,
    }
}

/// A network whose sockets another process can have as well.
pub trait Shared: Net + Sized {
    /// The simulated network.
    fn simulated(&self) -> &SharedNetwork;

    /// The same sockets, for the new process.
    fn successor(&self) -> Self;

    /// The new process continues as the server.
    fn become_server(&mut self);

    fn duplicate(stream: &Self::Stream) -> Self::Stream;

    fn duplicate_listener(listener: &Self::Listener) -> Self::Listener;
}

impl<const DRAINS: bool> Shared for SimNet<DRAINS> {
    fn simulated(&self) -> &SharedNetwork {
        &self.network
    }

    fn successor(&self) -> Self {
        SimNet {
            network: self.network.clone(),
            host: SUCCESSOR,
        }
    }

    fn become_server(&mut self) {
        self.host = SERVER;
    }

    fn duplicate(stream: &SimStream<DRAINS>) -> SimStream<DRAINS> {
        stream.duplicate()
    }

    fn duplicate_listener(listener: &SimListener) -> SimListener {
        listener.duplicate()
    }
}

impl<N: Shared> Shared for Traced<N>
where
    N::Stream: Numbered,
{
    fn simulated(&self) -> &SharedNetwork {
        self.inner().simulated()
    }

    fn successor(&self) -> Self {
        Traced::new(self.inner().successor())
    }

    fn become_server(&mut self) {
        self.inner_mut().become_server();
    }

    fn duplicate(stream: &Self::Stream) -> Self::Stream {
        TracedStream::new(N::duplicate(stream.inner()))
    }

    fn duplicate_listener(listener: &N::Listener) -> N::Listener {
        N::duplicate_listener(listener)
    }
}

impl<const DRAINS: bool> Shared for WithStdio<DRAINS> {
    fn simulated(&self) -> &SharedNetwork {
        self.net.simulated()
    }

    fn successor(&self) -> Self {
        WithStdio {
            net: self.net.successor(),
            stdin: None,
            stdout: self.stdout.clone(),
        }
    }

    fn become_server(&mut self) {
        self.net.become_server();
        self.stdout.borrow_mut().take_over();
    }

    fn duplicate(stream: &SimStream<DRAINS>) -> SimStream<DRAINS> {
        stream.duplicate()
    }

    fn duplicate_listener(listener: &SimListener) -> SimListener {
        listener.duplicate()
    }
}

/// The state of a server.
#[derive(Debug, PartialEq)]
struct State {
    server: SavedServer,
    connections: Vec<SavedConnection>,
}

impl State {
    fn of<N: Shared, P: Protocol>(server: &Server<N, P>) -> (State, Vec<Key>) {
        let (saved, keys) = server.save();
        assert_eq!(keys.len(), server.live(), "all connections are saved");
        let connections = keys.iter().map(|key| {
            let saved = server.save_connection(*key);
            saved.expect("a live connection").0
        });
        let connections = connections.collect();
        let server = saved;
        (
            State {
                server,
                connections,
            },
            keys,
        )
    }

    /// The state after it was encoded and decoded; both ways are exact.
    fn pass_through_codec(&self) -> State {
        let bytes = encode_connections(&self.connections).unwrap();
        let connections = decode_connections(&bytes).unwrap();
        assert_eq!(encode_connections(&connections).unwrap(), bytes);
        let text = serde_json::to_vec(&self.server).unwrap();
        let server: SavedServer = serde_json::from_slice(&text).unwrap();
        assert_eq!(serde_json::to_vec(&server).unwrap(), text);
        let decoded = State {
            server,
            connections,
        };
        assert_eq!(decoded, *self, "decoded, and as it was encoded");
        decoded
    }
}

/// Upgrades a server that does not drain. `start` makes the new server; `meanwhile` lets a time pass, in which the peers
/// run. False if the old server continues.
pub fn upgrade<N: Shared, P: Protocol>(
    server: &mut Server<N, P>,
    mut attempt: Attempt,
    start: impl FnOnce(N) -> Server<N, P>,
    mut meanwhile: impl FnMut(u64),
) -> bool {
    let network = server.network().simulated().clone();
    network.borrow_mut().freeze();
    let (state, keys) = State::of(server);
    let state = state.pass_through_codec();
    let mut new = start(server.network().successor());
    let restored = attempt.restore(server, &keys, &state, &mut new, &mut meanwhile);
    let Ok(restored) = restored else {
        drop(new);
        network.borrow_mut().roll_back();
        network.borrow().check_single_owner();
        assert_eq!(State::of(server).0, state, "the state after a rollback");
        return false;
    };
    check_restored(&new, &restored, &state);
    for (old_key, new_key) in keys.iter().zip(&restored) {
        let (before, after) = (kept(server, *old_key), kept(&mut new, *new_key));
        assert_eq!(after, before, "a restored connection, and the original");
    }
    check_memory(&mut new, server.buffered());
    while let Some(signal) = server.net().take_signal() {
        network.borrow_mut().signal(SUCCESSOR, signal);
    }
    network.borrow_mut().take_over();
    new.net().become_server();
    // The old process exits.
    *server = new;
    network.borrow().check_single_owner();
    true
}

impl Attempt {
    /// Restores all in the new server, unless it fails before. Returns the keys in order.
    fn restore<N: Shared, P: Protocol>(
        &mut self,
        old: &Server<N, P>,
        keys: &[Key],
        state: &State,
        new: &mut Server<N, P>,
        meanwhile: &mut impl FnMut(u64),
    ) -> io::Result<Vec<Key>> {
        let has_no_memory = self.rng.chance(100);
        let [buffers, slots, sources] = [0, 1, 2].map(|_| has_no_memory && self.rng.chance(300));
        new.parts().1.common.pool.refuse(buffers);
        new.set_out_of_memory(slots, sources);
        let may_fail =
            has_no_memory || old.network().simulated().borrow().faults.epoll_add_fails > 0;
        let check = |error: &io::Error| {
            let is_expected = may_fail && error.kind() == ErrorKind::OutOfMemory;
            assert!(is_expected, "the state is not restored: {error}");
        };

        self.reach(Step::Started, meanwhile)?;
        for listener in old.listeners() {
            let restored = new.restore_listener(N::duplicate_listener(listener));
            restored.inspect_err(check)?;
        }
        self.reach(Step::Listeners, meanwhile)?;
        let mut restored = Vec::new();
        let paused_at = self.rng.index(keys.len() + 1);
        for (index, (key, saved)) in keys.iter().zip(&state.connections).enumerate() {
            if self.fails_at == Some(Step::Connections(index)) || index == paused_at {
                self.reach(Step::Connections(index), meanwhile)?;
            }
            let (_, stream) = old.save_connection(*key).expect("a live connection");
            let key = new.restore_connection(N::duplicate(stream), saved);
            restored.push(key.inspect_err(check)?);
        }
        self.reach(Step::AllConnections, meanwhile)?;
        new.restore(&state.server, &restored).inspect_err(check)?;
        self.reach(Step::Restored, meanwhile)?;
        new.parts().1.common.pool.refuse(false);
        new.set_out_of_memory(false, false);
        Ok(restored)
    }

    /// Lets some time pass; an error if the new process fails after this step.
    fn reach(&mut self, step: Step, meanwhile: &mut impl FnMut(u64)) -> io::Result<()> {
        if self.rng.chance(500) {
            let longest = self.longest_pause / 2;
            meanwhile(self.rng.between(0, longest));
        }
        if self.fails_at == Some(step) {
            return Err(ErrorKind::Other.into());
        }
        Ok(())
    }
}

/// The new server has the state of the old one, in the same order.
fn check_restored<N: Shared, P: Protocol>(new: &Server<N, P>, restored: &[Key], state: &State) {
    let (again, keys) = State::of(new);
    assert_eq!(again.server, state.server, "restored, and as it was saved");
    for (again, saved) in again.connections.iter().zip(&state.connections) {
        assert_eq!(again, saved, "restored, and as it was saved");
    }
    assert_eq!(keys, restored, "the order of the connections");
}

/// All of a connection that the new server must have, read without saving it.
fn kept<N: Shared, P: Protocol>(
    server: &mut Server<N, P>,
    key: Key,
) -> impl PartialEq + Debug + use<N, P> {
    let (reactor, driver) = server.parts();
    let slot = reactor.find(key).expect("a live connection");
    let connection = slot.tenant.kept_state(&driver.common.pool);
    (slot.kept_state(), connection)
}

/// The pool has counted all restored memory. It may be less than before, since a restored buffer has no unused capacity.
fn check_memory<N: Shared, P: Protocol>(new: &mut Server<N, P>, before: usize) {
    let counted = count_buffered(new);
    assert_eq!(new.buffered(), counted, "buffered total and sum");
    assert!(counted <= before, "{counted} bytes buffered after {before}");
}
