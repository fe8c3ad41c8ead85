//! No worker accepts before all that the kernel wakes have been counted.

use super::{Outcome, Place, Trap};
use crate::lab::traps::epoll::{create, wait};
use crate::lab::traps::herd::{right, wrong};
use crate::lab::traps::loopback::{holds_within, join, listener, until};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

pub(super) const TRAP: Trap = Trap {
    name: "herd",
    sentence: "one connection wakes all the workers",
    experiment: "8 workers wait for connections of one listener, each with its epoll instance; 5 \
                 clients connect, one after the other.",
    predicted_wrong: "8 wake-ups per connection",
    predicted_right: "1 wake-up per connection",
    why: "Readiness of the listener is reported to all who watch it, and all but one of them find \
          nothing to accept (EAGAIN): the thundering herd. EPOLLEXCLUSIVE wakes one of them.",
    source: source!("herd.rs"),
    in_echoloop: Place {
        path: "src/net/listener.rs",
        item: "set_reuse_port(true)",
        how: "one listener per process (--reuse-port): the kernel assigns each connection to one of \
              them, and wakes only its process.",
    },
    is_child: false,
    wrong: || run(wrong),
    right: || run(right),
};

const WORKERS: usize = 8;
const CLIENTS: usize = 5;

/// What the workers have in common.
#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    woken: AtomicUsize,
    accepted: AtomicUsize,
    /// Connections that may be accepted.
    released: AtomicUsize,
    is_over: AtomicBool,
}

fn run(version: fn(&OwnedFd, &TcpListener) -> io::Result<()>) -> io::Result<Outcome> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let shared = Shared::default();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let epoll = create()?;
            version(&epoll, &listener)?;
            let (listener, shared) = (&listener, &shared);
            workers.push(scope.spawn(move || work(&epoll, listener, shared)));
        }
        let clients = (1..=CLIENTS).try_for_each(|number| {
            until(|| Ok(shared.waiting.load(SeqCst) == WORKERS))?;
            // From there to the sleep in epoll_wait are microseconds.
            thread::sleep(Duration::from_millis(20));
            let before = shared.woken.load(SeqCst);
            let _client = TcpStream::connect(address)?;
            let all = || Ok(shared.woken.load(SeqCst) - before >= WORKERS);
            holds_within(Duration::from_millis(150), all)?;
            shared.released.store(number, SeqCst);
            until(|| Ok(shared.accepted.load(SeqCst) == number))
        });
        shared.is_over.store(true, SeqCst);
        shared.released.store(usize::MAX, SeqCst);
        for worker in workers {
            join(worker)?;
        }
        clients
    })?;
    let woken = shared.woken.load(SeqCst);
    let figures = format!("{woken} wake-ups for {CLIENTS} connections");
    // A worker that was not asleep yet finds the connection too.
    let (is_wrong, is_right) = (woken > CLIENTS * WORKERS / 2, woken <= 2 * CLIENTS);
    Ok(Outcome::new(is_wrong, is_right, figures))
}

/// Waits for connections, and accepts one when it may.
fn work(epoll: &OwnedFd, listener: &TcpListener, shared: &Shared) -> io::Result<()> {
    while !shared.is_over.load(SeqCst) {
        shared.waiting.fetch_add(1, SeqCst);
        let events = wait(epoll)?;
        shared.waiting.fetch_sub(1, SeqCst);
        if events.is_empty() {
            continue;
        }
        let accepted = shared.accepted.load(SeqCst);
        shared.woken.fetch_add(1, SeqCst);
        until(|| Ok(shared.released.load(SeqCst) > accepted))?;
        if listener.accept().is_ok() {
            shared.accepted.fetch_add(1, SeqCst);
        }
    }
    Ok(())
}
