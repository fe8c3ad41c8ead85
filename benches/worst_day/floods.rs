//! Floods: clients that send the smallest messages as fast as they are answered. How long an honest client then waits for
//! a reply, beside a `raw` server under as many flooders.

use crate::crowd::{Client, Crowd, Step, step};
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

/// How many clients flood.
const FLOODERS: u32 = 50;

/// By how much the honest client's p50 may exceed that of `raw`, and what it may be in any case.
const MOST_RATIO: u32 = 4;
const ALWAYS_ALLOWED: Duration = Duration::from_millis(25);

/// Between a reply to the honest client and its next message.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a reply may take at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// Until the flood is in full flow.
const WARM_UP: Duration = Duration::from_millis(300);

/// How many bytes a flooder sends, and reads, at once.
const PIECE: usize = 16 * 1024;

/// What is spoken, sent and replied.
struct Flood {
    protocol: &'static str,
    /// A flooder's message and the reply to it.
    message: &'static [u8],
    reply: &'static [u8],
    /// The honest client's.
    honest: &'static [u8],
    honest_reply: &'static [u8],
}

const RAW: Flood = Flood {
    protocol: "raw",
    message: b"\n",
    reply: b"\n",
    honest: b"hello\n",
    honest_reply: b"hello\n",
};

const LINE: Flood = Flood {
    protocol: "line",
    reply: b"ECHO \n",
    honest_reply: b"ECHO hello\n",
    ..RAW
};

const FRAME: Flood = Flood {
    protocol: "frame:1",
    message: b"\0",
    reply: b"\0",
    honest: b"\x05hello",
    honest_reply: b"\x05hello",
};

/// What came of one flood.
struct Outcome {
    honest: Distribution,
    /// How many bytes of replies the flooders read each second.
    rate: f64,
    ends: Ends,
}

pub(crate) fn run(report: &mut Report) {
    let lasts = Duration::from_millis(if report.quick { 500 } else { 8000 });
    let what = format!("{FLOODERS} clients flood the smallest messages, 1 honest client");
    report.part("floods", &what);
    let raw = measure(&RAW, lasts);
    let most = ALWAYS_ALLOWED.max(raw.honest.p50() * MOST_RATIO);
    for (flood, outcome) in [(&RAW, raw)]
        .into_iter()
        .chain([&LINE, &FRAME].map(|flood| (flood, measure(flood, lasts))))
    {
        let name = |what: &str| format!("{}: {what}", flood.protocol);
        let p50 = outcome.honest.p50();
        let bar = format!("at most {}", ms(most));
        report.time_bar(&name("honest p50"), ms(p50), &bar, p50 <= most);
        report.figure(&name("honest p99"), ms(outcome.honest.p99()));
        report.figure(&name("honest exchanges"), outcome.honest.len());
        let rate = format!("{:.1} MB/s", outcome.rate / 1e6);
        report.figure(&name("replies to flooders"), rate);
        let (errors, ends) = (outcome.ends.errors(), outcome.ends.summary());
        report.bar(&name("flooders that ended"), ends, "none", errors == 0);
    }
}

fn measure(flood: &'static Flood, lasts: Duration) -> Outcome {
    let daemon = Daemon::start(&["--protocol", flood.protocol], None);
    let flooders = Flooders::start(daemon.address, flood);
    std::thread::sleep(WARM_UP);
    let (begin, before) = (Instant::now(), flooders.received());
    let honest = honest(daemon.address, flood, begin + lasts);
    let (took, after) = (begin.elapsed(), flooders.received());
    let received = u32::try_from((after - before) >> 10).unwrap();
    Outcome {
        honest,
        rate: f64::from(received) * 1024.0 / took.as_secs_f64(),
        ends: flooders.stop(),
    }
}

/// Exchanges messages until `end`; how long each reply took.
fn honest(daemon: SocketAddr, flood: &Flood, end: Instant) -> Distribution {
    let mut stream = std::net::TcpStream::connect_timeout(&daemon, PATIENCE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut took = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(flood.honest).unwrap();
        let mut reply = vec![0; flood.honest_reply.len()];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, flood.honest_reply, "the honest client's reply");
        took.push(sent.elapsed());
        std::thread::sleep(PAUSE);
    }
    Distribution::new(took)
}

/// The flooders, on a thread of their own.
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
            let mut crowd = Crowd::new(daemon, 5);
            for _ in 0..FLOODERS {
                crowd.connect(Flooder::new(flood, Arc::clone(&counted)));
            }
            while !stopped.load(Ordering::Relaxed) {
                crowd.turn(Instant::now() + Duration::from_millis(20));
            }
            let mut ends = Ends::default();
            for (_, end) in crowd.take_ended() {
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

/// A client that sends the same message for as long as the kernel takes it, and reads and verifies every reply.
struct Flooder {
    /// As many messages as are sent at once, and as many replies as are read at once, with one more.
    messages: Vec<u8>,
    replies: Vec<u8>,
    /// How much of a reply the last read ended with.
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

    /// Sends once and reads once at most, so that all flooders have their turn; whether there may be more to do.
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
