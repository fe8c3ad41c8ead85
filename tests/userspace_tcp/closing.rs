//! FIN and RST from either side.

use crate::established::{SERVER, established, exchange};
use crate::wire::{ACK, FIN, RST};
use echoloop::userspace::{Ended, State};
use std::time::Duration;

#[test]
fn fin_of_the_server_is_answered_with_fin_and_reported() {
    let (mut checked, una) = established();
    let end = exchange(&mut checked, (SERVER, una, ACK | FIN), b"bye");
    assert_eq!(end.0, [(ACK | FIN, una, SERVER + 4)]);
    assert_eq!((&end.1[..], end.2), (&b"bye"[..], Some(Ended::Fin)));
    // The server retransmits its FIN.
    let again = exchange(&mut checked, (SERVER + 3, una, ACK | FIN), b"");
    assert_eq!(again, (vec![(ACK, una + 1, SERVER + 4)], vec![], None));
    let last = exchange(&mut checked, (SERVER + 4, una + 1, ACK), b"");
    assert_eq!(last, (vec![], vec![], None));
    assert_eq!(checked.tcp.variables(0).state, State::Closed);
    assert_eq!(checked.tcp.in_flight(), 0);
}

#[test]
fn fin_with_bytes_in_flight_follows_the_bytes() {
    let (mut checked, una) = established();
    assert!(checked.send(0, b"hello"));
    let end = exchange(&mut checked, (SERVER, una, ACK | FIN), b"");
    assert_eq!(end.0, [(ACK | FIN, una + 5, SERVER + 1)]);
    // A timeout retransmits both, then the server acknowledges the bytes alone, then the FIN.
    assert_eq!(checked.advance(Duration::from_secs(1)), []);
    assert_eq!(checked.tcp.counters().retransmits, 1);
    exchange(&mut checked, (SERVER + 1, una + 5, ACK), b"");
    assert_eq!(checked.tcp.variables(0).state, State::LastAck);
    exchange(&mut checked, (SERVER + 1, una + 6, ACK), b"");
    assert_eq!(checked.tcp.variables(0).state, State::Closed);
}

#[test]
fn fin_after_a_gap_is_not_processed() {
    let (mut checked, una) = established();
    let early = exchange(&mut checked, (SERVER + 3, una, ACK | FIN), b"");
    assert_eq!(early, (vec![(ACK, una, SERVER)], vec![], None));
    assert!(checked.tcp.is_established(0));
}

#[test]
fn close_ends_with_the_fin_of_the_server() {
    let (mut checked, una) = established();
    assert_eq!(checked.close(0).len(), 1);
    assert_eq!(checked.tcp.variables(0).state, State::FinWait1);
    exchange(&mut checked, (SERVER, una + 1, ACK), b"");
    assert_eq!(checked.tcp.variables(0).state, State::FinWait2);
    // Bytes that were under way.
    let late = exchange(&mut checked, (SERVER, una + 1, ACK), b"late");
    assert_eq!((late.1, late.2), (b"late".to_vec(), None));
    let end = exchange(&mut checked, (SERVER + 4, una + 1, ACK | FIN), b"");
    let ack = (ACK, una + 1, SERVER + 5);
    assert_eq!(end, (vec![ack], vec![], Some(Ended::Closed)));
    assert_eq!(checked.tcp.in_flight(), 0);
    // TIME-WAIT: the acknowledgment was lost.
    let again = exchange(&mut checked, (SERVER + 4, una + 1, ACK | FIN), b"");
    assert_eq!(again, (vec![ack], vec![], None));
    assert!(checked.connect(0).is_some());
}

#[test]
fn both_sides_close_at_the_same_time() {
    let (mut checked, una) = established();
    checked.close(0);
    let fin = exchange(&mut checked, (SERVER, una, ACK | FIN), b"");
    assert_eq!(fin, (vec![(ACK, una + 1, SERVER + 1)], vec![], None));
    assert_eq!(checked.tcp.variables(0).state, State::Closing);
    let end = exchange(&mut checked, (SERVER + 1, una + 1, ACK), b"");
    assert_eq!(end.2, Some(Ended::Closed));
    assert_eq!(checked.tcp.variables(0).state, State::TimeWait);
}

#[test]
fn acknowledgment_and_fin_in_one_segment_close() {
    let (mut checked, una) = established();
    checked.close(0);
    let end = exchange(&mut checked, (SERVER, una + 1, ACK | FIN), b"");
    assert_eq!(end.2, Some(Ended::Closed));
    assert_eq!(checked.tcp.in_flight(), 0);
}

#[test]
fn missing_fin_of_the_server_closes_after_the_limit() {
    let (mut checked, una) = established();
    checked.close(0);
    exchange(&mut checked, (SERVER, una + 1, ACK), b"");
    let sent = checked.tcp.counters().sent;
    assert_eq!(checked.advance(Duration::from_secs(19)), []);
    assert_eq!(
        checked.advance(Duration::from_secs(1)),
        [(0, Ended::Closed)]
    );
    assert_eq!(checked.tcp.counters().sent, sent);
}

#[test]
fn rst_while_closing_is_reported_once() {
    let (mut checked, una) = established();
    checked.close(0);
    let reset = exchange(&mut checked, (SERVER, una, RST), b"");
    assert_eq!(reset.2, Some(Ended::Reset));

    let (mut checked, una) = established();
    let end = exchange(&mut checked, (SERVER, una, ACK | FIN), b"");
    assert_eq!(end.2, Some(Ended::Fin));
    let reset = exchange(&mut checked, (SERVER + 1, una, RST), b"");
    assert_eq!(reset, (vec![], vec![], None));
    assert_eq!(checked.tcp.variables(0).state, State::Closed);
}

#[test]
fn reset_sends_rst_if_the_server_has_the_connection() {
    let (mut checked, una) = established();
    assert!(checked.send(0, b"hello"));
    let sent = checked.reset(0);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].flags, sent[0].seq, sent[0].ack),
        (RST | ACK, una + 5, SERVER)
    );
    assert_eq!(checked.tcp.in_flight(), 0);
    assert_eq!(checked.reset(0), []);
    checked.connect(0);
    assert_eq!(checked.reset(0), [], "RFC 9293, 3.10.5: none in SYN-SENT");
    assert_eq!(checked.tcp.in_flight(), 0);
}
