//! The offset between two clocks that drift, over a network whose delays differ by direction and message.

use super::*;
use crate::protocol::{Clock, ConnectionId};
use crate::time::Time;
use proptest::prelude::*;
use std::cell::Cell;

/// A clock in nanoseconds, which shows `begin` at time 0 and gains `drift` nanoseconds per second.
#[derive(Clone, Copy, Debug)]
struct DriftingClock {
    begin: i64,
    drift: i64,
}

impl DriftingClock {
    fn read(self, now: i64) -> i64 {
        self.begin + now + now * self.drift / 1_000_000_000
    }
}

/// One request and its reply: pauses in nanoseconds, and where the reply is cut.
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    there: u32,
    back: u32,
    cut: usize,
}

/// No delay, a short one of either parity, or one of up to 4 s, such as that of a lost segment that TCP sends again.
fn delay() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0_u32..4, 0_u32..200_000, any::<u32>()]
}

fn clock() -> impl Strategy<Value = DriftingClock> {
    // Later than 1970, and in the range of a reply; oscillators deviate by up to 100 us per second.
    let begin = 0..i64::MAX / 4;
    let clock = (begin, -100_000_i64..=100_000);
    clock.prop_map(|(begin, drift)| DriftingClock { begin, drift })
}

fn round_trip() -> impl Strategy<Value = RoundTrip> {
    let parts = (delay(), delay(), 0..CLOCK_MESSAGE);
    parts.prop_map(|(there, back, cut)| RoundTrip { there, back, cut })
}

fn reading(clock: DriftingClock, now: &Cell<i64>) -> impl FnMut() -> Duration {
    move || Duration::from_nanos(u64::try_from(clock.read(now.get())).unwrap())
}

fn context<S>(shared: &mut S) -> Context<'_, S> {
    Context::new(ConnectionId::from_u64(1), Time::ZERO, shared)
}

/// What a comparison has led to.
struct Compared {
    estimate: Option<(i64, Duration)>,
    /// Of the round trip that is the shortest by our clock: its length, when the other clock was read, and the offset then.
    length: i64,
    at: i64,
    offset: i64,
    /// When the last reply arrived.
    end: i64,
}

/// Runs the sessions of both sides against each other.
fn compare(ours: DriftingClock, theirs: DriftingClock, trips: &[RoundTrip]) -> Compared {
    let now = Cell::new(0_i64);
    let mut requests = Requests::new(reading(ours, &now));
    let mut server = Clock::new(reading(theirs, &now));
    let (mut client_session, mut server_session) = (requests.session(), server.session());
    let (mut length, mut at, mut offset) = (i64::MAX, 0, 0);
    let mut buffer = Vec::new();
    let mut outbox = Outbox::new(&mut buffer, 64);
    client_session.open(context(&mut requests), &mut outbox);
    let mut request = outbox.bytes().to_vec();
    for trip in trips {
        let sent = now.get();
        let read = sent + i64::from(trip.there);
        now.set(read);
        let (mut buffer, mut reply) = (Vec::new(), Vec::new());
        let mut outbox = Outbox::new(&mut buffer, 64);
        let consumed = server_session.receive(&request, context(&mut server), &mut outbox);
        assert_eq!(consumed, CLOCK_MESSAGE);
        reply.extend_from_slice(outbox.bytes());
        now.set(read + i64::from(trip.back));
        let this = ours.read(now.get()) - ours.read(sent);
        if this < length {
            (length, at, offset) = (this, read, theirs.read(read) - ours.read(read));
        }
        let mut buffer = Vec::new();
        let mut outbox = Outbox::new(&mut buffer, 64);
        let part = &reply[..trip.cut];
        let consumed = client_session.receive(part, context(&mut requests), &mut outbox);
        assert_eq!(
            (consumed, outbox.is_empty()),
            (0, true),
            "a part of a reply"
        );
        client_session.receive(&reply, context(&mut requests), &mut outbox);
        assert_eq!(requests.fault, None);
        request = outbox.bytes().to_vec();
    }
    Compared {
        estimate: requests.estimate(),
        length,
        at,
        offset,
        end: now.get(),
    }
}

proptest! {
    #[test]
    fn true_offset_is_within_the_uncertainty(
        ours in clock(),
        theirs in clock(),
        trips in proptest::collection::vec(round_trip(), ROUND_TRIPS as usize),
        lost in 0..ROUND_TRIPS as usize,
    ) {
        let compared = compare(ours, theirs, &trips);
        let (estimate, uncertainty) = compared.estimate.unwrap();
        let uncertainty = u64::try_from(uncertainty.as_nanos()).unwrap();
        prop_assert_eq!(uncertainty, compared.length.unsigned_abs().div_ceil(2));
        prop_assert!(estimate.abs_diff(compared.offset) <= uncertainty);
        // Afterwards the clocks drift apart.
        let later = (compared.end - compared.at).unsigned_abs();
        let drifted = later * ours.drift.abs_diff(theirs.drift) / 1_000_000_000 + 3;
        let at_end = theirs.read(compared.end) - ours.read(compared.end);
        prop_assert!(estimate.abs_diff(at_end) <= uncertainty + drifted);
        // Without the reply of each request there is no estimate, rather than a worse one.
        prop_assert_eq!(compare(ours, theirs, &trips[..lost]).estimate, None);
    }
}
