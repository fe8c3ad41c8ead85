//! Comparing two clocks: that of this machine and that of a server with the `clock` protocol.
//!
//! As in NTP (RFC 5905), the server's time is compared with the midpoint between request and reply. The error is at most
//! half of the round trip, so of many round trips the shortest counts.

use super::connector::{Connector, Target};
use super::failure::Failure;
use crate::connection::{
    CloseReason, Closed, Common, Connections, Driver, Limits, Owner, Timeouts,
};
use crate::net::{Key, Net};
use crate::protocol::{CLOCK_MESSAGE, Context, Finish, Outbox, Protocol, Session};
use crate::reactor::Reactor;
use crate::time::in_units;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

/// The number of round trips.
const ROUND_TRIPS: u32 = 50;

/// Polling without sleeping keeps the wake-up of this process out of the round trip.
const SPIN: Duration = Duration::from_micros(500);

/// A request. As a time it is in the year 2554, so a server that echoes is detected.
const REQUEST: [u8; CLOCK_MESSAGE] = [0xff; CLOCK_MESSAGE];

/// The offset of another machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// The server.
    pub server: SocketAddr,
    /// The time of the server minus the time of this machine.
    pub nanoseconds: i64,
    /// The error is at most this.
    pub uncertainty: Duration,
}

/// Compares the clock that `read` reads, as the time since 1970-01-01 00:00 UTC, with that of `target`. The connect
/// timeout is also that of a reply.
///
/// # Errors
/// No address accepts a connection, the server does not reply as a clock, or the event loop fails.
pub fn compare_clocks<N: Net>(
    net: N,
    target: Target,
    read: impl FnMut() -> Duration,
) -> Result<ClockOffset, Failure> {
    let timeout = target.connect_timeout;
    let timeouts = Timeouts {
        idle: timeout,
        stall: timeout,
        connect: timeout,
        handshake: timeout,
    };
    let name = target.name.clone();
    let mut reactor = Reactor::new(net, timeouts.by_class(), SPIN);
    let mut comparison = Comparison {
        driver: Driver::new(Common::new(
            Requests::new(read),
            Limits::default(),
            usize::MAX,
        )),
        connector: Connector::new(target),
        timeout: timeout.unwrap_or_default(),
        name,
        result: None,
    };
    comparison.connect(&mut reactor);
    loop {
        if let Some(result) = comparison.result {
            return result;
        }
        comparison
            .run_iteration(&mut reactor)
            .map_err(Failure::Loop)?;
    }
}

/// The requests, and the shortest round trip so far.
struct Requests<F> {
    read: F,
    is_established: bool,
    left: u32,
    sent_at: Duration,
    last_time: u64,
    /// Its length, and the offset that it gave in nanoseconds.
    shortest: Option<(Duration, i64)>,
    fault: Option<&'static str>,
}

impl<F: FnMut() -> Duration> Requests<F> {
    fn new(read: F) -> Self {
        Requests {
            read,
            is_established: false,
            left: ROUND_TRIPS,
            sent_at: Duration::ZERO,
            last_time: 0,
            shortest: None,
            fault: None,
        }
    }

    fn send(&mut self, outbox: &mut Outbox<'_>) {
        self.sent_at = (self.read)();
        outbox.write(&REQUEST);
    }

    /// Processes a reply; the error is what is wrong with it.
    fn process(&mut self, reply: [u8; CLOCK_MESSAGE]) -> Result<(), &'static str> {
        let received_at = (self.read)();
        if reply == REQUEST {
            return Err("it echoes the request");
        }
        let time = u64::from_be_bytes(reply);
        if time < self.last_time {
            return Err("its replies are not increasing times");
        }
        self.last_time = time;
        self.left -= 1;
        // If this machine's clock was set back meanwhile, there is no round trip.
        if let Some(length) = received_at.checked_sub(self.sent_at) {
            let midpoint = (self.sent_at + length / 2).as_nanos();
            let offset = i128::from(time) - i128::try_from(midpoint).unwrap_or(i128::MAX);
            let offset = i64::try_from(offset).map_err(|_| "its time is out of range")?;
            let shortest = self.shortest.get_or_insert((length, offset));
            if length < shortest.0 {
                *shortest = (length, offset);
            }
        }
        Ok(())
    }

    /// The offset in nanoseconds and its uncertainty, after all round trips.
    fn estimate(&self) -> Option<(i64, Duration)> {
        let (length, offset) = self.shortest.filter(|_| self.left == 0)?;
        // Rounded up.
        Some((offset, (length + Duration::from_nanos(1)) / 2))
    }
}

/// The session of [`Requests`]. It has no state.
struct RequestSession<F>(PhantomData<fn(Requests<F>)>);

impl<F: FnMut() -> Duration> Protocol for Requests<F> {
    type Session = RequestSession<F>;

    fn name(&self) -> &'static str {
        "clock"
    }

    fn session(&mut self) -> RequestSession<F> {
        RequestSession(PhantomData)
    }
}

impl<F: FnMut() -> Duration> Session for RequestSession<F> {
    type Shared = Requests<F>;

    fn open(&mut self, context: Context<'_, Requests<F>>, outbox: &mut Outbox<'_>) {
        context.shared.is_established = true;
        context.shared.send(outbox);
    }

    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, Requests<F>>,
        outbox: &mut Outbox<'_>,
    ) -> usize {
        let requests = context.shared;
        let processed = match input.split_first_chunk() {
            None => return 0,
            Some((reply, [])) => requests.process(*reply),
            Some(_) => Err("its reply is longer than 8 bytes"),
        };
        match processed {
            Ok(()) if requests.left > 0 => requests.send(outbox),
            Ok(()) => outbox.finish(Finish::Done),
            Err(fault) => {
                requests.fault = Some(fault);
                outbox.finish(Finish::Malformed);
            }
        }
        input.len()
    }
}

struct Comparison<F: FnMut() -> Duration> {
    driver: Driver<Requests<F>>,
    connector: Connector,
    timeout: Duration,
    name: String,
    result: Option<Result<ClockOffset, Failure>>,
}

impl<F: FnMut() -> Duration> Comparison<F> {
    fn connect<N: Net>(&mut self, reactor: &mut Connections<N, Requests<F>>) {
        if let Err(failure) = self.connector.connect_next(&mut self.driver, reactor) {
            self.result = Some(Err(failure));
        }
    }

    /// The result, once the connection has closed.
    fn conclude(&self, closed: &Closed) -> Result<ClockOffset, Failure> {
        let requests = &self.driver.common.protocol;
        let estimate = requests.estimate();
        if let (Some((nanoseconds, uncertainty)), Some(server)) =
            (estimate, self.connector.address())
        {
            return Ok(ClockOffset {
                server,
                nanoseconds,
                uncertainty,
            });
        }
        let reason = match (requests.fault, closed.reason) {
            (Some(fault), _) => fault.to_owned(),
            (None, CloseReason::Idle | CloseReason::Stalled) => {
                format!("no reply within {}", in_units(self.timeout))
            }
            (None, CloseReason::PeerClosed) => "it closed the connection".to_owned(),
            (None, CloseReason::PeerReset) => "it reset the connection".to_owned(),
            (None, CloseReason::SessionDone) => {
                "the clock of this machine was set back meanwhile".to_owned()
            }
            (None, reason) => reason.to_string(),
        };
        Err(Failure::Clock {
            name: self.name.clone(),
            reason,
        })
    }
}

impl<N: Net, F: FnMut() -> Duration> Owner<N, Requests<F>> for Comparison<F> {
    fn driver(&mut self) -> &mut Driver<Requests<F>> {
        &mut self.driver
    }

    fn closed(&mut self, reactor: &mut Connections<N, Requests<F>>, _: Key, closed: Closed) {
        if self.driver.common.protocol.is_established {
            self.result = Some(self.conclude(&closed));
        } else {
            self.connector.on_connect_error(closed);
            self.connect(reactor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests that are sent and answered at these times of this machine, with the server's time of each reply.
    fn compare(round_trips: &[(u64, u64, u64)]) -> (Requests<impl FnMut() -> Duration>, Vec<&str>) {
        let readings = round_trips
            .iter()
            .flat_map(|(sent, _, received)| [*sent, *received]);
        let mut readings = readings.collect::<Vec<_>>().into_iter();
        let mut requests = Requests::new(move || Duration::from_nanos(readings.next().unwrap()));
        let mut faults = Vec::new();
        for (_, time, _) in round_trips {
            let mut write_buffer = Vec::new();
            let mut outbox = Outbox::new(&mut write_buffer, 64);
            requests.send(&mut outbox);
            assert_eq!(outbox.bytes(), REQUEST);
            faults.extend(requests.process(time.to_be_bytes()).err());
        }
        (requests, faults)
    }

    #[test]
    fn shortest_round_trip_gives_the_offset_from_its_midpoint() {
        let trips = [
            (1_000, 500_000, 2_000),
            (3_000, 600_000, 3_100),
            (4_000, 700_000, 5_000),
        ];
        let (requests, faults) = compare(&trips);
        assert!(faults.is_empty(), "{faults:?}");
        let offset = 600_000 - 3_050;
        assert_eq!(requests.shortest, Some((Duration::from_nanos(100), offset)));
        assert_eq!(requests.left, ROUND_TRIPS - 3);
        let (behind, _) = compare(&[(5_000, 10, 5_010)]);
        assert_eq!(
            behind.shortest,
            Some((Duration::from_nanos(10), 10 - 5_005))
        );
    }

    #[test]
    fn round_trip_of_a_clock_that_was_set_back_does_not_count() {
        let (requests, faults) = compare(&[(9_000, 100, 8_000), (8_500, 200, 8_600)]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(
            requests.shortest,
            Some((Duration::from_nanos(100), 200 - 8_550))
        );
    }

    #[test]
    fn replies_of_other_servers_are_faults() {
        let (_, faults) = compare(&[(1, u64::MAX, 2)]);
        assert_eq!(faults, ["it echoes the request"]);
        let (_, faults) = compare(&[(1, 7, 2), (3, 6, 4)]);
        assert_eq!(faults, ["its replies are not increasing times"]);
        let (_, faults) = compare(&[(1, u64::MAX - 1, 2)]);
        assert_eq!(faults, ["its time is out of range"]);
    }
}

#[cfg(test)]
#[path = "clock_property.rs"]
mod property;
