//! Attackers use up the buffer memory (`--max-buffered`) and reconnect as soon as they are reset: honest clients of
//! `line` and `frame:4` still receive their replies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::attackers::{Attack, Text};
use crate::client::{assert_reads, connect, reset};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, resident_bytes};

/// How long an honest client waits for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long honest clients exchange messages once an attack has filled the memory.
const ATTACK_TIME: Duration = Duration::from_secs(3);

/// `--max-buffered`.
const LIMIT: usize = 1 << 20;

/// `--max-pending` of daemons whose memory short messages are to fill. With the default, attackers that do not read have a
/// few KiB of pending output each, which leaves enough memory for all.
const MAX_PENDING: &str = "256KiB";

/// The last byte of the first attacker's address; honest clients come from 127.0.0.1.
const HOST: u8 = 10;

/// Further memory that the daemon may use: one read, tables, free memory of the allocator.
const OVERHEAD: usize = 2 << 20;

/// A message, split into the pieces in which it is sent, and its reply.
struct Exchange {
    pieces: Vec<Vec<u8>>,
    reply: Vec<u8>,
}

impl Exchange {
    /// A frame of 5,000 bytes in two pieces.
    fn frame() -> Self {
        let frame = [&5000_u32.to_be_bytes()[..], &[b'h'; 5000]].concat();
        let (first, second) = frame.split_at(3000);
        Self {
            pieces: vec![first.to_vec(), second.to_vec()],
            reply: frame.clone(),
        }
    }

    /// A line, split into these pieces.
    fn line(prefix: &str, pieces: &[&str]) -> Self {
        Self {
            pieces: pieces
                .iter()
                .map(|piece| piece.as_bytes().to_vec())
                .collect(),
            reply: [prefix, &pieces.concat()].concat().into_bytes(),
        }
    }

    /// Sends the pieces, each after the daemon has read the previous one, and reads the reply.
    #[track_caller]
    fn run(&self, daemon: &Daemon, stream: &mut TcpStream) {
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).unwrap();
        let (last, first) = self.pieces.split_last().unwrap();
        for piece in first {
            stream.write_all(piece).unwrap();
            let here = stream.local_addr().unwrap();
            eventually(REPLY_TIMEOUT, "a piece of a message is read", || {
                let table = TcpTable::read();
                let there = table.socket(daemon.address(), here);
                there.unread + table.socket(here, daemon.address()).unacknowledged == 0
            });
        }
        stream.write_all(last).unwrap();
        assert_reads(stream, &self.reply);
    }
}

/// Honest clients, one connected before the attack and others during it, exchange messages during the attack.
#[track_caller]
fn assert_replies_during_attack(
    flags: &[&str],
    attackers: u8,
    text: &Text,
    exchanges: &[Exchange],
) {
    let limit = LIMIT.to_string();
    let daemon = Daemon::start(&[&["--max-buffered", &limit], flags].concat());
    let mut other = connect(daemon.address());
    for exchange in exchanges {
        exchange.run(&daemon, &mut other);
    }
    let before = resident_bytes(daemon.pid());
    let attack = Attack::start(daemon.address(), HOST..HOST + attackers, text);
    attack.wait_until_effective();
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < ATTACK_TIME || attack.resets() == 0 {
        for exchange in exchanges {
            exchange.run(&daemon, &mut other);
            exchange.run(&daemon, &mut connect(daemon.address()));
        }
        most = most.max(resident_bytes(daemon.pid()));
        assert!(
            began.elapsed() < PATIENCE,
            "no attacker was evicted, so nothing is tested"
        );
    }
    let grown = most.saturating_sub(before);
    assert!(grown < LIMIT + OVERHEAD, "memory grew by {grown} bytes");
}

#[test]
fn slow_readers_of_lines_do_not_starve_split_lines() {
    let text = Text::messages(&[&[b'a'; 999][..], b"\n"].concat());
    let exchanges = [Exchange::line("ECHO ", &["hel", "lo\n"])];
    let flags = ["-p", "line", "--max-pending", MAX_PENDING];
    assert_replies_during_attack(&flags, 60, &text, &exchanges);
}

#[test]
fn slow_readers_of_frames_do_not_starve_split_frames() {
    let text = Text::messages(&[&1000_u32.to_be_bytes()[..], &[b'a'; 1000]].concat());
    let exchanges = [Exchange::frame()];
    let flags = ["-p", "frame:4", "--max-pending", MAX_PENDING];
    assert_replies_during_attack(&flags, 60, &text, &exchanges);
}

#[test]
fn unfinished_lines_do_not_starve_split_lines() {
    let text = Text::unfinished(b"", 1_000_000);
    let exchanges = [Exchange::line("ECHO ", &["hel", "lo\n"])];
    assert_replies_during_attack(&["-p", "line"], 25, &text, &exchanges);
}

#[test]
fn unfinished_frames_do_not_starve_split_frames() {
    let text = Text::unfinished(&1_000_000_u32.to_be_bytes(), 1_000_000);
    let exchanges = [Exchange::frame()];
    assert_replies_during_attack(&["-p", "frame:4"], 25, &text, &exchanges);
}

#[test]
fn newlines_with_a_long_prefix_do_not_starve_short_lines() {
    let prefix = "p".repeat(2000);
    let flags = ["-p", "line", "--prefix", &prefix];
    let exchanges = [Exchange::line(&prefix, &["hello\n"])];
    assert_replies_during_attack(&flags, 25, &Text::messages(b"\n"), &exchanges);
}

#[test]
fn newlines_with_small_socket_buffers_do_not_starve_lines() {
    let flags = ["-p", "line", "--socket-buffer", "4096"];
    let exchanges = [Exchange::line("ECHO ", &["hello\n"])];
    // With small socket buffers each attacker uses little memory, so there are more of them.
    assert_replies_during_attack(&flags, 120, &Text::messages(b"\n"), &exchanges);
}

/// A daemon whose buffer memory is used up, and the attackers. The first wave fills all memory beyond its own shares,
/// and so the memory of the second wave's shares.
fn daemon_out_of_memory(prefix: &str) -> (Daemon, [Attack; 2]) {
    let flags = ["-p", "line", "--prefix", prefix, "--max-buffered", "1MiB"];
    let daemon = Daemon::start(&flags);
    let waves = [HOST..HOST + 7, HOST + 7..HOST + 40].map(|hosts| {
        let attack = Attack::start(daemon.address(), hosts, &Text::messages(b"\n"));
        attack.wait_until_effective();
        attack
    });
    (daemon, waves)
}

#[test]
fn two_waves_of_slow_readers_do_not_starve_short_lines() {
    let prefix = "p".repeat(2000);
    let (daemon, _waves) = daemon_out_of_memory(&prefix);
    let exchange = Exchange::line(&prefix, &["hello\n"]);
    exchange.run(&daemon, &mut connect(daemon.address()));
}

/// The attackers wait for memory and do not read, so no event wakes the daemon: the eviction needs a deadline.
#[test]
fn stalled_slow_readers_are_evicted_without_other_events() {
    let (_daemon, waves) = daemon_out_of_memory(&"p".repeat(2000));
    eventually(
        REPLY_TIMEOUT,
        "an attacker that does not read is evicted",
        || waves.iter().any(|attack| attack.resets() > 0),
    );
}

/// The daemon detects a reset although it does not read the connection, which waits for memory.
#[test]
fn clients_that_reset_while_waiting_for_memory_are_not_counted() {
    const CLIENTS: usize = 30;
    let daemon = Daemon::start(&[
        "-p",
        "line",
        "--max-buffered",
        "1MiB",
        "--max-per-source",
        "30",
    ]);
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(daemon.address())).collect();
    for client in &mut clients {
        client.write_all(&[b'x'; 8000]).unwrap();
    }
    eventually(PATIENCE, "the start of each line is read", || {
        let table = TcpTable::read();
        clients.iter().all(|client| {
            let (here, there) = (client.local_addr().unwrap(), daemon.address());
            table.socket(there, here).unread + table.socket(here, there).unacknowledged == 0
        })
    });
    let text = Text::messages(&[&[b'a'; 999][..], b"\n"].concat());
    let attack = Attack::start(daemon.address(), HOST..HOST + 60, &text);
    attack.wait_until_effective();
    for client in &mut clients {
        // An evicted client is not counted either, so the error is ignored.
        let _ = client.write_all(&[b'x'; 8000]);
    }
    clients.into_iter().for_each(reset);
    let within = Duration::from_secs(2);
    eventually(
        within,
        "the next client of this source receives a reply",
        || {
            let mut next = connect(daemon.address());
            let mut reply = [0; 8];
            let answered = next
                .write_all(b"hi\n")
                .and_then(|()| next.read_exact(&mut reply));
            answered.is_ok() && reply == *b"ECHO hi\n"
        },
    );
}
