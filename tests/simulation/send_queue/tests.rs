//! The send queue step by step, where the contract tests cannot look: sizes, steps and times to the byte.

use crate::faults::Faults;
use crate::rng::Rng;
use crate::world::{MILLISECOND, SocketId, World};
use echoloop::net::{Key, Readiness, Ready, Source};
use std::time::Duration;

/// A connection with these buffers: the world, the client's end, and the server's.
fn pair(window: usize, send_buffer: usize, notsent_lowat: usize) -> (World, SocketId, SocketId) {
    let mut world = World::new(Rng::new(1), Faults::default(), false);
    world.window = window;
    world.kernel.send_buffer = send_buffer;
    world.kernel.notsent_lowat = notsent_lowat;
    world.listen(Source::listener(0));
    let client = world.connect(0, 1).unwrap();
    let (servers, _) = world.accept(0).unwrap();
    world.sockets[servers].is_server_side = false;
    (world, client, servers)
}

/// Sends until nothing more is taken; returns how much was.
fn fill(world: &mut World, id: SocketId) -> usize {
    let mut taken = 0;
    loop {
        match world.send(id, &[7; 1000]) {
            0 => return taken,
            count => taken += count,
        }
    }
}

fn read(world: &mut World, id: SocketId, count: usize) {
    assert_eq!(world.read(id, &mut vec![0; count]).unwrap(), count);
}

fn unacknowledged(world: &mut World, id: SocketId) -> u64 {
    world.program_progress(id).unwrap().unacknowledged
}

/// Whether a writable edge is reported now.
fn is_told(world: &mut World) -> bool {
    let mut ready: Vec<Ready> = Vec::new();
    world.wait(0, Some(0), &mut ready);
    let writable = Readiness::WRITABLE;
    ready.iter().any(|event| event.readiness.contains(writable))
}

#[test]
fn the_kernel_takes_a_window_and_a_send_buffer() {
    let (mut world, client, servers) = pair(100, 60, usize::MAX);
    assert_eq!(world.send(servers, &[7; 1000]), 60, "one buffer at a time");
    assert_eq!(fill(&mut world, servers), 100);
    assert_eq!(world.sockets[client].receive_queue.len(), 100);
    assert_eq!(unacknowledged(&mut world, servers), 60);
}

#[test]
fn no_more_than_the_lowat_is_unsent() {
    let (mut world, _, servers) = pair(100, 60, 25);
    assert_eq!(fill(&mut world, servers), 125);
    assert_eq!(unacknowledged(&mut world, servers), 25);
}

#[test]
fn without_a_send_buffer_a_write_is_acknowledged_at_once() {
    let (mut world, _, servers) = pair(100, 0, usize::MAX);
    assert_eq!(fill(&mut world, servers), 100);
    assert_eq!(unacknowledged(&mut world, servers), 0);
}

#[test]
fn room_is_reported_below_half_of_the_lowat() {
    let (mut world, client, servers) = pair(100, 1000, 40);
    fill(&mut world, servers);
    world.register(0, servers, Key { slot: 7, serial: 1 }, true);
    assert!(!is_told(&mut world));
    read(&mut world, client, 20);
    assert_eq!(unacknowledged(&mut world, servers), 20);
    assert!(!is_told(&mut world), "half of it is not below");
    assert_eq!(world.send_room(servers), 20, "though a write takes some");
    read(&mut world, client, 1);
    assert!(is_told(&mut world));
}

#[test]
fn room_is_reported_when_a_third_of_the_buffer_is_free() {
    let (mut world, client, servers) = pair(100, 60, usize::MAX);
    fill(&mut world, servers);
    world.register(0, servers, Key { slot: 7, serial: 1 }, true);
    read(&mut world, client, 18);
    assert!(!is_told(&mut world));
    read(&mut world, client, 2);
    assert!(is_told(&mut world));
}

#[test]
fn a_full_send_buffer_of_one_byte_is_not_writable() {
    let (mut world, client, servers) = pair(1, 1, usize::MAX);
    assert_eq!(fill(&mut world, servers), 2);
    assert!(!world.is_writable(servers));
    read(&mut world, client, 1);
    assert!(world.is_writable(servers));
}

#[test]
fn the_window_opens_by_a_segment_or_half_a_buffer() {
    for (segment, step) in [(0, 1), (10, 10), (1000, 50)] {
        let (mut world, client, servers) = pair(100, 200, usize::MAX);
        world.kernel.segment = segment;
        assert_eq!(fill(&mut world, servers), 300);
        for byte in 1..=step {
            assert_eq!(unacknowledged(&mut world, servers), 200, "byte {byte}");
            read(&mut world, client, 1);
        }
        assert_eq!(unacknowledged(&mut world, servers), 200 - step as u64);
    }
}

#[test]
fn fin_waits_for_the_last_byte_and_a_window() {
    let (mut world, client, servers) = pair(100, 50, usize::MAX);
    fill(&mut world, servers);
    world.send_fin(servers);
    read(&mut world, client, 50);
    assert_eq!(unacknowledged(&mut world, servers), 0);
    assert!(!world.sockets[client].fin_arrived, "the window is full");
    read(&mut world, client, 1);
    assert!(world.sockets[client].fin_arrived);
}

#[test]
fn an_urgent_mark_arrives_with_its_byte() {
    let (mut world, client, servers) = pair(100, 50, usize::MAX);
    assert_eq!(world.send(servers, &[7; 50]), 50);
    assert_eq!(world.send(servers, &[7; 50]), 50);
    assert_eq!(world.send(servers, &[7; 10]), 10);
    world.mark_urgent(servers);
    assert_eq!(world.send(servers, b"X"), 1);
    assert!(!world.sockets[client].has_urgent_mark());
    read(&mut world, client, 10);
    assert!(!world.sockets[client].has_urgent_mark());
    read(&mut world, client, 1);
    assert!(world.sockets[client].has_urgent_mark());
    assert_eq!(world.read(client, &mut [0; 200]).unwrap(), 99);
    assert_eq!(world.read(client, &mut [0; 200]).unwrap(), 1);
}

#[test]
fn progress_counts_from_the_last_byte_each_way() {
    let (mut world, client, servers) = pair(100, 50, usize::MAX);
    world.now = 5 * MILLISECOND;
    fill(&mut world, servers);
    world.now = 7 * MILLISECOND;
    world.send(client, b"input");
    world.now = 10 * MILLISECOND;
    let progress = world.program_progress(servers).unwrap();
    assert_eq!(progress.since_acknowledged, Duration::from_millis(5));
    assert_eq!(progress.since_received, Duration::from_millis(3));
    read(&mut world, client, 1);
    let progress = world.program_progress(servers).unwrap();
    assert_eq!(progress.since_acknowledged, Duration::ZERO);
}

#[test]
fn hidden_progress_is_never_more_than_the_truth() {
    let (mut world, _, servers) = pair(100, 50, usize::MAX);
    fill(&mut world, servers);
    world.now = 8;
    world.faults.progress_hidden = 500;
    let mut reported = [0; 9];
    for _ in 0..1000 {
        let progress = world.program_progress(servers).unwrap();
        reported[progress.since_acknowledged.as_nanos() as usize] += 1;
    }
    assert!(reported[8] > 400, "{reported:?}");
    assert!(reported[..8].iter().all(|count| *count > 0), "{reported:?}");
}

#[test]
fn progress_is_unknown_without_sock_diag_and_after_the_end() {
    let (mut world, client, servers) = pair(100, 50, usize::MAX);
    world.kernel.hides_progress = true;
    assert_eq!(world.program_progress(servers), None);
    world.kernel.hides_progress = false;
    assert!(world.program_progress(servers).is_some());
    world.close(client, true);
    assert_eq!(world.program_progress(servers), None);
}

#[test]
fn our_reset_behind_a_waiting_fin_lets_no_fin_through() {
    let (mut world, client, servers) = pair(100, 50, usize::MAX);
    fill(&mut world, servers);
    world.send_fin(servers);
    world.close(servers, true);
    read(&mut world, client, 100);
    assert!(!world.sockets[client].fin_arrived);
    assert!(world.read(client, &mut [0]).is_err());
}
