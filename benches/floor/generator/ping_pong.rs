//! Closed-loop echo: each connection has so many messages in flight, and sends one for each that has come back; in
//! lockstep, only when everybody's have come back.

use super::open::{Close, open, open_proven};
use super::{Measured, Words, message_in};
use crate::machine;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// More than a socket on loopback usually holds, so that one read empties it.
const BUFFER: usize = 262_144;

/// How long nothing may come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// When to send no more.
#[derive(Clone, Copy)]
enum Until {
    Passed(Duration),
    Sent(u64),
}

pub(super) fn run(words: &Words) -> Measured {
    let watched = words.watched();
    let idle = open_proven(words.target(), words.number("idle", 0));
    let cores = words.cores();
    let connections = words.number("connections", 1) / cores.len().max(1);
    let games = (0..cores.len().max(1)).map(|_| Game::new(words, connections));
    let mut games: Vec<Game> = games.collect();
    let warmup = words.get("warmup").unwrap_or(0.0);
    play(
        &mut games,
        &cores,
        Until::Passed(Duration::from_secs_f64(warmup)),
    );
    watched.wait_until_at_rest();
    let before = watched.cpu_ns();
    let until = match words.get("count") {
        Some(count) => Until::Sent(count),
        None => Until::Passed(Duration::from_secs_f64(words.get("seconds").unwrap())),
    };
    let (done, time) = play(&mut games, &cores, until);
    watched.wait_until_at_rest();
    drop(idle);
    Measured {
        done,
        time,
        server_cpu_ns: watched.cpu_ns() - before,
        ..Measured::default()
    }
}

/// Plays all games at once, each on a core of its own; all echoes, and the time until the last.
fn play(games: &mut [Game], cores: &[usize], until: Until) -> (u64, Duration) {
    if let [game] = games {
        return game.play(until);
    }
    thread::scope(|scope| {
        let threads = games.iter_mut().zip(cores).map(|(game, core)| {
            scope.spawn(move || {
                machine::pin(0, *core);
                game.play(until)
            })
        });
        let threads: Vec<_> = threads.collect();
        let played = threads.into_iter().map(|thread| thread.join().unwrap());
        played.fold((0, Duration::ZERO), |(all, longest), (done, time)| {
            (all + done, longest.max(time))
        })
    })
}

/// Connections of one thread, and what is to be sent on them.
struct Game {
    poll: Poll,
    players: Vec<Player>,
    message: usize,
    /// How long the reply to a message is.
    reply: usize,
    pipeline: usize,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    /// Messages sent, or about to be, in this play.
    sent: u64,
    received: u64,
    /// Whether each message that comes back is answered with another.
    goes_on: bool,
    /// Whether all wait for all.
    lockstep: bool,
}

struct Player {
    stream: TcpStream,
    /// Bytes that are to be sent.
    unsent: usize,
    /// Bytes of a reply that has not come in full.
    partial: usize,
}

impl Game {
    fn new(words: &Words, connections: usize) -> Game {
        let message = words.number("size", 128);
        let pipeline = words.number("pipeline", 1);
        let poll = Poll::new().unwrap();
        let speech = words.text("speech");
        let streams = if speech.is_empty() {
            open_proven(words.target(), connections)
        } else {
            // Few enough that all wait in the queue at worst; the first message proves them.
            let streams = (0..connections).map(|number| open(words.target(), number, Close::Reset));
            streams.collect()
        };
        let players = streams.into_iter().enumerate().map(|(number, stream)| {
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            // On loopback only a full socket causes events of the second kind.
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = poll.registry();
            registry
                .register(&mut stream, Token(number), interest)
                .unwrap();
            Player {
                stream,
                unsent: 0,
                partial: 0,
            }
        });
        Game {
            players: players.collect(),
            poll,
            message,
            reply: words.number("reply", message),
            pipeline,
            buffer: vec![0; BUFFER],
            payload: message_in(speech, message).repeat(pipeline),
            sent: 0,
            received: 0,
            goes_on: true,
            lockstep: words.text("lockstep") == "yes",
        }
    }

    /// Plays until `until`, and then until everything has come back; the echoes, and the time they took.
    fn play(&mut self, until: Until) -> (u64, Duration) {
        let begin = Instant::now();
        (self.sent, self.received, self.goes_on) = (0, 0, true);
        self.serve();
        let mut events = Events::with_capacity(1024);
        while self.received < self.sent {
            self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "no echo came back for {PATIENCE:?}");
            for event in &events {
                let number = event.token().0;
                if event.is_readable() {
                    self.receive(number);
                }
                self.send(number);
            }
            self.goes_on = match until {
                Until::Passed(time) => begin.elapsed() < time,
                Until::Sent(count) => self.sent < count,
            };
            if self.lockstep && self.goes_on && self.received == self.sent {
                self.serve();
            }
        }
        (self.received, begin.elapsed())
    }

    /// Sends the first messages of everybody.
    fn serve(&mut self) {
        for number in 0..self.players.len() {
            self.sent += self.pipeline as u64;
            self.players[number].unsent = self.payload.len();
            self.send(number);
        }
    }

    fn receive(&mut self, number: usize) {
        let player = &mut self.players[number];
        loop {
            let count = match player.stream.read(&mut self.buffer) {
                Ok(0) => panic!("the server closed a connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a connection ended: {error}"),
            };
            let bytes = player.partial + count;
            let whole = bytes / self.reply;
            player.partial = bytes % self.reply;
            self.received += whole as u64;
            if self.goes_on && !self.lockstep {
                self.sent += whole as u64;
                player.unsent += whole * self.message;
            }
            if count < self.buffer.len() {
                return;
            }
        }
    }

    fn send(&mut self, number: usize) {
        let player = &mut self.players[number];
        while player.unsent > 0 {
            let length = player.unsent.min(self.payload.len());
            match player.stream.write(&self.payload[..length]) {
                Ok(count) => player.unsent -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a connection ended: {error}"),
            }
        }
    }
}
