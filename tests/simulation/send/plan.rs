//! What is drawn for a run of `send`: what is typed and read at what pace, and what goes wrong.

use crate::faults::Faults;
use crate::inlet::Inlet;
use crate::output::Pipe;
use crate::rng::Rng;
use crate::send_queue::Kernel;
use crate::send_script::{SendProtocol, SendScript};
use crate::sim_net::address;
use crate::world::MILLISECOND;
use echoloop::client::{Input, SendConfig, Target};
use echoloop::server::Config;
use std::io::ErrorKind;
use std::time::Duration;

/// What may go wrong so that not everything comes back. Where none of it is drawn, everything does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// To connect may fail.
    pub connecting: bool,
    /// The server may end the connection, by FIN or by reset.
    pub server: bool,
    /// Memory may be refused to either.
    pub memory: bool,
}

/// All that is drawn for a run beside the bytes.
#[derive(Debug)]
pub struct Plan {
    pub trouble: Trouble,
    pub faults: Faults,
    pub window: usize,
    pub kernel: Kernel,
    pub server: Config,
    pub timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    /// How many addresses are tried.
    pub addresses: usize,
    /// When the server is told to stop.
    pub stops_at: Option<u64>,
    /// Much is sent.
    flood: Option<Flood>,
}

/// How a run goes in which much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// Nothing of what comes back is printed for a long time.
    Unprinted,
    /// The same, and meanwhile the server stops, and resets the connection.
    Reset,
    /// All is printed at once, but the server reads little at a time.
    Unread,
}

impl Plan {
    /// One in which nothing goes wrong, and nothing is late.
    pub fn calm() -> Plan {
        Plan {
            trouble: Trouble::default(),
            faults: Faults::default(),
            window: 65_536,
            kernel: Kernel::default(),
            server: Config::default(),
            timeout: None,
            connect_timeout: None,
            addresses: 1,
            stops_at: None,
            flood: None,
        }
    }

    pub fn draw(rng: &mut Rng) -> Plan {
        let is_calm = rng.chance(400);
        let mut strikes = |per_mille| !is_calm && rng.chance(per_mille);
        let trouble = Trouble {
            connecting: strikes(250),
            server: strikes(400),
            memory: strikes(250),
        };
        let has_timeout = strikes(250);
        let is_flood = rng.chance(80);
        let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 10_000));
        let timeout = has_timeout.then(|| time(rng));
        let connect_timeout = if trouble.connecting {
            Some(time(rng))
        } else {
            rng.chance(500).then_some(Duration::from_secs(60))
        };
        let least = if is_flood { 32_768 } else { 1 };
        let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap().max(least);
        let mut plan = Plan {
            trouble,
            faults: draw_faults(rng, trouble),
            window: size(rng, 200_000),
            kernel: Kernel::default(),
            server: draw_server(rng, trouble.server, size),
            timeout,
            connect_timeout,
            addresses: 1 + rng.index(3),
            stops_at: (trouble.server && rng.chance(400))
                .then(|| rng.magnitude(20_000) * MILLISECOND),
            flood: None,
        };
        plan.kernel = Kernel::draw(rng, plan.step(), &mut plan.faults);
        if is_flood {
            plan.becomes_flood(rng);
        }
        plan
    }

    /// Draws from a copy of the generator, so that everything else is drawn as without it.
    fn becomes_flood(&mut self, rng: &Rng) {
        let mut rng = Rng::new(rng.clone().next() ^ 0xF100_D5E4);
        let flood = rng.one_of(&[Flood::Unprinted, Flood::Reset, Flood::Unread]);
        self.flood = Some(flood);
        match flood {
            Flood::Unprinted => {}
            Flood::Reset => {
                self.trouble.server = true;
                self.timeout = None;
                self.stops_at = Some(rng.between(3_000, 10_000) * MILLISECOND);
                self.server.drain_timeout = Duration::from_millis(rng.between(100, 1_000));
            }
            Flood::Unread => self.server.budget = 1_000 + rng.index(10_000),
        }
    }

    /// How much goes through at once, at most: with more than some hundred steps a run would be long without being
    /// richer.
    fn step(&self) -> usize {
        self.window
            .min(self.server.max_pending)
            .min(self.server.budget)
    }

    pub fn draw_dialogue(&self, rng: &mut Rng) -> SendScript {
        if self.flood.is_some() {
            return SendScript::draw(rng, SendProtocol::Raw, 1_500_000, false);
        }
        let tongue = SendProtocol::draw(rng);
        let total = rng.magnitude((200 * self.step() as u64).min(100_000));
        let is_rude = self.trouble.server && rng.chance(500);
        SendScript::draw(rng, tongue, usize::try_from(total).unwrap(), is_rude)
    }

    /// Where the bytes come from; nowhere, if they are on the command line.
    pub fn draw_inlet(&self, rng: &mut Rng, typed: Vec<u8>, is_weak: bool) -> Option<Inlet> {
        let total = typed.len();
        let inlet = match rng.between(0, 9) {
            _ if self.is_reset_or_unread() => return Some(Inlet::file(typed)),
            0..=1 if self.flood.is_none() => return None,
            2..=4 => Inlet::file(typed),
            _ => {
                let chunk = usize::try_from(rng.magnitude(50_000)).unwrap();
                let pause = rng.magnitude(1_000) * MILLISECOND;
                Inlet::pipe(typed, chunk.max(1 + total / 100), pause, is_weak)
            }
        };
        let fails = !self.is_calm() && rng.chance(150);
        Some(if fails {
            inlet.fails(rng.one_of(&[ErrorKind::IsADirectory, ErrorKind::Other]))
        } else {
            inlet
        })
    }

    pub fn draw_pipe(&self, rng: &mut Rng, printed: usize) -> Pipe {
        let stays = rng.magnitude(20_000) * MILLISECOND;
        let pipe = if self.flood == Some(Flood::Unread) {
            Pipe::file()
        } else if self.flood.is_some() {
            Pipe::empty(1_000, MILLISECOND, 20_000 * MILLISECOND, 0).then_takes(100_000)
        } else if rng.chance(200) {
            Pipe::file()
        } else {
            let capacity = usize::try_from(rng.magnitude(70_000)).unwrap();
            let pause = rng.magnitude(500) * MILLISECOND;
            let reads_at = if rng.chance(300) { stays } else { 0 };
            Pipe::empty(
                capacity.max(1 + printed / 50),
                pause,
                reads_at,
                self.faults.write_blocks,
            )
        };
        let breaks = !self.is_calm() && rng.chance(300) && !self.is_reset_or_unread();
        if breaks {
            let error = rng.one_of(&[
                ErrorKind::BrokenPipe,
                ErrorKind::BrokenPipe,
                ErrorKind::StorageFull,
            ]);
            pipe.breaks(rng.magnitude(20_000) * MILLISECOND, error)
        } else {
            pipe
        }
    }

    /// A flood that only standard input and output without faults show.
    fn is_reset_or_unread(&self) -> bool {
        matches!(self.flood, Some(Flood::Reset | Flood::Unread))
    }

    fn is_calm(&self) -> bool {
        let Trouble {
            connecting,
            server,
            memory,
        } = self.trouble;
        !(connecting || server || memory || self.timeout.is_some())
    }

    pub fn config(&self, dialogue: &SendScript, is_typed: bool) -> SendConfig {
        SendConfig {
            target: Target {
                name: "simulated".to_owned(),
                addresses: vec![address(1); self.addresses],
                local: None,
                connect_timeout: self.connect_timeout,
            },
            input: if is_typed {
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

fn draw_faults(rng: &mut Rng, trouble: Trouble) -> Faults {
    let drawn = Faults::draw(rng);
    let when = |is_drawn: bool, chance| if is_drawn { chance } else { 0 };
    Faults {
        accept_aborted: when(trouble.server, drawn.accept_aborted),
        connect_fails: when(trouble.connecting, drawn.connect_fails),
        connect_refused: when(trouble.connecting, drawn.connect_refused),
        connect_lost: when(trouble.connecting, drawn.connect_lost),
        // There is one client.
        arrival_during_drain: 0,
        epoll_add_fails: when(trouble.memory, drawn.epoll_add_fails),
        buffer_alloc_fails: when(trouble.memory, drawn.buffer_alloc_fails),
        queue_alloc_fails: when(trouble.memory, drawn.queue_alloc_fails),
        source_alloc_fails: when(trouble.memory, drawn.source_alloc_fails),
        ..drawn
    }
}

fn draw_server(rng: &mut Rng, is_harsh: bool, size: impl Fn(&mut Rng, u64) -> usize) -> Config {
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 10_000));
    let max_pending = size(rng, 200_000);
    Config {
        max_pending,
        max_buffered: if is_harsh && rng.chance(300) {
            4_000 + size(rng, 8 * max_pending as u64)
        } else {
            1 << 40
        },
        idle_timeout: (is_harsh && rng.chance(300)).then(|| time(rng)),
        stall_timeout: (is_harsh && rng.chance(300)).then(|| time(rng)),
        drain_timeout: time(rng),
        budget: size(rng, 300_000),
        ..Config::default()
    }
}
