//! Retransmissions and time limits.

use crate::checked::Checked;
use crate::established::{SERVER, established, exchange};
use crate::wire::ACK;
use echoloop::time::Time;
use echoloop::userspace::Ended;
use std::time::Duration;

/// When packets are sent until something ends, in seconds, and how it ends.
fn until_end(checked: &mut Checked) -> (Vec<u64>, Vec<(u32, Ended)>) {
    let mut times = Vec::new();
    loop {
        let deadline = checked.tcp.next_deadline().unwrap();
        let sent = checked.tcp.counters().sent;
        let ended = checked.advance(deadline.since(checked.now));
        if checked.tcp.counters().sent > sent {
            times.push(checked.now.since(Time::ZERO).as_secs());
        }
        if !ended.is_empty() {
            return (times, ended);
        }
    }
}

#[test]
fn syn_is_retransmitted_until_the_limit() {
    let mut checked = Checked::new(false, 1);
    checked.connect(2);
    let (times, ended) = until_end(&mut checked);
    assert_eq!((times, ended), (vec![1, 3, 7], vec![(2, Ended::TimedOut)]));
    assert_eq!(checked.now.since(Time::ZERO).as_secs(), 10);
    assert_eq!(checked.tcp.counters().syn_retransmits, 3);
    assert_eq!(checked.tcp.next_deadline(), None);
}

#[test]
fn bytes_are_retransmitted_until_the_limit() {
    let (mut checked, _) = established();
    assert!(checked.send(0, b"hello"));
    let (times, ended) = until_end(&mut checked);
    assert_eq!(times, [1, 3, 7, 15]);
    assert_eq!(ended, [(0, Ended::Unacknowledged)]);
    assert_eq!(checked.now.since(Time::ZERO).as_secs(), 20);
    assert_eq!(checked.tcp.counters().retransmits, 4);
}

#[test]
fn closed_window_is_probed_with_the_bytes() {
    let (mut checked, una) = established();
    assert!(checked.send(0, b"hello"));
    // A server with a window of zero acknowledges no byte. Its acknowledgments do not end the retransmissions.
    checked.advance(Duration::from_secs(1));
    exchange(&mut checked, (SERVER, una, ACK), b"");
    assert_eq!(
        checked.tcp.next_deadline(),
        Some(Time::ZERO + Duration::from_secs(3))
    );
    // It opens its window.
    checked.advance(Duration::from_secs(2));
    exchange(&mut checked, (SERVER, una + 5, ACK), b"");
    assert_eq!(checked.tcp.next_deadline(), None);
}

#[test]
fn partial_acknowledgment_restarts_the_timers() {
    let (mut checked, una) = established();
    assert!(checked.send(0, b"hello"));
    checked.advance(Duration::from_secs(15));
    exchange(&mut checked, (SERVER, una + 2, ACK), b"");
    let (times, ended) = until_end(&mut checked);
    assert_eq!(times, [16, 18, 22, 30]);
    assert_eq!(ended, [(0, Ended::Unacknowledged)]);
    assert_eq!(checked.now.since(Time::ZERO).as_secs(), 35);
}

#[test]
fn fin_is_retransmitted_until_the_limit() {
    let (mut checked, _) = established();
    checked.close(0);
    let (times, ended) = until_end(&mut checked);
    assert_eq!(times, [1, 3, 7, 15]);
    assert_eq!(ended, [(0, Ended::Unacknowledged)]);
}

#[test]
fn several_ends_are_returned_one_by_one() {
    let mut checked = Checked::new(false, 1);
    for connection in 0..4 {
        checked.connect(connection);
    }
    assert_eq!(checked.tcp.in_flight(), 4);
    let mut ended = checked.advance(Duration::from_secs(10));
    ended.sort_by_key(|(connection, _)| *connection);
    let expected: Vec<_> = (0..4)
        .map(|connection| (connection, Ended::TimedOut))
        .collect();
    assert_eq!(ended, expected);
}
