//! Opening against a simulated server.

use super::*;
use proptest::prelude::*;

const TIMEOUT: Duration = Duration::from_secs(10);

fn connector(total: u32, ramp: Option<f64>) -> Connector {
    Connector::new(total, None, ramp, TIMEOUT, Time::ZERO)
}

fn invisible() -> Option<AcceptQueue> {
    None
}

/// A listener on the same machine, which accepts after one pause after another.
#[derive(Debug)]
struct Listener {
    backlog: u32,
    length: u32,
    longest: u32,
    pauses: Vec<Duration>,
    accepts: usize,
    accepts_at: Time,
}

impl Listener {
    fn new(backlog: u32, pauses_us: &[u64]) -> Listener {
        let pauses: Vec<_> = pauses_us
            .iter()
            .copied()
            .map(Duration::from_micros)
            .collect();
        Listener {
            backlog,
            length: 0,
            longest: 0,
            accepts: 0,
            accepts_at: Time::ZERO + pauses[0],
            pauses,
        }
    }

    fn accept_until(&mut self, now: Time) {
        while self.accepts_at <= now && self.length > 0 {
            self.length -= 1;
            self.accepts += 1;
            self.accepts_at = self.accepts_at + self.pauses[self.accepts % self.pauses.len()];
        }
        if self.length == 0 {
            self.accepts_at = self.accepts_at.max(now);
        }
    }

    /// The time that the server needs to accept this many.
    fn time_for(&self, count: u32) -> Duration {
        (0..count as usize)
            .map(|index| self.pauses[index % self.pauses.len()])
            .sum()
    }

    fn queue(&self) -> AcceptQueue {
        AcceptQueue::new(self.length, self.backlog)
    }
}

/// Opens all connections; `delays` is how many iterations later each is established. Returns when it is done.
fn open(connector: &mut Connector, server: &mut Listener, delays: &[usize]) -> Time {
    let mut now = Time::ZERO;
    let mut delays = delays.iter().copied().cycle();
    let mut handshakes: Vec<(usize, u32)> = Vec::new();
    while !connector.is_done(now) {
        server.accept_until(now);
        for (delay, _) in &mut handshakes {
            *delay = delay.saturating_sub(1);
        }
        for (_, number) in handshakes.extract_if(.., |(delay, _)| *delay == 0) {
            server.length += 1;
            server.longest = server.longest.max(server.length);
            connector.on_established(number, now);
        }
        assert!(
            !connector.plan(now, || Some(server.queue())),
            "the server accepts"
        );
        while let Some(number) = connector.next(now) {
            connector.on_started(now);
            handshakes.push((delays.next().unwrap(), number));
        }
        let step = now + Duration::from_micros(10);
        let wake_at = connector.wake_at().unwrap_or(step);
        now = if handshakes.is_empty() {
            wake_at.max(step)
        } else {
            step
        };
    }
    now
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The accept queue never overflows, all connections are opened, and the server has rarely nothing to accept.
    #[test]
    fn accept_queue_never_overflows_and_is_never_short(
        total in 1_u32..2000,
        backlog in 0_u32..300,
        pauses in proptest::collection::vec(0_u64..3000, 1..20),
        delays in proptest::collection::vec(0_usize..4, 1..20),
    ) {
        let mut server = Listener::new(backlog, &pauses);
        let mut connector = connector(total, None);
        let end = open(&mut connector, &mut server, &delays);
        prop_assert_eq!(connector.next, total);
        prop_assert_eq!((server.length, connector.acceptance.accepted()), (0, total));
        // The queue holds one more than the backlog.
        prop_assert!(server.longest <= backlog + 1, "{} of {backlog}", server.longest);
        // A wait for room is at most as long again, and a handshake takes at most 40 us.
        let most = server.time_for(total) * 2 + Duration::from_micros(250) * total + Duration::from_millis(60);
        prop_assert!(end.since(Time::ZERO) <= most, "{end:?}, at most {most:?}");
    }

    /// As the default of asyncio, whose server accepts up to 100 at once and then handles them.
    #[test]
    fn server_that_accepts_in_batches_is_not_delayed(handling_us in 1_000_u64..10_000) {
        let mut pauses = vec![0; 100];
        pauses[0] = handling_us;
        let mut server = Listener::new(100, &pauses);
        let end = open(&mut connector(5000, None), &mut server, &[0]);
        prop_assert!(server.longest <= 100);
        // A batch is at least what the queue holds beside its reserve, and the queue is read once a millisecond.
        let most = (Duration::from_micros(handling_us) + Duration::from_millis(1)) * (5000 / 88 + 1) + Duration::from_millis(100);
        prop_assert!(end.since(Time::ZERO) <= most, "{end:?}, at most {most:?}");
    }
}

#[test]
fn server_that_accepts_nothing_is_abandoned_after_the_timeout() {
    let mut connector = connector(100, None);
    let mut server = Listener::new(10, &[u64::MAX]);
    let (mut now, mut plans) = (Time::ZERO, 0);
    while !connector.plan(now, || Some(server.queue())) {
        while let Some(number) = connector.next(now) {
            connector.on_started(now);
            connector.on_established(number, now);
            server.length += 1;
        }
        now = connector.wake_at().unwrap();
        plans += 1;
    }
    assert_eq!(server.length, 9, "the queue was never full");
    assert!(now.since(Time::ZERO) >= TIMEOUT && now.since(Time::ZERO) < TIMEOUT * 11 / 10);
    assert!(plans < 10_100, "every millisecond: {plans}");
    assert!(connector.next(now).is_some(), "the rest is tried");
    let read_again = || panic!("the queue is read no longer");
    assert!(!connector.plan(now, read_again));
}

#[test]
fn invisible_queue_is_read_once() {
    let mut connector = connector(40, None);
    assert!(!connector.plan(Time::ZERO, invisible));
    assert!(!connector.knows_accepted());
    let mut now = Time::ZERO;
    while !connector.is_done(now) {
        while let Some(number) = connector.next(now) {
            connector.on_started(now);
            connector.on_established(number, now);
        }
        now = connector.wake_at().unwrap().max(now);
        connector.plan(now, || panic!("it is not visible"));
    }
    assert_eq!(connector.acceptance.accepted(), 40);
}

#[test]
fn ramp_delays_the_next_connect() {
    let mut connector = connector(10, Some(2.0));
    let half = Time::ZERO + Duration::from_millis(500);
    connector.plan(Time::ZERO, invisible);
    assert_eq!(connector.next(Time::ZERO), Some(0));
    connector.on_started(Time::ZERO);
    assert_eq!(connector.next(Time::ZERO), None);
    assert_eq!(connector.wake_at(), Some(half));
    connector.on_established(0, half);
    connector.plan(half, invisible);
    assert_eq!(connector.next(half), Some(1));
}

#[test]
fn cancel_rest_returns_how_many_were_left() {
    let mut connector = connector(10, None);
    connector.plan(Time::ZERO, invisible);
    connector.on_started(Time::ZERO);
    assert_eq!(connector.cancel_rest(), 9);
    connector.plan(Time::ZERO, invisible);
    assert_eq!(connector.wake_at(), None, "it is connecting");
    assert!(connector.on_closed(0));
    connector.plan(Time::ZERO, invisible);
    let end = connector.wake_at().unwrap();
    assert!(connector.is_done(end) && !connector.is_done(Time::ZERO));
    assert!(!connector.on_closed(0));
}

#[test]
fn connection_refused_after_it_was_accepted_is_not_held() {
    let mut connector = connector(8, None);
    connector.plan(Time::ZERO, || Some(AcceptQueue::new(0, 100)));
    for number in 0..8 {
        connector.on_started(Time::ZERO);
        connector.on_established(number, Time::ZERO);
    }
    let at = |millis| Time::ZERO + Duration::from_millis(millis);
    connector.plan(at(6), || Some(AcceptQueue::new(5, 100)));
    connector.plan(at(900), || Some(AcceptQueue::new(0, 100)));
    assert!(connector.is_held(2, at(901)) && !connector.is_held(3, at(901)));
    assert!(connector.is_held(7, at(1_400)));
}
