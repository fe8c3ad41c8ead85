//! The state of a connection: what it still accepts from the peer (receive side) times what it still sends (send side).
//!
//! | receive side ╲ send side | open | FIN queued | FIN sent |
//! |---|---|---|---|
//! | open | serving | half-close: output is flushed, then FIN | half-closed |
//! | until drained | the server drains: input that arrived before is answered | the same, after a half-close | – |
//! | discard | – | output is flushed, then FIN | lingering until the peer's FIN |
//! | at EOF | half-open: the owner still sends | output is flushed, then closed | closed at once |
//!
//! Beside these: connecting, cancelled (a drain began while connecting), and record pending (the input up to the peer's
//! FIN, or its end within the protocol, is a record, which the connection holds until its owner has taken it).
//!
//! "Pending output" is not a state: in all columns but the last, the kernel may not have accepted all output yet. A
//! connection with pending output is read only within [`Limits`](super::Limits), so TCP flow control slows the peer down.

/// What a connection still accepts from its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rx {
    /// Nothing yet: the handshake is in progress.
    Connecting,
    /// Input is read and passed to the session.
    Open,
    /// Input that arrived before the drain is passed to the session.
    UntilDrained,
    /// Input is read and dropped, or not read.
    Discard,
    /// The peer's FIN was read.
    AtEof,
    /// The peer's FIN was read, and all input is a record that the owner is to take; then the connection closes.
    RecordPending,
    /// Nothing: a drain began before the handshake completed. The connection is closed when it is driven next.
    Cancelled,
}

/// What a connection still sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tx {
    /// The session may write. While connecting, its output waits.
    Open,
    /// FIN follows the pending output.
    FinQueued,
    /// FIN was sent.
    FinSent,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) rx: Rx,
    pub(super) tx: Tx,
}

/// An event that may change the state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The handshake has completed.
    Connected,
    /// The owner writes no more: FIN follows the pending output.
    HalfClose,
    /// FIN was sent.
    FinSent,
    /// The peer's FIN was read; with `half_open`, the owner still has output.
    Eof { half_open: bool },
    /// The session has finished: output is flushed, then FIN is sent.
    Finished,
    /// The server drains.
    Drain,
    /// All input that had arrived before the drain is answered.
    Drained,
    /// The input up to the peer's FIN is a record.
    RecordHeld,
}

impl State {
    /// Accepted, and not restricted.
    pub(super) const OPEN: State = State {
        rx: Rx::Open,
        tx: Tx::Open,
    };

    /// The handshake is in progress.
    pub(super) const CONNECTING: State = State {
        rx: Rx::Connecting,
        tx: Tx::Open,
    };

    /// The state after `event`; `None` if the event cannot happen in this state.
    pub(super) fn after(self, event: Event) -> Option<State> {
        let State { rx, tx } = self;
        let (rx, tx) = match (event, rx, tx) {
            (Event::Connected, Rx::Connecting, tx) => (Rx::Open, tx),

            (Event::HalfClose, Rx::Cancelled | Rx::RecordPending, _) => return Some(self),
            (Event::HalfClose, rx, Tx::Open) => (rx, Tx::FinQueued),

            (Event::FinSent, Rx::Open | Rx::Discard, Tx::FinQueued) => (rx, Tx::FinSent),

            (Event::Eof { half_open: true }, Rx::Open, Tx::Open) => (Rx::AtEof, Tx::Open),
            (Event::Eof { .. }, Rx::Open | Rx::UntilDrained | Rx::Discard, Tx::FinSent) => {
                (Rx::AtEof, Tx::FinSent)
            }
            (Event::Eof { .. }, Rx::Open | Rx::UntilDrained | Rx::Discard, _) => {
                (Rx::AtEof, Tx::FinQueued)
            }
            (Event::RecordHeld, Rx::AtEof | Rx::Discard, Tx::FinQueued) => (Rx::RecordPending, tx),

            (Event::Finished, Rx::Connecting | Rx::AtEof, Tx::Open | Tx::FinQueued) => {
                (rx, Tx::FinQueued)
            }
            (Event::Finished, Rx::Open | Rx::UntilDrained, Tx::Open | Tx::FinQueued) => {
                (Rx::Discard, Tx::FinQueued)
            }
            (Event::Finished | Event::Drain, Rx::Open, Tx::FinSent) => (Rx::Discard, Tx::FinSent),

            (Event::Drain, Rx::Connecting, tx) => (Rx::Cancelled, tx),
            (Event::Drain, Rx::Open, tx) => (Rx::UntilDrained, tx),
            (Event::Drain, Rx::AtEof, Tx::Open) => (Rx::AtEof, Tx::FinQueued),
            // The connection is closing already.
            (Event::HalfClose | Event::Drain, rx, tx) => (rx, tx),
            (Event::Drained, Rx::UntilDrained, _) => (Rx::Discard, Tx::FinQueued),

            _ => return None,
        };
        Some(State { rx, tx })
    }

    /// Whether the handshake is in progress.
    #[inline]
    pub(super) fn is_connecting(self) -> bool {
        self.rx == Rx::Connecting
    }

    /// Whether input is passed to the session.
    #[inline]
    pub(super) fn can_receive(self) -> bool {
        matches!(self.rx, Rx::Open | Rx::UntilDrained)
    }

    /// Whether the owner can still write.
    pub(super) fn can_send(self) -> bool {
        let is_over = matches!(self.rx, Rx::Discard | Rx::RecordPending | Rx::Cancelled);
        self.tx == Tx::Open && !is_over
    }

    /// Whether FIN was sent, so that further output is dropped.
    pub(super) fn is_fin_sent(self) -> bool {
        self.tx == Tx::FinSent
    }

    /// Whether our FIN was sent and input is dropped until the peer's. Closing at once, with input unread, would send
    /// RST and destroy bytes that are still on their way to the peer (RFC 1122, 4.2.2.13; RFC 9293, 3.10.4).
    pub(super) fn is_lingering(self) -> bool {
        (self.rx, self.tx) == (Rx::Discard, Tx::FinSent)
    }
}

/// All receive sides, in the order of their numbers in saved states.
pub(super) const RX: [Rx; 7] = [
    Rx::Connecting,
    Rx::Open,
    Rx::UntilDrained,
    Rx::Discard,
    Rx::AtEof,
    Rx::RecordPending,
    Rx::Cancelled,
];

/// All send sides, in the same way.
pub(super) const TX: [Tx; 3] = [Tx::Open, Tx::FinQueued, Tx::FinSent];

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 9] = [
        Event::Connected,
        Event::HalfClose,
        Event::FinSent,
        Event::Eof { half_open: false },
        Event::Eof { half_open: true },
        Event::Finished,
        Event::Drain,
        Event::Drained,
        Event::RecordHeld,
    ];

    /// The next state for each of [`EVENTS`]; `.` where the event cannot happen. The states that are not listed cannot be
    /// reached. A state is an initial of [`Rx`] (`c` connecting, `o` open, `u` until drained, `d` discard, `e` at EOF,
    /// `r` record pending, `x` cancelled) and of [`Tx`] (`o` open, `q` FIN queued, `s` FIN sent).
    #[rustfmt::skip]
    const TABLE: [(&str, [&str; 9]); 15] = [
        //     connected half  fin   eof   open  fin'd drain dr'd  record
        ("co", ["oo",    "cq", ".",  ".",  ".",  "cq", "xo", ".",  "."]),
        ("cq", ["oq",    "cq", ".",  ".",  ".",  "cq", "xq", ".",  "."]),
        ("oo", [".",     "oq", ".",  "eq", "eo", "dq", "uo", ".",  "."]),
        ("oq", [".",     "oq", "os", "eq", "eq", "dq", "uq", ".",  "."]),
        ("os", [".",     "os", ".",  "es", "es", "ds", "ds", ".",  "."]),
        ("uo", [".",     "uq", ".",  "eq", "eq", "dq", "uo", "dq", "."]),
        ("uq", [".",     "uq", ".",  "eq", "eq", "dq", "uq", "dq", "."]),
        ("dq", [".",     "dq", "ds", "eq", "eq", ".",  "dq", ".",  "rq"]),
        ("ds", [".",     "ds", ".",  "es", "es", ".",  "ds", ".",  "."]),
        ("eo", [".",     "eq", ".",  ".",  ".",  "eq", "eq", ".",  "."]),
        ("eq", [".",     "eq", ".",  ".",  ".",  "eq", "eq", ".",  "rq"]),
        ("es", [".",     "es", ".",  ".",  ".",  ".",  "es", ".",  "."]),
        ("rq", [".",     "rq", ".",  ".",  ".",  ".",  "rq", ".",  "."]),
        ("xo", [".",     "xo", ".",  ".",  ".",  ".",  "xo", ".",  "."]),
        ("xq", [".",     "xq", ".",  ".",  ".",  ".",  "xq", ".",  "."]),
    ];

    fn parse(text: &str) -> Option<State> {
        let rx = "couderx".find(text.get(..1)?)?;
        let tx = "oqs".find(text.get(1..2)?)?;
        let (rx, tx) = (RX[rx], TX[tx]);
        Some(State { rx, tx })
    }

    fn states() -> impl Iterator<Item = (State, [&'static str; 9])> {
        let rows = TABLE.into_iter();
        rows.filter_map(|(state, row)| parse(state).map(|state| (state, row)))
    }

    #[test]
    fn every_event_in_every_state_matches_the_table() {
        for (state, row) in states() {
            for (event, next) in EVENTS.into_iter().zip(row) {
                assert_eq!(state.after(event), parse(next), "{state:?}, {event:?}");
            }
        }
    }

    #[test]
    fn table_lists_exactly_the_reachable_states() {
        let mut reached = vec![State::CONNECTING, State::OPEN];
        let mut next = 0;
        while let Some(state) = reached.get(next).copied() {
            next += 1;
            for event in EVENTS {
                let after = state.after(event);
                reached.extend(after.filter(|after| !reached.contains(after)));
            }
        }
        for (state, _) in states() {
            assert!(reached.contains(&state), "{state:?} is not reached");
        }
        assert_eq!(reached.len(), states().count(), "{reached:?}");
    }

    #[test]
    fn predicates_hold_in_exactly_the_expected_states() {
        let states_with = |predicate: fn(State) -> bool| -> Vec<State> {
            let all = states().map(|(state, _)| state);
            all.filter(|state| predicate(*state)).collect()
        };
        let expected = |names: &str| -> Vec<State> {
            let names = names.split_whitespace();
            names.map(|name| parse(name).unwrap()).collect()
        };
        assert_eq!(states_with(State::is_connecting), expected("co cq"));
        assert_eq!(states_with(State::can_receive), expected("oo oq os uo uq"));
        assert_eq!(states_with(State::can_send), expected("co oo uo eo"));
        assert_eq!(states_with(State::is_fin_sent), expected("os ds es"));
        assert_eq!(states_with(State::is_lingering), expected("ds"));
    }
}
