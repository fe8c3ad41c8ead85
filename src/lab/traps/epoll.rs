//! epoll for the traps: a few calls with a timeout, so that no experiment waits for ever.

use super::loopback::{PATIENCE, now, timespec};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long the absence of an event is observed.
pub(super) const SILENCE: Duration = Duration::from_millis(200);

/// A new epoll instance.
pub(super) fn create() -> io::Result<OwnedFd> {
    Ok(epoll::create(CreateFlags::CLOEXEC)?)
}

/// Watches a file descriptor for input.
pub(super) fn watch(epoll: &OwnedFd, fd: impl AsFd, flags: EventFlags) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, EventData::new_u64(0), flags)?)
}

/// An event.
pub(super) struct Event {
    pub(super) key: u64,
    pub(super) flags: EventFlags,
}

/// The next batch of events; none after [`SILENCE`].
pub(super) fn wait(epoll: &OwnedFd) -> io::Result<Vec<Event>> {
    wait_for(epoll, SILENCE)
}

/// The next batch of events; none after `timeout`.
pub(super) fn wait_for(epoll: &OwnedFd, timeout: Duration) -> io::Result<Vec<Event>> {
    let mut events = Vec::with_capacity(64);
    let timeout = timespec(timeout);
    retry_on_intr(|| epoll::wait(epoll, spare_capacity(&mut events), Some(&timeout)))?;
    let events = events.into_iter().map(|event| Event {
        key: event.data.u64(),
        flags: event.flags,
    });
    Ok(events.collect())
}

/// Waits for an event; false if none arrives for [`SILENCE`].
pub(super) fn has_event(epoll: &OwnedFd) -> io::Result<bool> {
    Ok(!wait(epoll)?.is_empty())
}

/// Whether one of `flags`, or an error, is reported for a file descriptor within `timeout`.
pub(super) fn is_ready(fd: impl AsFd, flags: PollFlags, timeout: Duration) -> io::Result<bool> {
    let mut polled = [PollFd::new(&fd, flags)];
    let timeout = timespec(timeout);
    Ok(retry_on_intr(|| poll(&mut polled, Some(&timeout)))? > 0)
}

/// Waits until a socket accepts output.
pub(super) fn wait_until_writable(fd: impl AsFd) -> io::Result<()> {
    if is_ready(fd, PollFlags::OUT, PATIENCE)? {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Waits until a socket has input, FIN or an error.
pub(super) fn wait_until_readable(fd: impl AsFd) -> io::Result<()> {
    if is_ready(fd, PollFlags::IN, PATIENCE)? {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// A level-triggered event loop with one listener and one timer, which runs for a limited time and counts its wake-ups.
pub(super) struct Wakeups {
    epoll: OwnedFd,
    ends_at: Duration,
    timer: Option<Duration>,
    /// Whether the timer caused the last wake-up, and not the listener.
    pub(super) is_timer: bool,
    pub(super) count: u64,
}

impl Wakeups {
    pub(super) fn new(duration: Duration) -> io::Result<Wakeups> {
        Ok(Wakeups {
            epoll: create()?,
            ends_at: now() + duration,
            timer: None,
            is_timer: false,
            count: 0,
        })
    }

    /// Sleeps until the listener or the timer is ready; false at the end of the experiment.
    pub(super) fn next(&mut self) -> io::Result<bool> {
        let deadline = self.timer.unwrap_or(self.ends_at).min(self.ends_at);
        let events = wait_for(&self.epoll, deadline.saturating_sub(now()))?;
        if now() >= self.ends_at {
            return Ok(false);
        }
        self.count += 1;
        self.is_timer = events.is_empty();
        if self.is_timer {
            self.timer = None;
        }
        Ok(true)
    }

    pub(super) fn watch(&self, listener: impl AsFd) -> io::Result<()> {
        watch(&self.epoll, listener, EventFlags::IN)
    }

    pub(super) fn ignore(&self, listener: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, listener)?)
    }

    pub(super) fn set_timer(&mut self, after: Duration) {
        self.timer = Some(now() + after);
    }
}
