//! A drain accepts the connections in the accept queues of all listeners before it closes the listeners.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use nix::sys::signal::Signal::SIGTERM;

use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{allow_fds, somaxconn};
use crate::tools::skip;

const LISTENERS: usize = 4;

/// Connections in each accept queue when the drain begins.
const QUEUED: usize = 300;

/// The most connections to each listener, so that neither the queues nor the file descriptors run out.
const MOST: usize = 1500;

const MESSAGE: &[u8] = b"queued";

/// How connections ended.
#[derive(Debug, Default)]
struct Ends {
    /// The message was echoed, then FIN.
    echoed: usize,
    /// FIN only.
    fin: usize,
    /// Reset, or the connection was established and reset before the message was sent.
    reset: usize,
}

impl Ends {
    fn count(&mut self, mut stream: TcpStream) {
        let mut received = Vec::new();
        match stream.read_to_end(&mut received) {
            Ok(0) => self.fin += 1,
            Ok(_) => {
                assert_eq!(received, MESSAGE, "the echo");
                self.echoed += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                self.reset += 1;
            }
        }
    }
}

/// Connects and sends repeatedly until the listener is closed. Returns the connections, and how many were reset before
/// they had sent anything.
fn fill_queue(listener: SocketAddr, count: &AtomicUsize) -> (Vec<TcpStream>, usize) {
    let (mut streams, mut reset) = (Vec::new(), 0);
    while streams.len() < MOST {
        let stream = TcpStream::connect_timeout(&listener, PATIENCE);
        let sent = stream.and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            // A reset is counted when the connection is read.
            let _ = stream.write(MESSAGE);
            Ok(stream)
        });
        match sent {
            Ok(stream) => streams.push(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                reset += 1;
            }
        }
        count.fetch_add(1, Relaxed);
    }
    (streams, reset)
}

#[test]
fn drain_resets_no_connection_in_4_filling_accept_queues() {
    if somaxconn() < MOST {
        return skip(&format!("net.core.somaxconn is below {MOST}"));
    }
    if !allow_fds((LISTENERS * MOST + 500) as u64) {
        return;
    }
    // A few connections per listener may complete between its last accept and its close: more if the scheduler
    // interrupts the daemon there. Without draining the queues, one in ten is reset in each attempt.
    let mut attempts = Vec::new();
    while attempts.len() < 3 {
        let after = drain_while_queues_fill();
        let later = after.echoed + after.fin + after.reset;
        if 20 * after.reset <= later {
            return;
        }
        attempts.push(after);
    }
    panic!("{attempts:?}");
}

/// How the connections ended that were established after the drain had begun; the others must be echoed.
fn drain_while_queues_fill() -> Ends {
    let mut daemon = Daemon::listening_on(&["127.0.0.1:0"; LISTENERS], &["--drain-timeout", "30s"]);
    daemon.pause();
    let counts: [AtomicUsize; LISTENERS] = Default::default();
    let addresses = daemon.addresses().to_vec();
    let (before, after) = thread::scope(|scope| {
        let threads: Vec<_> = addresses
            .iter()
            .zip(&counts)
            .map(|(listener, count)| scope.spawn(|| fill_queue(*listener, count)))
            .collect();
        eventually(PATIENCE, "each queue holds many connections", || {
            counts.iter().all(|count| count.load(Relaxed) >= QUEUED)
        });
        daemon.signal(SIGTERM);
        daemon.resume();
        let (mut before, mut after) = (Ends::default(), Ends::default());
        for thread in threads {
            let (streams, reset) = thread.join().unwrap();
            after.reset += reset;
            for (number, stream) in streams.into_iter().enumerate() {
                let ends = if number < QUEUED {
                    &mut before
                } else {
                    &mut after
                };
                ends.count(stream);
            }
        }
        (before, after)
    });
    // The messages of these connections had arrived before the drain.
    assert_eq!(before.echoed, LISTENERS * QUEUED, "{before:?} {after:?}");
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
    after
}
