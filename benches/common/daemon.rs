//! The daemon under test: starting it, observing it through /proc, and stopping it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// An `echoloop serve` of this build, on a free loopback port.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// The user memory of the daemon, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// The resident set size (`VmRSS`).
    pub(crate) rss: i64,
    /// The proportional set size (`Pss` of `smaps_rollup`).
    pub(crate) pss: i64,
    /// The part of it that is in no file: what the daemon has allocated. Pages of the program are read when they are
    /// first needed, at any time, and 16 at once.
    pub(crate) anonymous: i64,
}

/// The CPU time of the daemon up to an instant.
#[derive(Clone, Copy)]
pub(crate) struct CpuUsage {
    at: Instant,
    /// CPU time, user and system.
    ran: Duration,
    /// Time on the run queue of a CPU that ran something else.
    waited: Duration,
}

impl CpuUsage {
    /// CPU usage since `earlier`, in per cent of one CPU.
    pub(crate) fn ran_since(&self, earlier: &CpuUsage) -> f64 {
        self.percent(earlier, self.ran.saturating_sub(earlier.ran))
    }

    /// The share of the time since `earlier` that the daemon waited for a CPU, in per cent. If it is large, the machine
    /// was too busy for the other figures to be reliable.
    pub(crate) fn waited_since(&self, earlier: &CpuUsage) -> f64 {
        self.percent(earlier, self.waited.saturating_sub(earlier.waited))
    }

    fn percent(&self, earlier: &CpuUsage, part: Duration) -> f64 {
        100.0 * part.as_secs_f64() / (self.at - earlier.at).as_secs_f64()
    }
}

impl Daemon {
    /// Starts the daemon with these flags, and with a hard limit on file descriptors if `max_fds` is given.
    pub(crate) fn start(flags: &[&str], max_fds: Option<u32>) -> Daemon {
        let program = env!("CARGO_BIN_EXE_echoloop");
        let mut command = match max_fds {
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
        let lines_read = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                lines_read.lock().unwrap().push(line);
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

    /// The number of open file descriptors.
    pub(crate) fn open_fds(&self) -> usize {
        let listing = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        listing.map_or(0, Iterator::count)
    }

    /// Waits until at most `count` file descriptors are open, for at most 15 s; returns how many are open then.
    pub(crate) fn wait_for_open_fds(&self, count: usize) -> usize {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.open_fds() > count && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.open_fds()
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            rss: 1024 * self.number("status", "VmRSS:"),
            pss: 1024 * self.number("smaps_rollup", "Pss:"),
            anonymous: 1024 * self.number("smaps_rollup", "Pss_Anon:"),
        }
    }

    /// The peak of the resident set size (`VmHWM`).
    pub(crate) fn peak_rss(&self) -> i64 {
        1024 * self.number("status", "VmHWM:")
    }

    /// The CPU time so far: in nanoseconds if the kernel keeps schedstat, else in steps of 10 ms (stat).
    pub(crate) fn cpu_usage(&self) -> CpuUsage {
        let at = Instant::now();
        let schedstat = self.file("schedstat").unwrap_or_default();
        let mut numbers = schedstat.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(ran)), Some(Ok(waited))) if ran > 0 => CpuUsage {
                at,
                ran: Duration::from_nanos(ran),
                waited: Duration::from_nanos(waited),
            },
            _ => CpuUsage {
                at,
                ran: self.ran_in_ticks(),
                waited: Duration::ZERO,
            },
        }
    }

    fn ran_in_ticks(&self) -> Duration {
        let stat = self.file("stat").unwrap();
        // The name is in parentheses and may contain spaces. utime and stime are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let times = fields.split(' ').skip(11).take(2);
        let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    pub(crate) fn context_switches(&self) -> i64 {
        self.number("status", "voluntary_ctxt_switches:")
    }

    /// Waits until the daemon sleeps and has not woken for 50 ms.
    pub(crate) fn wait_until_at_rest(&self) {
        let deadline = Instant::now() + Duration::from_secs(15);
        let mut before = self.context_switches();
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
            let now = self.context_switches();
            let status = self.file("status").unwrap();
            if now == before && status.contains("State:\tS") {
                return;
            }
            before = now;
        }
    }

    fn number(&self, file: &str, name: &str) -> i64 {
        let text = self.file(file).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).ok()
    }

    /// The number of log lines that contain `text`.
    pub(crate) fn count_log_lines(&self, text: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains(text)).count()
    }

    /// The last line of the log.
    pub(crate) fn last_log_line(&self) -> String {
        self.log.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// Sends SIGTERM and waits for the exit, for at most 30 s.
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

/// The kernel's memory for TCP on the whole machine, in bytes (`/proc/net/sockstat`, in pages of 4 KiB).
pub(crate) fn kernel_tcp_memory() -> i64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let (_, pages) = line.rsplit_once(" mem ").unwrap();
    4096 * pages.trim().parse::<i64>().unwrap()
}

/// Reads the log up to the line with the address of the listener.
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
