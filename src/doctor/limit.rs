//! Limits on the number of connections, and the errors by which the kernel reports them.

use rustix::io::Errno;
use std::io;

/// A limit of the process or of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The largest limit of file descriptors that a process may have (proc(5), `fs.nr_open`).
    NrOpen,
    /// The hard limit of file descriptors of this process (getrlimit(2), `RLIMIT_NOFILE`).
    Fds,
    /// Open files of all processes together (proc(5), `fs.file-max`).
    FileMax,
    /// File descriptors that one user may register with epoll (epoll(7), `fs.epoll.max_user_watches`).
    EpollWatches,
    /// Connections that the firewall tracks (`net.netfilter.nf_conntrack_max`).
    Conntrack,
    /// Source ports times source addresses, for one target on another machine (ip(7), `ip_local_port_range`).
    Ports,
    /// Source ports times source addresses, for one target on this machine: all of 127/8 is available.
    LoopbackPorts,
    /// Ports times addresses of the network of connections in user space.
    PrefixPorts,
    /// The memory of the machine.
    Memory,
    /// The memory of the control group of this process.
    CgroupMemory,
}

impl Limit {
    /// The limit that an error of accept(2), connect(2) or `epoll_ctl(2)` reports; `None` for other errors.
    #[must_use]
    pub fn behind(error: &io::Error) -> Option<Limit> {
        match Errno::from_io_error(error)? {
            Errno::MFILE => Some(Limit::Fds),
            Errno::NFILE => Some(Limit::FileMax),
            Errno::NOSPC => Some(Limit::EpollWatches),
            Errno::ADDRNOTAVAIL => Some(Limit::Ports),
            Errno::NOMEM | Errno::NOBUFS => Some(Limit::Memory),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_limit() {
        for (errno, limit) in [
            (Errno::MFILE, Some(Limit::Fds)),
            (Errno::NFILE, Some(Limit::FileMax)),
            (Errno::NOSPC, Some(Limit::EpollWatches)),
            (Errno::ADDRNOTAVAIL, Some(Limit::Ports)),
            (Errno::NOMEM, Some(Limit::Memory)),
            (Errno::NOBUFS, Some(Limit::Memory)),
            (Errno::CONNREFUSED, None),
        ] {
            assert_eq!(Limit::behind(&errno.into()), limit, "{errno}");
        }
        assert_eq!(Limit::behind(&io::Error::other("no number")), None);
    }
}
