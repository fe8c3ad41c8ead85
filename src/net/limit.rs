//! The limits that connections run into, and the errors by which the kernel reports them.

use nix::errno::Errno;
use std::io;

/// A limit of the process or of the machine. `echoloop doctor` shows them all with their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The most descriptors that the kernel grants to any process (proc(5), `fs.nr_open`).
    NrOpen,
    /// The hard limit of descriptors of this process (getrlimit(2), `RLIMIT_NOFILE`).
    Descriptors,
    /// Open files of all processes together (proc(5), `fs.file-max`).
    FileMax,
    /// What one user may register with epoll (epoll(7), `fs.epoll.max_user_watches`).
    EpollWatches,
    /// Connections that the firewall keeps in mind (`net.netfilter.nf_conntrack_max`).
    Conntrack,
    /// Ports times addresses to connect from, to one port elsewhere (ip(7), `ip_local_port_range`).
    Ports,
    /// Ports times addresses to connect from, to one port of this machine: all of 127/8 serves.
    LoopbackPorts,
    /// The machine's memory.
    Memory,
    /// The memory of the control group that this process runs in.
    CgroupMemory,
}

impl Limit {
    /// The limit behind an error of accept(2), connect(2) or `epoll_ctl(2)`, if it is one.
    #[must_use]
    pub fn behind(error: &io::Error) -> Option<Limit> {
        match error.raw_os_error().map(Errno::from_raw)? {
            Errno::EMFILE => Some(Limit::Descriptors),
            Errno::ENFILE => Some(Limit::FileMax),
            Errno::ENOSPC => Some(Limit::EpollWatches),
            Errno::EADDRNOTAVAIL => Some(Limit::Ports),
            Errno::ENOMEM | Errno::ENOBUFS => Some(Limit::Memory),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_names_the_limit_that_was_hit() {
        let behind = |errno: Errno| Limit::behind(&io::Error::from(errno));
        assert_eq!(behind(Errno::EMFILE), Some(Limit::Descriptors));
        assert_eq!(behind(Errno::ENFILE), Some(Limit::FileMax));
        assert_eq!(behind(Errno::ENOSPC), Some(Limit::EpollWatches));
        assert_eq!(behind(Errno::EADDRNOTAVAIL), Some(Limit::Ports));
        assert_eq!(behind(Errno::ENOMEM), Some(Limit::Memory));
        assert_eq!(behind(Errno::ENOBUFS), Some(Limit::Memory));
        assert_eq!(behind(Errno::ECONNREFUSED), None);
        assert_eq!(Limit::behind(&io::Error::other("no number")), None);
    }
}
