//! The daemon under test: started, looked at from outside through /proc, and ended.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// An `echoloop serve` of this build, on a loopback port of its own.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// What the daemon's memory is, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// The resident set (`VmRSS`).
    pub(crate) rss: i64,
    /// The proportional set, in which shared pages count by their share (`Pss` of `smaps_rollup`).
    pub(crate) pss: i64,
}

/// How busy the daemon was, up to some moment.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    at: Instant,
    /// Processor time, user and system.
    ran: Duration,
    /// Time for which it could have run and others did.
    waited: Duration,
}

impl Effort {
    /// How busy it was since `earlier`, in per cent of one processor.
    pub(crate) fn ran_since(&self, earlier: &Effort) -> f64 {
        self.percent(earlier, self.ran.saturating_sub(earlier.ran))
    }

    /// For what part of the time since `earlier` it waited for a processor, in per cent. Where that is much, the
    /// machine was too busy for what else was measured to mean anything.
    pub(crate) fn waited_since(&self, earlier: &Effort) -> f64 {
        self.percent(earlier, self.waited.saturating_sub(earlier.waited))
    }

    fn percent(&self, earlier: &Effort, part: Duration) -> f64 {
        100.0 * part.as_secs_f64() / (self.at - earlier.at).as_secs_f64()
    }
}

impl Daemon {
    /// Starts it with these flags; `descriptors` is a hard limit for its process, if it is to have one of its own.
    pub(crate) fn start(flags: &[&str], descriptors: Option<u32>) -> Daemon {
        let program = env!("CARGO_BIN_EXE_echoloop");
        let mut command = match descriptors {
            None => Command::new(program),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
                shell.arg(program);
                shell
            }
        };
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let address = address_from(&mut lines, &log);
        let kept = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Daemon {
            child,
            address,
            log,
            reader: Some(reader),
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let listing = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        listing.map_or(0, Iterator::count)
    }

    /// Waits until no more than `count` descriptors are open, for at most 15 s; how many there are then.
    pub(crate) fn descriptors_fallen_to(&self, count: usize) -> usize {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.descriptors() > count && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.descriptors()
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            rss: 1024 * self.number("status", "VmRSS:"),
            pss: 1024 * self.number("smaps_rollup", "Pss:"),
        }
    }

    /// The most resident memory that it ever had.
    pub(crate) fn peak_rss(&self) -> i64 {
        1024 * self.number("status", "VmHWM:")
    }

    /// How busy it was so far: to the nanosecond where the kernel keeps count (schedstat), else to 10 ms (stat).
    pub(crate) fn effort(&self) -> Effort {
        let at = Instant::now();
        let schedstat = self.file("schedstat").unwrap_or_default();
        let mut numbers = schedstat.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(ran)), Some(Ok(waited))) if ran > 0 => Effort {
                at,
                ran: Duration::from_nanos(ran),
                waited: Duration::from_nanos(waited),
            },
            _ => Effort {
                at,
                ran: self.ran_in_ticks(),
                waited: Duration::ZERO,
            },
        }
    }

    fn ran_in_ticks(&self) -> Duration {
        let stat = self.file("stat").unwrap();
        // The name stands in parentheses and may contain blanks. utime and stime are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let times = fields.split(' ').skip(11).take(2);
        let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    fn number(&self, file: &str, name: &str) -> i64 {
        let text = self.file(file).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).ok()
    }

    /// How many lines of its log contain `text`.
    pub(crate) fn says(&self, text: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains(text)).count()
    }

    /// The last line of its log.
    pub(crate) fn last_words(&self) -> String {
        self.log.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// Sends SIGTERM and waits for the end, for at most 30 s.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        if self.is_alive() {
            kill(pid, Signal::SIGTERM).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.is_alive() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let status = self.child.try_wait().unwrap();
        if let Some(reader) = self.reader.take_if(|_| status.is_some()) {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kernel holds for TCP, on the whole machine, in bytes (`/proc/net/sockstat` counts pages, of 4 KiB here).
pub(crate) fn kernel_tcp_memory() -> i64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let (_, pages) = line.rsplit_once(" mem ").unwrap();
    4096 * pages.trim().parse::<i64>().unwrap()
}

/// Reads the log up to the line that tells where the daemon listens.
fn address_from(lines: &mut Lines<BufReader<ChildStderr>>, log: &Mutex<Vec<String>>) -> SocketAddr {
    for line in lines.map_while(Result::ok) {
        let address = line
            .split_once("listening on ")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        log.lock().unwrap().push(line);
        if let Some(address) = address {
            return address;
        }
    }
    panic!("the daemon did not start: {:?}", log.lock().unwrap());
}
