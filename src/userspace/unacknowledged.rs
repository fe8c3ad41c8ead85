//! What one connection has in flight, and its timers (RFC 6298).

use crate::time::Time;
use std::time::Duration;

/// The first retransmission timeout (RFC 6298, 2.1).
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest retransmission timeout (RFC 6298, 2.5).
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What one connection has in flight.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) syn: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) fin: bool,
    /// Whether a SYN was sent at once after that of a reused address and port, since the last timeout.
    is_repeated: bool,
    timeout: Duration,
    gives_up_at: Time,
    deadline: Time,
}

impl Unacknowledged {
    /// Nothing yet, with timers that start now. `buffer` is empty.
    pub(super) fn new(buffer: Vec<u8>, now: Time, limit: Duration) -> Unacknowledged {
        let mut entry = Unacknowledged {
            syn: false,
            bytes: buffer,
            fin: false,
            is_repeated: false,
            timeout: FIRST_TIMEOUT,
            gives_up_at: now,
            deadline: now,
        };
        entry.start_timers(now, limit);
        entry
    }

    /// The sequence numbers in flight.
    pub(super) fn length(&self) -> u32 {
        // At most `MAX_UNACKNOWLEDGED` bytes.
        let bytes = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        u32::from(self.syn) + bytes + u32::from(self.fin)
    }

    /// When a retransmission is due, or the time limit has passed.
    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether the time limit has passed without an acknowledgment.
    pub(super) fn has_timed_out(&self, now: Time) -> bool {
        now >= self.gives_up_at
    }

    fn start_timers(&mut self, now: Time, limit: Duration) {
        self.gives_up_at = now + limit;
        self.timeout = FIRST_TIMEOUT;
        self.deadline = (now + self.timeout).min(self.gives_up_at);
    }

    /// Doubles the timeout after a retransmission (RFC 6298, 5.5).
    pub(super) fn back_off(&mut self, now: Time) {
        self.is_repeated = false;
        self.timeout = (self.timeout * 2).min(LONGEST_TIMEOUT);
        self.deadline = (now + self.timeout).min(self.gives_up_at);
    }

    /// Notes that the SYN was sent again at once. `false`: it was before, since the last timeout.
    pub(super) fn repeat(&mut self) -> bool {
        !std::mem::replace(&mut self.is_repeated, true)
    }

    /// Removes acknowledged sequence numbers from the front (the SYN, bytes, the FIN), and starts the timers again (RFC
    /// 6298, 5.3).
    pub(super) fn acknowledge(&mut self, length: u32, now: Time, limit: Duration) {
        let mut left = length;
        if self.syn && left > 0 {
            self.syn = false;
            left -= 1;
        }
        let bytes = self.bytes.len().min(left as usize);
        self.bytes.drain(..bytes);
        self.fin &= left as usize == bytes;
        self.start_timers(now, limit);
    }
}
