//! Floods: clients that send the smallest messages as fast as possible. The response time of a regular client is
//! compared with that of a `raw` server under as many flooding clients.

use crate::client_loop::{Client, ClientLoop, Step, step};
use crate::daemon::Daemon;
use crate::echo::{End, Ends};
use crate::report::{Distribution, Report, ms};
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Flooding clients.
const FLOODERS: u32 = 50;

/// The regular client's p50 may be this multiple of its p50 with `raw`, or `ALWAYS_ALLOWED`.
const MAX_RATIO: u32 = 4;
const ALWAYS_ALLOWED: Duration = Duration::from_millis(25);

/// The pause between a reply to the regular client and its next message.
const PAUSE: Duration = Duration::from_millis(2);

/// The longest wait for a reply.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The time until the flood is constant.
const WARM_UP: Duration = Duration::from_millis(300);

/// The most bytes per write or read of a flooding client.
const PIECE: usize = 16 * 1024;

/// A protocol, its messages and replies.
struct Flood {
    protocol: &'static str,
    /// A flooding client's message and its reply.
    message: &'static [u8],
    reply: &'static [u8],
    /// The regular client's message and its reply.
    regular: &'static [u8],
    regular_reply: &'static [u8],
}

const RAW: Flood = Flood {
    protocol: "raw",
    message: b"\n",
    reply: b"\n",
    regular: b"hello\n",
    regular_reply: b"hello\n",
};

const LINE: Flood = Flood {
    protocol: "line",
    reply: b"ECHO \n",
    regular_reply: b"ECHO hello\n",
    ..RAW
};

const FRAME: Flood = Flood {
    protocol: "frame:1",
    message: b"\0",
    reply: b"\0",
    regular: b"\x05hello",
    regular_reply: b"\x05hello",
};

/// The results of one flood.
struct Outcome {
    regular: Distribution,
    /// Bytes of replies per second that the flooding clients received.
    rate: f64,
    ends: Ends,
}

pub(crate) fn run(report: &mut Report) {
    let lasts = Duration::from_millis(if report.quick { 500 } else { 8000 });
    let what = format!("{FLOODERS} clients flood the smallest messages, 1 regular client");
    report.part("floods", &what);
    let raw = measure(&RAW, lasts);
    let most = ALWAYS_ALLOWED.max(raw.regular.p50() * MAX_RATIO);
    for (flood, outcome) in [(&RAW, raw)]
        .into_iter()
        .chain([&LINE, &FRAME].map(|flood| (flood, measure(flood, lasts))))
    {
        let name = |what: &str| format!("{}: {what}", flood.protocol);
        let p50 = outcome.regular.p50();
        let bar = format!("at most {}", ms(most));
        report.time_bar(&name("regular client: p50"), ms(p50), &bar, p50 <= most);
        report.figure(&name("regular client: p99"), ms(outcome.regular.p99()));
        report.figure(&name("regular client: exchanges"), outcome.regular.len());
        let rate = format!("{:.1} MB/s", outcome.rate / 1e6);
        report.figure(&name("replies to flooding clients"), rate);
        let (errors, ends) = (outcome.ends.errors(), outcome.ends.summary());
        report.bar(&name("flooding clients closed"), ends, "none", errors == 0);
    }
}

fn measure(flood: &'static Flood, lasts: Duration) -> Outcome {
    let daemon = Daemon::start(&["--protocol", flood.protocol], None);
    let flooders = Flooders::start(daemon.address, flood);
    std::thread::sleep(WARM_UP);
    let (begin, before) = (Instant::now(), flooders.received());
    let regular = regular_client(daemon.address, flood, begin + lasts);
    let (elapsed, after) = (begin.elapsed(), flooders.received());
    let received = u32::try_from((after - before) >> 10).unwrap();
    Outcome {
        regular,
        rate: f64::from(received) * 1024.0 / elapsed.as_secs_f64(),
        ends: flooders.stop(),
    }
}

/// Exchanges messages until `end`; the response times.
fn regular_client(daemon: SocketAddr, flood: &Flood, end: Instant) -> Distribution {
    let mut stream = std::net::TcpStream::connect_timeout(&daemon, TIMEOUT).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut response_times = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(flood.regular).unwrap();
        let mut reply = vec![0; flood.regular_reply.len()];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, flood.regular_reply, "the regular client's reply");
        response_times.push(sent.elapsed());
        std::thread::sleep(PAUSE);
    }
    Distribution::new(response_times)
}

/// The flooding clients, on a thread of their own.
struct Flooders {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    thread: JoinHandle<Ends>,
}

impl Flooders {
    fn start(daemon: SocketAddr, flood: &'static Flood) -> Flooders {
        let (stop, received) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&received));
        let thread = std::thread::spawn(move || {
            let mut clients = ClientLoop::new(daemon, 5);
            for _ in 0..FLOODERS {
                clients.connect(Flooder::new(flood, Arc::clone(&counted)));
            }
            while !stopped.load(Ordering::Relaxed) {
                clients.run_iteration(Instant::now() + Duration::from_millis(20));
            }
            let mut ends = Ends::default();
            for (_, end) in clients.take_closed() {
                ends.count(end);
            }
            ends
        });
        Flooders {
            stop,
            received,
            thread,
        }
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn stop(self) -> Ends {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A client that sends the same message as fast as the kernel accepts it, and verifies every reply.
struct Flooder {
    /// The messages of one write, and the replies of one read and one more.
    messages: Vec<u8>,
    replies: Vec<u8>,
    /// The length of the incomplete reply at the end of the last read.
    offset: usize,
    reply: usize,
    received: Arc<AtomicU64>,
}

impl Flooder {
    fn new(flood: &Flood, received: Arc<AtomicU64>) -> Flooder {
        let reply = flood.reply.len();
        Flooder {
            messages: flood.message.repeat(PIECE / flood.message.len()),
            replies: flood.reply.repeat(PIECE / reply + 2),
            offset: 0,
            reply,
            received,
        }
    }

    /// Writes and reads at most once, so that all clients make progress; whether there may be more to do.
    fn exchange(&mut self, stream: &mut TcpStream) -> Result<bool, End> {
        let sent = match stream.write(&self.messages) {
            Ok(_) => true,
            Err(error) if would_block(error.kind()) => false,
            Err(_) => return Err(End::Reset),
        };
        let mut buffer = [0; PIECE];
        match stream.read(&mut buffer) {
            Ok(0) => Err(End::EarlyFin),
            Ok(count) => {
                if buffer[..count] != self.replies[self.offset..self.offset + count] {
                    return Err(End::Wrong);
                }
                self.offset = (self.offset + count) % self.reply;
                self.received.fetch_add(count as u64, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if would_block(error.kind()) => Ok(sent),
            Err(_) => Err(End::Reset),
        }
    }
}

fn would_block(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

impl Client for Flooder {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| {
            if self.exchange(stream)? {
                Ok(Step::Until(Instant::now()))
            } else {
                Ok(Step::Event)
            }
        })
    }

    fn is_served(&self) -> bool {
        true
    }
}
