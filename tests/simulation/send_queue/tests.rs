//! The send queue in detail that the contract tests cannot observe: sizes, steps and times to the byte.

use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SocketId};
use crate::rng::Rng;
use echoloop::net::{Key, Readiness, Ready, Source};
use std::time::Duration;

/// A connection with these buffers: the network, the client's socket and the server's socket.
fn pair(window: usize, send_buffer: usize, notsent_lowat: usize) -> (Network, SocketId, SocketId) {
    let mut network = Network::new(Rng::new(1), Faults::default(), false);
    network.window = window;
    network.kernel.send_buffer = send_buffer;
    network.kernel.notsent_lowat = notsent_lowat;
    network.listen(Source::listener(0));
    let client = network.connect(0, 1).unwrap();
    let (servers, _) = network.accept(0).unwrap();
    network.sockets[servers].is_server_side = false;
    (network, client, servers)
}

/// Sends until the kernel accepts no more; returns the number of bytes accepted.
fn fill(network: &mut Network, id: SocketId) -> usize {
    let mut accepted = 0;
    loop {
        match network.send(id, &[7; 1000]) {
            0 => return accepted,
            count => accepted += count,
        }
    }
}

fn read(network: &mut Network, id: SocketId, count: usize) {
    assert_eq!(network.read(id, &mut vec![0; count]).unwrap(), count);
}

fn unacknowledged(network: &mut Network, id: SocketId) -> u64 {
    network.program_progress(id).unwrap().unacknowledged
}

/// Whether a writable edge is reported now.
fn has_writable_edge(network: &mut Network) -> bool {
    let mut ready: Vec<Ready> = Vec::new();
    network.wait(0, Some(0), &mut ready);
    let writable = Readiness::WRITABLE;
    ready.iter().any(|event| event.readiness.contains(writable))
}

#[test]
fn kernel_accepts_a_window_plus_a_send_buffer() {
    let (mut network, client, servers) = pair(100, 60, usize::MAX);
    assert_eq!(
        network.send(servers, &[7; 1000]),
        60,
        "one buffer at a time"
    );
    assert_eq!(fill(&mut network, servers), 100);
    assert_eq!(network.sockets[client].receive_queue.len(), 100);
    assert_eq!(unacknowledged(&mut network, servers), 60);
}

#[test]
fn unsent_bytes_are_limited_to_the_lowat() {
    let (mut network, _, servers) = pair(100, 60, 25);
    assert_eq!(fill(&mut network, servers), 125);
    assert_eq!(unacknowledged(&mut network, servers), 25);
}

#[test]
fn write_without_send_buffer_is_acknowledged_at_once() {
    let (mut network, _, servers) = pair(100, 0, usize::MAX);
    assert_eq!(fill(&mut network, servers), 100);
    assert_eq!(unacknowledged(&mut network, servers), 0);
}

#[test]
fn stream_is_writable_below_half_of_the_lowat() {
    let (mut network, client, servers) = pair(100, 1000, 40);
    fill(&mut network, servers);
    network.register(0, servers, Key { slot: 7, serial: 1 }, true);
    assert!(!has_writable_edge(&mut network));
    read(&mut network, client, 20);
    assert_eq!(unacknowledged(&mut network, servers), 20);
    assert!(
        !has_writable_edge(&mut network),
        "exactly half of the lowat"
    );
    assert_eq!(network.send_space(servers), 20, "a write is accepted");
    read(&mut network, client, 1);
    assert!(has_writable_edge(&mut network));
}

#[test]
fn stream_is_writable_when_a_third_of_the_buffer_is_free() {
    let (mut network, client, servers) = pair(100, 60, usize::MAX);
    fill(&mut network, servers);
    network.register(0, servers, Key { slot: 7, serial: 1 }, true);
    read(&mut network, client, 18);
    assert!(!has_writable_edge(&mut network));
    read(&mut network, client, 2);
    assert!(has_writable_edge(&mut network));
}

#[test]
fn full_send_buffer_of_one_byte_is_not_writable() {
    let (mut network, client, servers) = pair(1, 1, usize::MAX);
    assert_eq!(fill(&mut network, servers), 2);
    assert!(!network.is_writable(servers));
    read(&mut network, client, 1);
    assert!(network.is_writable(servers));
}

#[test]
fn window_opens_by_a_segment_or_half_a_buffer() {
    for (segment, step) in [(0, 1), (10, 10), (1000, 50)] {
        let (mut network, client, servers) = pair(100, 200, usize::MAX);
        network.kernel.segment = segment;
        assert_eq!(fill(&mut network, servers), 300);
        for byte in 1..=step {
            assert_eq!(unacknowledged(&mut network, servers), 200, "byte {byte}");
            read(&mut network, client, 1);
        }
        assert_eq!(unacknowledged(&mut network, servers), 200 - step as u64);
    }
}

#[test]
fn fin_waits_for_the_last_byte_and_a_window() {
    let (mut network, client, servers) = pair(100, 50, usize::MAX);
    fill(&mut network, servers);
    network.send_fin(servers);
    read(&mut network, client, 50);
    assert_eq!(unacknowledged(&mut network, servers), 0);
    assert!(!network.sockets[client].fin_arrived, "the window is full");
    read(&mut network, client, 1);
    assert!(network.sockets[client].fin_arrived);
}

#[test]
fn urgent_mark_arrives_with_its_byte() {
    let (mut network, client, servers) = pair(100, 50, usize::MAX);
    assert_eq!(network.send(servers, &[7; 50]), 50);
    assert_eq!(network.send(servers, &[7; 50]), 50);
    assert_eq!(network.send(servers, &[7; 10]), 10);
    network.mark_urgent(servers);
    assert_eq!(network.send(servers, b"X"), 1);
    assert!(!network.sockets[client].has_urgent_mark());
    read(&mut network, client, 10);
    assert!(!network.sockets[client].has_urgent_mark());
    read(&mut network, client, 1);
    assert!(network.sockets[client].has_urgent_mark());
    assert_eq!(network.read(client, &mut [0; 200]).unwrap(), 99);
    assert_eq!(network.read(client, &mut [0; 200]).unwrap(), 1);
}

#[test]
fn progress_is_measured_from_the_last_byte_each_way() {
    let (mut network, client, servers) = pair(100, 50, usize::MAX);
    network.now = 5 * MILLISECOND;
    fill(&mut network, servers);
    network.now = 7 * MILLISECOND;
    network.send(client, b"input");
    network.now = 10 * MILLISECOND;
    let progress = network.program_progress(servers).unwrap();
    assert_eq!(progress.since_acknowledged, Duration::from_millis(5));
    assert_eq!(progress.since_received, Duration::from_millis(3));
    read(&mut network, client, 1);
    let progress = network.program_progress(servers).unwrap();
    assert_eq!(progress.since_acknowledged, Duration::ZERO);
}

#[test]
fn false_progress_never_exceeds_the_true_time() {
    let (mut network, _, servers) = pair(100, 50, usize::MAX);
    fill(&mut network, servers);
    network.now = 8;
    network.faults.progress_hidden = 500;
    let mut reported = [0; 9];
    for _ in 0..1000 {
        let progress = network.program_progress(servers).unwrap();
        reported[progress.since_acknowledged.as_nanos() as usize] += 1;
    }
    assert!(reported[8] > 400, "{reported:?}");
    assert!(reported[..8].iter().all(|count| *count > 0), "{reported:?}");
}

#[test]
fn progress_is_unknown_without_sock_diag_or_after_a_reset() {
    let (mut network, client, servers) = pair(100, 50, usize::MAX);
    network.kernel.hides_progress = true;
    assert_eq!(network.program_progress(servers), None);
    network.kernel.hides_progress = false;
    assert!(network.program_progress(servers).is_some());
    network.close(client, true);
    assert_eq!(network.program_progress(servers), None);
}

#[test]
fn own_reset_discards_a_fin_that_waits_for_window() {
    let (mut network, client, servers) = pair(100, 50, usize::MAX);
    fill(&mut network, servers);
    network.send_fin(servers);
    network.close(servers, true);
    read(&mut network, client, 100);
    assert!(!network.sockets[client].fin_arrived);
    assert!(network.read(client, &mut [0]).is_err());
}
