//! Handshakes in a closed loop: every thread begins its next connection when the last one is done.

use super::client::Client;
use super::connection::Connection;
use super::{Options, Reading};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Full handshakes: connect, handshake, close.
pub(super) fn handshake(client: &Arc<Client>, options: &Options) {
    measure(client, options, |client| {
        Connection::open(client).unwrap().close().unwrap();
    });
}

/// Connect, handshake, echo one message, close.
pub(super) fn echo_once(client: &Arc<Client>, options: &Options) {
    measure(client, options, |client| {
        Connection::open_proven(client).unwrap().close().unwrap();
    });
}

/// Repeats `act` in each thread, and prints how often it was done.
fn measure(client: &Arc<Client>, options: &Options, act: fn(&Client)) {
    let pids = options.pids();
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let threads = (0..options.required::<usize>("connections")).map(|_| {
        let (client, stop, done) = (client.clone(), stop.clone(), done.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                act(&client);
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    let read = || Reading::now(done.load(Ordering::Relaxed), &pids);
    thread::sleep(options.time("warmup"));
    let before = read();
    thread::sleep(options.time("seconds"));
    let after = read();
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        // A failure fails the load.
        thread.join().unwrap();
    }
    after.print_since(&before);
}
