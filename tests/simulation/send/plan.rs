//! The plan of a run of `send`, drawn from the seed: input, the pace of standard input and output, limits and faults.

use crate::faults::Faults;
use crate::network::MILLISECOND;
use crate::rng::Rng;
use crate::send_queue::Kernel;
use crate::send_script::{SendProtocol, SendScript};
use crate::sim_net::address;
use crate::sim_stdin::SimStdin;
use crate::sim_stdout::SimStdout;
use echoloop::client::{Input, SendConfig, Target};
use echoloop::server::Config;
use std::io::ErrorKind;
use std::time::Duration;

/// The failures that may keep a run from being complete. If none is drawn, all output must arrive.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowedFailures {
    /// Connecting may fail.
    pub connecting: bool,
    /// The server may close the connection first, by FIN or RST.
    pub server: bool,
    /// Allocations of both programs may fail.
    pub memory: bool,
}

/// Everything that is drawn for a run except the bytes.
#[derive(Debug)]
pub struct Plan {
    pub allowed_failures: AllowedFailures,
    pub faults: Faults,
    pub window: usize,
    pub kernel: Kernel,
    pub server: Config,
    pub timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    /// Number of addresses that the client tries.
    pub addresses: usize,
    /// When the server receives a signal to stop.
    pub stops_at: Option<u64>,
    /// The run is a large transfer.
    bulk: Option<Bulk>,
}

/// What limits a large transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bulk {
    /// Standard output is blocked for a long time.
    BlockedOutput,
    /// Standard output is blocked, and meanwhile the server stops and resets the connection.
    Reset,
    /// Standard output accepts everything, but the server reads little per iteration.
    SlowServer,
}

impl Plan {
    /// A plan without failures, faults or delays.
    pub fn without_faults() -> Plan {
        Plan {
            allowed_failures: AllowedFailures::default(),
            faults: Faults::default(),
            window: 65_536,
            kernel: Kernel::default(),
            server: Config::default(),
            timeout: None,
            connect_timeout: None,
            addresses: 1,
            stops_at: None,
            bulk: None,
        }
    }

    pub fn draw(rng: &mut Rng) -> Plan {
        let is_complete = rng.chance(400);
        let mut allow = |per_mille| !is_complete && rng.chance(per_mille);
        let allowed = AllowedFailures {
            connecting: allow(250),
            server: allow(400),
            memory: allow(250),
        };
        let has_timeout = allow(250);
        let is_bulk = rng.chance(80);
        let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 10_000));
        let timeout = has_timeout.then(|| time(rng));
        let connect_timeout = if allowed.connecting {
            Some(time(rng))
        } else {
            rng.chance(500).then_some(Duration::from_secs(60))
        };
        let least = if is_bulk { 32_768 } else { 1 };
        let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap().max(least);
        let mut plan = Plan {
            allowed_failures: allowed,
            faults: draw_faults(rng, allowed),
            window: size(rng, 200_000),
            kernel: Kernel::default(),
            server: draw_server(rng, allowed.server, size),
            timeout,
            connect_timeout,
            addresses: 1 + rng.index(3),
            stops_at: (allowed.server && rng.chance(400))
                .then(|| rng.magnitude(20_000) * MILLISECOND),
            bulk: None,
        };
        plan.kernel = Kernel::draw(rng, plan.step(), &mut plan.faults);
        if is_bulk {
            plan.make_bulk(rng);
        }
        plan
    }

    /// Turns the plan into a large transfer. Draws from a copy of the generator, so that all other draws stay the same.
    fn make_bulk(&mut self, rng: &Rng) {
        let mut rng = Rng::new(rng.clone().next() ^ 0xF100_D5E4);
        let bulk = rng.one_of(&[Bulk::BlockedOutput, Bulk::Reset, Bulk::SlowServer]);
        self.bulk = Some(bulk);
        match bulk {
            Bulk::BlockedOutput => {}
            Bulk::Reset => {
                self.allowed_failures.server = true;
                self.timeout = None;
                self.stops_at = Some(rng.between(3_000, 10_000) * MILLISECOND);
                self.server.drain_timeout = Duration::from_millis(rng.between(100, 1_000));
            }
            Bulk::SlowServer => self.server.budget = 1_000 + rng.index(10_000),
        }
    }

    /// The most bytes that pass through the server at once. Some hundred such steps suffice for a run; more only make it
    /// longer.
    fn step(&self) -> usize {
        self.window
            .min(self.server.max_pending)
            .min(self.server.budget)
    }

    pub fn draw_dialogue(&self, rng: &mut Rng) -> SendScript {
        if self.bulk.is_some() {
            return SendScript::draw(rng, SendProtocol::Raw, 1_500_000, false);
        }
        let tongue = SendProtocol::draw(rng);
        let total = rng.magnitude((200 * self.step() as u64).min(100_000));
        let may_be_too_long = self.allowed_failures.server && rng.chance(500);
        let total = usize::try_from(total).unwrap();
        SendScript::draw(rng, tongue, total, may_be_too_long)
    }

    /// Draws standard input; `None` if the messages are on the command line.
    pub fn draw_stdin(&self, rng: &mut Rng, typed: Vec<u8>, is_weak: bool) -> Option<SimStdin> {
        let total = typed.len();
        let stdin = match rng.between(0, 9) {
            _ if self.needs_plain_stdio() => return Some(SimStdin::file(typed)),
            0..=1 if self.bulk.is_none() => return None,
            2..=4 => SimStdin::file(typed),
            _ => {
                let chunk = usize::try_from(rng.magnitude(50_000)).unwrap();
                let pause = rng.magnitude(1_000) * MILLISECOND;
                SimStdin::pipe(typed, chunk.max(1 + total / 100), pause, is_weak)
            }
        };
        let fails = !self.must_complete() && rng.chance(150);
        Some(if fails {
            stdin.failing_at_end(rng.one_of(&[ErrorKind::IsADirectory, ErrorKind::Other]))
        } else {
            stdin
        })
    }

    pub fn draw_stdout(&self, rng: &mut Rng, printed: usize) -> SimStdout {
        let blocked_until = rng.magnitude(20_000) * MILLISECOND;
        let stdout = if self.bulk == Some(Bulk::SlowServer) {
            SimStdout::file()
        } else if self.bulk.is_some() {
            SimStdout::empty(1_000, MILLISECOND, 20_000 * MILLISECOND, 0).with_read_size(100_000)
        } else if rng.chance(200) {
            SimStdout::file()
        } else {
            let capacity = usize::try_from(rng.magnitude(70_000)).unwrap();
            let pause = rng.magnitude(500) * MILLISECOND;
            let next_read_at = if rng.chance(300) { blocked_until } else { 0 };
            SimStdout::empty(
                capacity.max(1 + printed / 50),
                pause,
                next_read_at,
                self.faults.write_blocks,
            )
        };
        let fails = !self.must_complete() && rng.chance(300) && !self.needs_plain_stdio();
        if fails {
            let error = rng.one_of(&[
                ErrorKind::BrokenPipe,
                ErrorKind::BrokenPipe,
                ErrorKind::StorageFull,
            ]);
            stdout.failing_at(rng.magnitude(20_000) * MILLISECOND, error)
        } else {
            stdout
        }
    }

    /// Whether the large transfer needs standard input and output without failures to take effect.
    fn needs_plain_stdio(&self) -> bool {
        matches!(self.bulk, Some(Bulk::Reset | Bulk::SlowServer))
    }

    /// Whether nothing may keep the run from being complete.
    fn must_complete(&self) -> bool {
        let AllowedFailures {
            connecting,
            server,
            memory,
        } = self.allowed_failures;
        !(connecting || server || memory || self.timeout.is_some())
    }

    pub fn config(&self, dialogue: &SendScript, has_stdin: bool) -> SendConfig {
        SendConfig {
            target: Target {
                name: "simulated".to_owned(),
                addresses: vec![address(1); self.addresses],
                local: None,
                connect_timeout: self.connect_timeout,
            },
            input: if has_stdin {
                Input::Stdin
            } else {
                dialogue.messages()
            },
            framing: dialogue.protocol.framing(),
            max_message: dialogue.client_max_message,
            timeout: self.timeout,
        }
    }
}

fn draw_faults(rng: &mut Rng, allowed: AllowedFailures) -> Faults {
    let drawn = Faults::draw(rng);
    let when = |is_drawn: bool, chance| if is_drawn { chance } else { 0 };
    Faults {
        accept_aborted: when(allowed.server, drawn.accept_aborted),
        connect_fails: when(allowed.connecting, drawn.connect_fails),
        connect_refused: when(allowed.connecting, drawn.connect_refused),
        connect_lost: when(allowed.connecting, drawn.connect_lost),
        // There is only one client.
        arrival_during_drain: 0,
        epoll_add_fails: when(allowed.memory, drawn.epoll_add_fails),
        buffer_alloc_fails: when(allowed.memory, drawn.buffer_alloc_fails),
        queue_alloc_fails: when(allowed.memory, drawn.queue_alloc_fails),
        source_alloc_fails: when(allowed.memory, drawn.source_alloc_fails),
        ..drawn
    }
}

fn draw_server(rng: &mut Rng, has_limits: bool, size: impl Fn(&mut Rng, u64) -> usize) -> Config {
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 10_000));
    let max_pending = size(rng, 200_000);
    Config {
        max_pending,
        max_buffered: if has_limits && rng.chance(300) {
            4_000 + size(rng, 8 * max_pending as u64)
        } else {
            1 << 40
        },
        idle_timeout: (has_limits && rng.chance(300)).then(|| time(rng)),
        stall_timeout: (has_limits && rng.chance(300)).then(|| time(rng)),
        drain_timeout: time(rng),
        budget: size(rng, 300_000),
        ..Config::default()
    }
}
