//! A running server: its start, its processes, its memory, and its end.

use super::{Files, Ports, Rival, echoloop};
use crate::cpu;
use crate::machine::{Machine, on_core};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for a server to listen, to be at rest, or to end.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A TLS server on the servers' core; the echo server behind it is on the generator's core.
pub(crate) struct Server {
    process: Process,
    /// Echoes over TLS.
    pub(crate) address: SocketAddr,
    /// Completes a handshake without an echo server; the same address for a server that echoes by itself.
    pub(crate) handshake_address: SocketAddr,
    _backend: Option<Process>,
}

impl Server {
    pub(crate) fn start(rival: Rival, files: &Files, machine: &Machine) -> Server {
        let backend = rival
            .is_proxy()
            .then(|| start_backend(files, machine.generator_core()));
        let (backend, backend_address) = backend.unzip();
        let ports = Ports {
            echo: free_port(),
            alone: free_port(),
        };
        let command = rival.command(files, ports, backend_address);
        let log = files.directory.path().join(format!("{}.log", rival.name()));
        let process = Process::start(command, machine.server_core(), &log, ports.echo);
        // nginx listens before its worker runs.
        process.wait_for_pids(if rival == Rival::Nginx { 2 } else { 1 });
        let handshake_port = if rival.is_proxy() {
            ports.alone
        } else {
            ports.echo
        };
        Server {
            process,
            address: loopback(ports.echo),
            handshake_address: loopback(handshake_port),
            _backend: backend,
        }
    }

    /// The process and its children.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.process.pids()
    }

    /// Its user memory in bytes, less the pages of files: those are shared with other processes, and do not depend on
    /// the number of connections (`proc_pid_smaps(5)`).
    pub(crate) fn user_memory(&self) -> u64 {
        self.pids().into_iter().map(user_memory).sum()
    }

    /// Waits until no process of the server runs.
    pub(crate) fn wait_until_at_rest(&self) {
        let deadline = Instant::now() + TIMEOUT;
        let mut before = cpu::nanoseconds(&self.pids());
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
            let now = cpu::nanoseconds(&self.pids());
            if now == before {
                return;
            }
            before = now;
        }
    }
}

fn start_backend(files: &Files, core: Option<usize>) -> (Process, SocketAddr) {
    let port = free_port();
    let command = echoloop(&["serve", "--listen", &loopback(port).to_string()]);
    let log = files.directory.path().join("backend.log");
    (Process::start(command, core, &log, port), loopback(port))
}

fn user_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.unwrap().split_whitespace().next().unwrap();
        1024 * kibibytes.parse::<u64>().unwrap()
    };
    number("Pss_Anon:") + number("Pss_Shmem:")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A port that is free at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind(loopback(0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A child process, which ends when this value is dropped.
struct Process(Child);

impl Process {
    /// Starts a program on a core, and waits until it listens on the port.
    fn start(mut command: Command, core: Option<usize>, log: &Path, port: u16) -> Process {
        let file = File::create(log).unwrap();
        command.stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        // All threads and children inherit the core.
        let mut process = Process(on_core(core, || command.spawn().unwrap()));
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(loopback(port)).is_err() {
            let ended = process.0.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{command:?} does not listen: {}",
                fs::read_to_string(log).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(2));
        }
        process
    }

    fn wait_for_pids(&self, count: usize) {
        let deadline = Instant::now() + TIMEOUT;
        while self.pids().len() < count {
            assert!(Instant::now() < deadline, "the server has no worker");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn pids(&self) -> Vec<u32> {
        let pid = self.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        std::iter::once(pid).chain(children).collect()
    }
}

impl Drop for Process {
    /// With SIGTERM, so that nginx ends its worker; with SIGKILL if that does not suffice.
    fn drop(&mut self) {
        let pids = self.pids();
        signal(&pids[..1], Signal::SIGTERM);
        let deadline = Instant::now() + TIMEOUT;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                signal(&pids, Signal::SIGKILL);
                let _ = self.0.wait();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids {
        let _ = kill(Pid::from_raw(i32::try_from(*pid).unwrap()), signal);
    }
}
