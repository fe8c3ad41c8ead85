//! A network whose events are an event of another one, so that one thread waits for both in one call: an epoll instance
//! can be watched by another (epoll(7)).

use super::{MioNet, Net, Source, Time};
use mio::Interest;
use mio::unix::SourceFd;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// A timerfd of zero is disarmed (`timerfd_settime(2)`).
const AT_ONCE: Duration = Duration::from_nanos(1);

impl MioNet {
    /// Reports as `source` that `nested` has events. From now on the [`wait`](Net::wait) of `nested` never blocks; it is to
    /// be called for each such event. It takes one file descriptor for the timer of `nested`.
    ///
    /// # Errors
    /// See `timerfd_create(2)` and `epoll_ctl(2)`.
    pub fn watch_net(&mut self, nested: &mut MioNet, source: Source) -> io::Result<()> {
        nested.use_precise_timer()?;
        nested.is_nested = true;
        let fd = nested.poll.as_raw_fd();
        self.register_source(&mut SourceFd(&fd), source, Interest::READABLE)
    }

    /// Of a network that another one [watches](MioNet::watch_net): makes the time `due` an event. A later call replaces
    /// the time; with `None` an earlier one may still be reported.
    ///
    /// # Errors
    /// See `timerfd_settime(2)`.
    pub fn wake_at(&mut self, due: Option<Time>) -> io::Result<()> {
        let Some(due) = due else { return Ok(()) };
        let delay = due.since(self.now()).max(AT_ONCE);
        let timer = self.timer.as_mut();
        match timer.and_then(|timer| timer.wake_in(delay)) {
            None => Ok(()),
            Some(_) => Err(io::Error::other("the timer cannot be set")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Key, Ready};
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    const OUTER: Source = Source::ADMIN;

    /// A network that watches another one.
    fn nets() -> (MioNet, MioNet) {
        let mut outer = MioNet::new().unwrap();
        let mut inner = MioNet::new().unwrap();
        outer.watch_net(&mut inner, OUTER).unwrap();
        (outer, inner)
    }

    fn is_reported(net: &mut MioNet, timeout: Duration) -> bool {
        let mut ready: Vec<Ready> = Vec::new();
        net.wait(Some(timeout), &mut ready).unwrap();
        ready.iter().any(|event| event.key == Key::of_source(OUTER))
    }

    fn events(net: &mut MioNet) -> usize {
        let mut ready = Vec::new();
        net.wait(None, &mut ready).unwrap();
        ready.len()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn each_event_of_a_watched_network_is_reported() {
        let (mut outer, mut inner) = nets();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        inner.watch_fd(&theirs, Source::PROGRAM, false).unwrap();
        assert!(!is_reported(&mut outer, Duration::ZERO));
        for _ in 0..3 {
            ours.write_all(b"x").unwrap();
            assert!(is_reported(&mut outer, LONG));
            assert_eq!(events(&mut inner), 1);
            assert_eq!(events(&mut inner), 0, "a nested wait does not block");
            assert!(!is_reported(&mut outer, Duration::ZERO));
        }
    }

    #[test]
    fn time_of_a_watched_network_is_reported_and_replaced() {
        let (mut outer, mut inner) = nets();
        inner.wake_at(Some(Time::ZERO)).unwrap();
        assert!(is_reported(&mut outer, LONG));
        assert_eq!(events(&mut inner), 0, "the timer is no event");
        let now = inner.now();
        inner
            .wake_at(Some(now + Duration::from_secs(3600)))
            .unwrap();
        assert!(!is_reported(&mut outer, Duration::ZERO));
        inner.wake_at(Some(now + Duration::from_millis(1))).unwrap();
        assert!(is_reported(&mut outer, LONG));
        inner.wake_at(None).unwrap();
    }

    #[test]
    fn closed_network_is_no_longer_reported() {
        let (mut outer, mut inner) = nets();
        inner.wake_at(Some(Time::ZERO)).unwrap();
        drop(inner);
        assert!(!is_reported(&mut outer, Duration::ZERO));
    }
}
