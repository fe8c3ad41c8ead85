//! The new process after an upgrade, while the old one serves connections that it could not pass on.

use crate::net::{MioNet, Source};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::OwnedFd;
use std::process::Child;

/// A process that has taken over. It is a child of this one, so it would be a zombie after its end.
#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    /// Readable when the process has ended; `None` before Linux 5.3.
    _end: Option<OwnedFd>,
}

impl Successor {
    /// Makes the end of the process an event of [`Source::PROGRAM`].
    pub(super) fn watch(child: Child, net: &mut MioNet) -> Successor {
        let end = pidfd_open(Pid::from_child(&child), PidfdFlags::NONBLOCK).ok();
        let watched = end.filter(|end| net.watch_fd(end, Source::PROGRAM, false).is_ok());
        Successor {
            child,
            _end: watched,
        }
    }

    /// Whether the process has ended; then it is no zombie any more.
    pub(super) fn has_ended(&mut self) -> bool {
        let ended = !matches!(self.child.try_wait(), Ok(None));
        if ended {
            log::info!(
                "upgrade: PID {}, which had taken over, has ended",
                self.child.id()
            );
        }
        ended
    }
}
