//! Which connections of userspace TCP the server has accepted, as echoes prove.
//!
//! A SYN-ACK proves nothing: once the accept queue is full, the kernel of the server drops the ACK of the handshake, or
//! answers with a SYN cookie, and the client counts a connection that the server never has. A reply proves that the server
//! has accepted its connection, and those before it, since the queue is first in, first out. So one connection of
//! [`EVERY`] sends a message once it is established, and only so many connections are opened ahead of the last reply as
//! the smallest usual queue holds.

/// One connection of so many is proven by a reply.
const EVERY: u32 = 32;

/// Connections that may be opened ahead of the last one proven: fewer than a backlog of 128 holds.
const WINDOW: u32 = 120;

/// The connections that are proven.
#[derive(Debug)]
pub(super) struct Proofs {
    window: u32,
    /// All connections, or those up to the last one that is opened.
    total: u32,
    /// Connections before this one are accepted, or have ended.
    proven: u32,
}

impl Proofs {
    /// With at most `window` unproven connections, if it is given.
    pub(super) fn new(window: Option<u32>, total: u32) -> Proofs {
        Proofs {
            window: window.unwrap_or(WINDOW),
            total,
            proven: 0,
        }
    }

    /// Whether this connection is to be proven once it is established.
    pub(super) fn proves(&self, connection: u32) -> bool {
        let every = EVERY.min(self.window);
        connection % every == every - 1 || connection + 1 == self.total
    }

    /// The server has replied on this connection, or it has ended.
    pub(super) fn on_proven(&mut self, connection: u32) {
        if connection >= self.proven {
            self.proven = connection + 1;
        }
    }

    /// Connections before this one are accepted, or have ended.
    pub(super) fn proven(&self) -> u32 {
        self.proven
    }

    /// Further connections that may be opened, when all before `next` are.
    pub(super) fn room(&self, next: u32) -> u32 {
        self.window.saturating_sub(next.saturating_sub(self.proven))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_bounds_the_connections_ahead_of_the_last_reply() {
        let mut proofs = Proofs::new(None, 1_000);
        assert_eq!(
            (proofs.room(0), proofs.room(119), proofs.room(120)),
            (120, 1, 0)
        );
        proofs.on_proven(31);
        assert_eq!((proofs.room(120), proofs.room(152)), (32, 0));
        proofs.on_proven(7);
        assert_eq!(proofs.proven(), 32, "an earlier reply proves nothing new");
    }

    #[test]
    fn every_window_has_a_connection_that_is_proven_and_so_is_the_last() {
        for window in [1, 2, 31, 120] {
            let proofs = Proofs::new(Some(window), 1_000);
            let proven: Vec<u32> = (0..1_000).filter(|number| proofs.proves(*number)).collect();
            assert_eq!(proven.last(), Some(&999));
            assert!(proven[0] < window, "{window}");
            for pair in proven.windows(2) {
                assert!(pair[1] - pair[0] <= window, "{window}: {pair:?}");
            }
        }
    }
}
