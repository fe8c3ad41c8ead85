//! Connections in user space over a link that loses, reorders and repeats packets in each direction.
//!
//! The link is a thread that copies packets between the TUN interfaces of two network namespaces: the kernels of both
//! and the server are real.

use crate::run::echoloop;
use crate::userspace_hosts::{PREFIX, Serve, assert_all_alive, in_tun_network, ip, load_over_tun};
use echoloop::net::{PacketLink, Tun};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use std::collections::VecDeque;
use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// The connections of a test.
const IDLE: u64 = 3000;

/// The server's address, and that of the link in the namespace of the load.
const SERVER: &str = "10.78.0.2";
const LINK: &str = "10.78.0.1";

/// Of so many packets, one is lost, one is repeated, and one is delayed until after the next ones.
const EVERY: u64 = 50;

/// By how many packets one is delayed.
const DELAY: usize = 5;

/// What happened to the packets of one direction.
#[derive(Debug, Default, Clone, Copy)]
struct Faults {
    passed: u64,
    lost: u64,
    repeated: u64,
    delayed: u64,
}

/// One direction of the link.
#[derive(Debug)]
struct Direction {
    faults: Faults,
    random: u64,
    late: VecDeque<(u64, Vec<u8>)>,
}

impl Direction {
    fn new(seed: u64) -> Direction {
        Direction {
            faults: Faults::default(),
            random: seed,
            late: VecDeque::new(),
        }
    }

    /// A number below `EVERY` (xorshift).
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % EVERY
    }

    /// Copies the packets that have arrived; returns whether there were any.
    fn copy(&mut self, from: &mut Tun, to: &mut Tun) -> bool {
        let mut buffer = [0; 2048];
        let before = self.faults;
        while let Ok(length) = from.receive(&mut buffer) {
            let packet = &buffer[..length];
            match self.random() {
                0 => self.faults.lost += 1,
                1 => {
                    self.faults.repeated += 1;
                    let _ = to.send(packet);
                    let _ = to.send(packet);
                }
                2 => {
                    self.faults.delayed += 1;
                    self.late.push_back((self.faults.passed, packet.to_vec()));
                }
                _ => {
                    self.faults.passed += 1;
                    let _ = to.send(packet);
                }
            }
            self.send_late(to, DELAY as u64);
        }
        self.faults.passed + self.faults.lost != before.passed + before.lost
    }

    /// Sends the packets after which at least `delay` others were sent.
    fn send_late(&mut self, to: &mut Tun, delay: u64) {
        while let Some((at, packet)) = self.late.front() {
            if self.faults.passed - at < delay {
                return;
            }
            let _ = to.send(packet);
            self.late.pop_front();
        }
    }
}

/// Moves this thread to a network namespace of the server, and copies packets until `is_over`. Sends the server once it
/// listens.
fn run_link(mut near: Tun, is_over: &AtomicBool, started: &Sender<Serve>) -> [Faults; 2] {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    ip(&format!("address add {SERVER}/32 dev lo"));
    let mut far = Tun::open(PREFIX.parse().unwrap()).unwrap();
    let serve = echoloop(&["serve", "-l", &format!("{SERVER}:7000")]);
    started.send(Serve::run(serve)).unwrap();
    let (mut there, mut back) = (Direction::new(1), Direction::new(2));
    while !is_over.load(Ordering::Relaxed) {
        let forward = there.copy(&mut near, &mut far);
        let backward = back.copy(&mut far, &mut near);
        if forward || backward {
            continue;
        }
        // No packet follows for the moment: those that are late need not wait for one.
        there.send_late(&mut far, 0);
        back.send_late(&mut near, 0);
        let mut fds = [&near, &far].map(|tun| PollFd::new(tun.as_fd(), PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::from(10_u16)).unwrap();
    }
    [there.faults, back.faults]
}

#[test]
fn all_are_alive_over_a_link_with_faults() {
    let name = "userspace_faults::all_are_alive_over_a_link_with_faults";
    in_tun_network(name, || {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let near = Tun::open(format!("{LINK}/30").parse().unwrap());
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, started) = channel();
        let link = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || run_link(near.unwrap(), &is_over, &sender)
        });
        let server = started.recv().unwrap();
        let idle = IDLE.to_string();
        let output = load_over_tun(&server.address, &["--idle", &idle, "-d", "1s"]);
        is_over.store(true, Ordering::Relaxed);
        let faults = link.join().unwrap();
        for Faults {
            passed,
            lost,
            repeated,
            delayed,
        } in faults
        {
            let least = IDLE / EVERY;
            assert!(passed > 2 * IDLE, "{faults:?}");
            assert!(
                lost.min(repeated).min(delayed) > least,
                "few faults: {faults:?}"
            );
        }
        let result = assert_all_alive(&output, IDLE);
        assert!(result.connect.retransmitted > 0, "{result:#?}");
        let figures = result.userspace_tcp.unwrap();
        assert!(figures.retransmitted > 0, "{result:#?}");
    });
}
