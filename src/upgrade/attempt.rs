//! One upgrade: the new process, and the messages to and from it.

use super::channel::{Channel, Kind, MAX_FDS, Received};
use super::{AnyServer, Begin, FORMATS, Failure, Total, UpgradeCounts, json, state};
use crate::net::{Key, MioNet, Net, Signal, Source};
use crate::server::SavedServer;
use nix::sys::signal::{self, kill};
use nix::unistd::Pid;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// The most messages with descriptors that the new process has not received: the kernel limits descriptors in flight
/// (`ETOOMANYREFS`, unix(7)).
const IN_FLIGHT: usize = 8;

/// What a failed upgrade has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All connections: none was used by the new process.
    Kept,
    /// The new process may have used connections before it ended.
    Lost,
}

/// An upgrade in progress.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) child: Child,
    pub(super) channel: Channel,
    /// Ends each step before the event loop stops.
    timer: Option<OwnedFd>,
    /// The state that was sent for the rehearsal.
    pub(super) rehearsal: Option<Vec<u8>>,
    pub(super) has_committed: bool,
}

impl Attempt {
    pub(super) fn new(child: Child, stream: UnixStream) -> Attempt {
        Attempt {
            child,
            channel: Channel::new(stream),
            timer: None,
            rehearsal: None,
            has_committed: false,
        }
    }

    /// Makes the channel and the timer event sources of the server.
    pub(super) fn watch(&mut self, net: &mut MioNet, timeout: Duration) -> io::Result<()> {
        self.channel.stream().set_nonblocking(true)?;
        net.watch_fd(self.channel.stream(), Source::PROGRAM, false)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        net.watch_fd(&timer, Source::PROGRAM, false)?;
        self.timer = Some(timer);
        self.start_timer(timeout)
    }

    pub(super) fn start_timer(&self, timeout: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: timeout.try_into().map_err(io::Error::other)?,
        };
        if let Some(timer) = &self.timer {
            timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
        }
        Ok(())
    }

    pub(super) fn has_timed_out(&self) -> bool {
        // A timer that has not expired has no bytes to read.
        let timer = self.timer.as_ref();
        timer.is_some_and(|timer| rustix::io::read(timer, &mut [0; 8]).is_ok())
    }

    pub(super) fn send(
        &mut self,
        kind: Kind,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Failure> {
        let sent = self.channel.send(kind, payload, fds);
        sent.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => "the new process did not receive in time".to_owned(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.reason_of_end(),
            _ => format!("cannot send to the new process: {error}"),
        })
    }

    /// Why the new process has closed its end. What it sent before can still be received.
    fn reason_of_end(&mut self) -> Failure {
        loop {
            let received = self.channel.receive();
            match self.check(received) {
                // It answers an earlier message.
                Ok(_) => {}
                Err(reason) => return reason,
            }
        }
    }

    /// The payload of the next message, which is to be of this kind.
    pub(super) fn receive_kind(&mut self, kind: Kind) -> Result<Vec<u8>, Failure> {
        let received = self.channel.receive();
        let received = self.check(received)?;
        if received.kind == kind {
            Ok(received.payload)
        } else {
            Err(unexpected(received.kind))
        }
    }

    /// A received message that does not report a failure.
    pub(super) fn check(&mut self, received: io::Result<Received>) -> Result<Received, Failure> {
        match received {
            Ok(Received {
                kind: Kind::Failed,
                payload,
                ..
            }) => Err(format!(
                "the new process cannot take over: {}",
                String::from_utf8_lossy(&payload).escape_debug()
            )),
            Ok(received) => Ok(received),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                // It may have closed its end only.
                let _ = self.child.kill();
                let status = self.child.wait();
                Err(format!(
                    "the new process has ended ({}); its messages are above, and the path may be of another program",
                    status.map_or_else(|error| error.to_string(), shown)
                ))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(
                "the new process did not answer in time; raise --upgrade-timeout if it needs longer"
                    .to_owned(),
            ),
            Err(error) => Err(format!(
                "{error} from the new process: is it a version of echoloop that can take over?"
            )),
        }
    }

    /// Sends the state of the server, the listeners and the socket for queries.
    pub(super) fn send_server(
        &mut self,
        server: &dyn AnyServer,
        saved: SavedServer,
        upgrades: UpgradeCounts,
    ) -> Result<(), Failure> {
        let mut fds = server.listeners();
        let begin = Begin {
            format: FORMATS.1,
            pid: std::process::id(),
            origin: server.network().origin(),
            listeners: u16::try_from(fds.len()).map_err(|error| error.to_string())?,
            server: saved,
            upgrades,
        };
        fds.extend(server.network().sock_diag_fd());
        self.send(Kind::Begin, &json(&begin)?, &fds)
    }

    /// Sends all connections.
    pub(super) fn send_connections(
        &mut self,
        server: &dyn AnyServer,
        keys: &[Key],
    ) -> Result<Total, Failure> {
        let mut digest = crc32fast::Hasher::new();
        let mut in_flight = VecDeque::new();
        for batch in keys.chunks(MAX_FDS) {
            if in_flight.len() == IN_FLIGHT {
                self.receive_kind(Kind::Received)?;
                in_flight.pop_front();
            }
            let mut payload = Vec::new();
            let mut fds = Vec::with_capacity(batch.len());
            for key in batch {
                let saved = server.save_connection(*key);
                let (saved, stream) = saved.ok_or("a connection has closed")?;
                state::encode(&saved, &mut payload)?;
                fds.push(stream.as_fd());
            }
            digest.update(&payload);
            self.send(Kind::Connections, &payload, &fds)?;
            in_flight.push_back(());
        }
        for () in in_flight {
            self.receive_kind(Kind::Received)?;
        }
        Ok(Total {
            connections: u32::try_from(keys.len()).map_err(|error| error.to_string())?,
            digest: digest.finalize(),
        })
    }

    /// Sends the signals that have arrived during the handover to the new process.
    pub(super) fn forward_signals(&self, net: &mut MioNet) {
        while let Some(signal) = net.take_signal() {
            let forwarded = match signal {
                Signal::Terminate => signal::Signal::SIGTERM,
                Signal::Interrupt => signal::Signal::SIGINT,
                Signal::Hangup | Signal::Reload => signal::Signal::SIGHUP,
                Signal::Report => signal::Signal::SIGUSR1,
                // A second request of this upgrade.
                Signal::Upgrade => continue,
            };
            if let Ok(pid) = i32::try_from(self.child.id()) {
                let _ = kill(Pid::from_raw(pid), forwarded);
            }
        }
    }

    /// Ends the new process. Only after that, the sockets are this process's alone: while another process has them, a
    /// closed connection sends neither FIN nor RST.
    pub(super) fn end(mut self) -> End {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.has_committed {
            return End::Kept;
        }
        let _ = self.channel.stream().set_nonblocking(true);
        loop {
            match self.channel.receive() {
                Ok(received) if received.kind == Kind::Serving => return End::Lost,
                Ok(_) => {}
                Err(_) => return End::Kept,
            }
        }
    }
}

pub(super) fn unexpected(kind: Kind) -> Failure {
    format!("the new process sent the message {kind:?} out of order")
}

/// How a process ended.
fn shown(status: ExitStatus) -> String {
    status.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::process::Command;

    /// An attempt, and the end of the channel that the new process has.
    fn attempt() -> (Attempt, Channel) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = Command::new("true").spawn().unwrap();
        (Attempt::new(child, ours), Channel::new(theirs))
    }

    /// Closes the end of the new process.
    fn close(theirs: Channel, attempt: &Attempt) {
        drop(theirs);
        // Another test may just start a process, which has a copy of the descriptor until it runs its program.
        let mut fds = [PollFd::new(attempt.channel.stream(), PollFlags::RDHUP)];
        while !fds[0].revents().contains(PollFlags::HUP) {
            poll(&mut fds, None).unwrap();
        }
    }

    #[test]
    fn reason_that_arrived_before_the_end_is_reported_by_a_send() {
        let (mut attempt, theirs) = attempt();
        theirs.send(Kind::Received, b"", &[]).unwrap();
        theirs.send(Kind::Failed, b"no space", &[]).unwrap();
        close(theirs, &attempt);
        let error = attempt.send(Kind::End, b"", &[]).unwrap_err();
        assert_eq!(error, "the new process cannot take over: no space");
    }

    #[test]
    fn reason_is_reported_although_messages_were_not_received() {
        let (mut attempt, theirs) = attempt();
        attempt.send(Kind::Connections, b"unread", &[]).unwrap();
        theirs.send(Kind::Failed, b"no space", &[]).unwrap();
        close(theirs, &attempt);
        let error = attempt.send(Kind::End, b"", &[]).unwrap_err();
        assert_eq!(error, "the new process cannot take over: no space");
    }

    #[test]
    fn end_without_a_reason_is_reported_with_the_status() {
        let (mut attempt, theirs) = attempt();
        attempt.send(Kind::Connections, b"unread", &[]).unwrap();
        close(theirs, &attempt);
        let error = attempt.send(Kind::End, b"", &[]).unwrap_err();
        assert!(error.starts_with("the new process has ended ("), "{error}");
    }
}
