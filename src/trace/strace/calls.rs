//! What each system call means for the timeline.

use super::fds::Fd;
use super::line::Call;
use super::{Strace, Waiter};
use crate::net::{Opening, Readiness, Time, TraceKind};
use nix::errno::Errno;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

impl Strace {
    /// Applies a call of a process, which began at `start`.
    pub(super) fn call(&mut self, pid: u32, start: Time, call: &Call<'_>) {
        let end = start + call.duration;
        match call.name {
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => {
                self.process(pid).waits_with = Some(Waiter::Epoll);
                self.wait(pid, start, call);
            }
            // A program with epoll uses these for single questions, and any program with no time to wait. Rust's begin
            // with one.
            "poll" | "ppoll" | "select" | "_newselect" | "pselect6"
                if self.process(pid).waits_with != Some(Waiter::Epoll)
                    && !returns_at_once(call) =>
            {
                self.process(pid).waits_with = Some(Waiter::Poll);
                self.wait(pid, start, call);
            }
            "epoll_ctl" => self.epoll_ctl(pid, call),
            "accept" | "accept4" => self.accept(pid, start, call),
            "connect" => self.connect(pid, start, call),
            "read" | "readv" | "recv" => self.transfer(pid, start, call, In, false),
            "recvfrom" | "recvmsg" => self.transfer(pid, start, call, In, true),
            "write" | "writev" | "send" | "sendfile" | "sendfile64" => {
                self.transfer(pid, start, call, Out, false);
            }
            "sendto" | "sendmsg" => self.transfer(pid, start, call, Out, true),
            "shutdown" => self.shutdown(pid, start, call),
            "close" => self.close_fd(pid, start, call),
            "close_range" => self.close_fds(pid, start, call),
            "dup" | "dup2" | "dup3" | "fcntl" | "fcntl64" => self.duplicate(pid, end, call),
            "clone" | "clone3" | "fork" | "vfork" => self.fork(pid, call),
            "execve" => self.execute(pid, call),
            "pipe" | "pipe2" | "socketpair" => {
                for fd in pair_in(call) {
                    self.other_fd(pid, Some(fd), end);
                }
            }
            "socket" | "epoll_create" | "epoll_create1" | "open" | "openat" | "openat2"
            | "creat" | "eventfd2" | "timerfd_create" | "signalfd4" | "memfd_create"
            | "inotify_init1" | "pidfd_open" => {
                self.other_fd(pid, call.result, end);
            }
            _ => {}
        }
    }

    fn wait(&mut self, pid: u32, start: Time, call: &Call<'_>) {
        let timeout = match call.name {
            "epoll_wait" | "epoll_pwait" => call.number(3),
            "poll" => call.number(2),
            _ => None,
        };
        let micros = timeout.and_then(|millis| u64::try_from(millis).ok());
        let micros = micros.map(|millis| millis.saturating_mul(1000));
        let micros = micros.map_or(u32::MAX, |micros| {
            u32::try_from(micros).unwrap_or(u32::MAX).min(u32::MAX - 1)
        });
        let count = call.result.and_then(|count| u32::try_from(count).ok());
        let end = start + call.duration;
        self.push_to_loop(pid, start, Duration::ZERO, TraceKind::Wait(micros));
        let woke = TraceKind::Woke(count.unwrap_or(0));
        self.push_to_loop(pid, end, Duration::ZERO, woke);
        if call.name.starts_with("epoll") {
            for (data, readiness) in ready_events(call.text(1)) {
                if let Some(Fd::Connection(serial)) = self.fds.by_epoll_data(pid, data) {
                    let source = 0;
                    let ready = TraceKind::Ready { readiness, source };
                    self.push(serial, end, Duration::ZERO, ready);
                }
            }
        }
    }

    fn epoll_ctl(&mut self, pid: u32, call: &Call<'_>) {
        let Some(fd) = call.number(2) else { return };
        if let Some(data) = epoll_data(call.text(3)) {
            self.fds.set_epoll_data(pid, data, fd);
        }
        let watches = call.text(3).contains("EPOLLOUT");
        if watches
            && call.text(1) == "EPOLL_CTL_MOD"
            && let Some(Fd::Connection(serial)) = self.fds.get(pid, fd)
        {
            // Its time is that of the call before; the call itself takes no time worth a slice.
            let now = self.connections.end();
            self.push(serial, now, Duration::ZERO, TraceKind::WatchWritable);
        }
    }

    fn accept(&mut self, pid: u32, start: Time, call: &Call<'_>) {
        let end = start + call.duration;
        let waits = self.process(pid).waits_with.is_none();
        if waits {
            // It blocks in accept, as servers without an event loop do.
            self.push_to_loop(pid, start, Duration::ZERO, TraceKind::Wait(u32::MAX));
            let accepted = call.result.is_some_and(|fd| fd >= 0);
            self.push_to_loop(pid, end, Duration::ZERO, TraceKind::Woke(accepted.into()));
        }
        if let Some(error) = call.error {
            let kind = match error {
                "EAGAIN" | "EWOULDBLOCK" => TraceKind::AcceptEmpty,
                "EMFILE" | "ENFILE" | "ENOBUFS" | "ENOMEM" => TraceKind::AcceptExhausted,
                _ => TraceKind::AcceptFailed(kind_of(error)),
            };
            self.push_to_loop(pid, start, call.duration, kind);
            return;
        }
        let Some(fd) = call.result.filter(|fd| *fd >= 0) else {
            return;
        };
        let (time, duration) = if waits {
            (end, Duration::ZERO)
        } else {
            (start, call.duration)
        };
        let serial = self.open(pid, fd, time);
        let opened = TraceKind::Opened(Opening::Accepted);
        self.push(serial, time, duration, opened);
        self.set_peer(serial, call.text(1));
    }

    fn connect(&mut self, pid: u32, start: Time, call: &Call<'_>) {
        let has_begun = call.result == Some(0) || call.error == Some("EINPROGRESS");
        let (Some(fd), true) = (call.number(0), has_begun) else {
            return;
        };
        if matches!(self.fds.get(pid, fd), Some(Fd::Connection(_))) {
            // A second call asks for the result.
            return;
        }
        if peer_of(call.text(1)).is_none() {
            return;
        }
        let serial = self.open(pid, fd, start);
        let opened = TraceKind::Opened(Opening::Connecting);
        self.push(serial, start, call.duration, opened);
        self.set_peer(serial, call.text(1));
    }

    /// A new connection.
    fn open(&mut self, pid: u32, fd: i64, time: Time) -> u32 {
        self.last_serial = self.last_serial.saturating_add(1);
        let serial = self.last_serial;
        if let Some(closed) = self.fds.insert(pid, fd, Fd::Connection(serial)) {
            self.close(closed, time);
        }
        serial
    }

    fn set_peer(&mut self, serial: u32, address: &str) {
        let track = self.connections.connections.entry(serial).or_default();
        track.peer = peer_of(address);
    }

    /// A read or a write. `is_socket`: the call is one for sockets, so that a file descriptor from before the trace is a
    /// connection.
    fn transfer(
        &mut self,
        pid: u32,
        start: Time,
        call: &Call<'_>,
        direction: Direction,
        is_socket: bool,
    ) {
        let Some(fd) = call.number(0) else { return };
        let serial = match self.fds.get(pid, fd) {
            Some(Fd::Connection(serial)) => serial,
            None if is_socket && !self.has_start => self.open(pid, fd, start),
            _ => return,
        };
        let count = call.result.and_then(|count| u32::try_from(count).ok());
        let kind = match (direction, call.error, count) {
            (In, Some(error), _) => TraceKind::ReadFailed(kind_of(error)),
            (Out, Some(error), _) => TraceKind::WriteFailed(kind_of(error)),
            (In, None, Some(0)) => TraceKind::Eof,
            (In, None, Some(count)) => TraceKind::Read(count),
            (Out, None, Some(count)) => TraceKind::Write(count),
            (_, None, None) => return,
        };
        self.push(serial, start, call.duration, kind);
    }

    fn shutdown(&mut self, pid: u32, start: Time, call: &Call<'_>) {
        let Some(fd) = call.number(0) else { return };
        let sends_fin = call.text(1).contains("WR");
        if let Some(Fd::Connection(serial)) = self.fds.get(pid, fd)
            && sends_fin
            && call.result == Some(0)
        {
            self.push(serial, start, Duration::ZERO, TraceKind::FinSent);
        }
    }

    fn close_fd(&mut self, pid: u32, start: Time, call: &Call<'_>) {
        let Some(fd) = call.number(0) else { return };
        if let Some(serial) = self.fds.remove(pid, fd) {
            self.close(serial, start);
        }
    }

    fn close_fds(&mut self, pid: u32, start: Time, call: &Call<'_>) {
        let is_close = call.text(2) == "0" && call.result == Some(0);
        if let (Some(first), true) = (call.number(0), is_close) {
            let last = call.number(1).unwrap_or(i64::MAX);
            for serial in self.fds.remove_range(pid, first, last) {
                self.close(serial, start);
            }
        }
    }

    fn duplicate(&mut self, pid: u32, end: Time, call: &Call<'_>) {
        let duplicates = call.name.starts_with("dup") || call.text(1).starts_with("F_DUPFD");
        let (Some(from), Some(to)) = (call.number(0), call.result) else {
            return;
        };
        if !duplicates || to < 0 || from == to {
            return;
        }
        let what = self.fds.get(pid, from).unwrap_or(Fd::Other);
        if let Some(serial) = self.fds.insert(pid, to, what) {
            self.close(serial, end);
        }
    }

    fn fork(&mut self, pid: u32, call: &Call<'_>) {
        let child = call.result.and_then(|child| u32::try_from(child).ok());
        let Some(child) = child.filter(|child| *child > 0) else {
            return;
        };
        let shares = call
            .arguments
            .iter()
            .any(|text| text.contains("CLONE_FILES"));
        self.fds.fork(pid, child, shares);
    }

    fn execute(&mut self, pid: u32, call: &Call<'_>) {
        let path = call.text(0).trim_matches('"');
        let name = path.rsplit('/').next().unwrap_or(path);
        if call.result == Some(0) && !name.is_empty() {
            self.has_start |= self.processes.len() == 1;
            let process = self.process(pid);
            process.program = Some(name.to_owned());
            // It was that of another program, such as a shell.
            process.waits_with = None;
        }
    }

    /// A file descriptor that is no connection.
    fn other_fd(&mut self, pid: u32, fd: Option<i64>, time: Time) {
        if let Some(fd) = fd.filter(|fd| *fd >= 0)
            && let Some(serial) = self.fds.insert(pid, fd, Fd::Other)
        {
            self.close(serial, time);
        }
    }
}

/// Whether the timeout of poll or select is zero.
fn returns_at_once(call: &Call<'_>) -> bool {
    let timeout = if call.name.ends_with("poll") { 2 } else { 4 };
    let timeout = call.text(timeout);
    timeout == "0"
        || timeout.starts_with("{tv_sec=0, tv_nsec=0}")
        || timeout == "{tv_sec=0, tv_usec=0}"
}

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

use Direction::{In, Out};

/// The two file descriptors that a call has put into its array: `pipe2([3, 4], 0)`.
fn pair_in(call: &Call<'_>) -> impl Iterator<Item = i64> {
    let array = call.arguments.iter().find(|text| text.starts_with('['));
    let array = array.map_or("", |text| text.trim_matches(['[', ']']));
    array.split(',').filter_map(|fd| fd.trim().parse().ok())
}

/// The kind of an error by its name, such as `ECONNRESET`.
fn kind_of(name: &str) -> ErrorKind {
    let number = (1..=255).find(|number| format!("{:?}", Errno::from_raw(*number)) == name);
    match number {
        Some(number) => io::Error::from_raw_os_error(number).kind(),
        None if name == "EWOULDBLOCK" => ErrorKind::WouldBlock,
        None => ErrorKind::Other,
    }
}

/// The address in a socket address, such as
/// `{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}`.
fn peer_of(text: &str) -> Option<SocketAddr> {
    let port = between(text, "htons(", ")")?.parse().ok()?;
    let ip = between(text, "inet_addr(\"", "\"").or_else(|| {
        let (_, rest) = text.split_once("inet_pton(AF_INET6, \"")?;
        rest.split('"').next()
    })?;
    let ip: IpAddr = ip.parse().ok()?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// The data and the readiness of each event that epoll has returned.
fn ready_events(text: &str) -> impl Iterator<Item = (u64, Readiness)> {
    text.split("{events=").skip(1).filter_map(|event| {
        let readiness = Readiness::READABLE.when(event.contains("EPOLLIN"))
            | Readiness::WRITABLE.when(event.contains("EPOLLOUT"))
            | Readiness::DRAIN.when(
                ["EPOLLRDHUP", "EPOLLHUP", "EPOLLERR"]
                    .iter()
                    .any(|name| event.contains(name)),
            );
        Some((epoll_data(event)?, readiness))
    })
}

/// The data of an event: `data={u32=0, u64=4294967296}`, or `data=0x100000000`.
fn epoll_data(text: &str) -> Option<u64> {
    if let Some((_, rest)) = text.split_once("u64=") {
        return number_at(rest);
    }
    let (_, rest) = text.split_once("data=")?;
    number_at(rest)
}

fn number_at(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    let text = &text[..end.unwrap_or(text.len())];
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
