//! One connection that echoes all the time, on a thread: its longest round trip is the pause that a client sees.

use crate::server::wait_until;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The size of a message: digits of its number, and a newline, so that it is a line, too.
const SIZE: usize = 128;

/// The running client.
pub(crate) struct Pinger {
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    echoes: AtomicU64,
    longest_ns: AtomicU64,
}

impl Pinger {
    /// Connects, and waits for the first echo.
    pub(crate) fn start(address: SocketAddr) -> Pinger {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || ping(address, &of_thread));
        let pinger = Pinger { shared, thread };
        pinger.wait_for_echoes(1);
        pinger
    }

    /// The longest round trip during `action`, whose effects may last until the next echo.
    pub(crate) fn longest_during<T>(&self, action: impl FnOnce() -> T) -> (T, Duration) {
        self.shared.longest_ns.store(0, Ordering::SeqCst);
        let done = action();
        // The first may have been complete before the end of the action.
        self.wait_for_echoes(2);
        let longest = self.shared.longest_ns.load(Ordering::SeqCst);
        (done, Duration::from_nanos(longest))
    }

    /// Waits for further echoes, unless the connection has failed.
    fn wait_for_echoes(&self, count: u64) {
        let echoes = || self.shared.echoes.load(Ordering::SeqCst);
        let goal = echoes() + count;
        wait_until("a client receives an echo", || {
            echoes() >= goal || self.thread.is_finished()
        });
    }

    /// Stops the client. Fails if the connection was lost or an echo was wrong.
    pub(crate) fn stop(self) -> io::Result<u64> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()?;
        Ok(self.shared.echoes.load(Ordering::SeqCst))
    }
}

fn ping(address: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reply = [0; SIZE];
    for number in 0_u64.. {
        let message = format!("{number:0width$}\n", width = SIZE - 1);
        let start = Instant::now();
        stream.write_all(message.as_bytes())?;
        stream.read_exact(&mut reply)?;
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap();
        if reply != message.as_bytes() {
            return Err(io::Error::other("echo mismatch"));
        }
        shared.longest_ns.fetch_max(took, Ordering::SeqCst);
        shared.echoes.fetch_add(1, Ordering::SeqCst);
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
    }
    Ok(())
}
