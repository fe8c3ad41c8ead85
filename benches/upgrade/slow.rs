//! Slow readers: clients with unread echoes at any time, which verify every byte.

use crate::client_loop::{Buffers, Client, ClientLoop, Step, step};
use crate::echo::{Echo, End, Ends, Input};
use mio::net::TcpStream;
use std::cell::Cell;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time between two reads.
const READ_INTERVAL: Duration = Duration::from_millis(100);

/// Bytes that a client sends before it has read their echo: more than the buffers of the daemon and of the kernel.
const AHEAD: u64 = 512 * 1024;

/// The number of their loop, which determines the source addresses.
const LOOP_NUMBER: u8 = 7;

/// The running clients.
pub(crate) struct SlowReaders {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

/// The results of all clients.
pub(crate) struct Outcome {
    pub(crate) ends: Ends,
    /// Bytes verified until the clients were stopped, and after that.
    pub(crate) slowly: u64,
    pub(crate) at_the_end: u64,
    /// Clients without the whole echo and FIN at the end.
    pub(crate) unfinished: usize,
}

impl SlowReaders {
    pub(crate) fn start(daemon: SocketAddr, count: u64) -> SlowReaders {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || run(daemon, count, &stopped));
        SlowReaders { stop, thread }
    }

    /// All clients send FIN and read the rest.
    pub(crate) fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn run(daemon: SocketAddr, count: u64, stop: &AtomicBool) -> Outcome {
    let finishing = Rc::new(Cell::new(false));
    let mut clients = ClientLoop::new(daemon, LOOP_NUMBER);
    for number in 0..count {
        clients.connect(SlowReader {
            echo: Echo::new(number * 1000),
            next_read_at: Instant::now(),
            finishing: Rc::clone(&finishing),
            fin_sent: false,
        });
    }
    while !stop.load(Ordering::Relaxed) {
        clients.run_iteration(Instant::now() + Duration::from_millis(20));
    }
    let slowly = clients.iter().map(|client| client.echo.received).sum();
    finishing.set(true);
    clients.run_until(Duration::from_secs(60), |clients| clients.is_empty());
    let mut ends = Ends::default();
    let mut all = clients.iter().map(|client| client.echo.received).sum();
    for (client, end) in clients.take_closed() {
        ends.count(end);
        all += client.echo.received;
    }
    Outcome {
        ends,
        slowly,
        at_the_end: u64::saturating_sub(all, slowly),
        unfinished: clients.len(),
    }
}

struct SlowReader {
    echo: Echo,
    next_read_at: Instant,
    finishing: Rc<Cell<bool>>,
    fin_sent: bool,
}

impl SlowReader {
    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        let finishing = self.finishing.get();
        if !finishing {
            self.echo.send_until(stream, self.echo.received + AHEAD)?;
        } else if !self.fin_sent {
            stream
                .shutdown(Shutdown::Write)
                .map_err(|_| End::OtherError)?;
            self.fin_sent = true;
        }
        let now = Instant::now();
        if finishing || now >= self.next_read_at {
            self.next_read_at = now + READ_INTERVAL;
            if self.echo.receive(stream)? == Input::Fin {
                let is_complete = self.fin_sent && self.echo.received == self.echo.sent;
                return Err(if is_complete {
                    End::Expected
                } else {
                    End::EarlyFin
                });
            }
        }
        Ok(Step::Until(self.next_read_at))
    }
}

impl Client for SlowReader {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.echo.received > 0
    }

    fn buffers(&self) -> Option<Buffers> {
        Some(Buffers {
            send: 64 * 1024,
            receive: 4096,
        })
    }
}
