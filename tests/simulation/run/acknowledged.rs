//! No deadline closes a connection whose peer acknowledges bytes.

use crate::world::World;
use echoloop::reactor::TICK;
use std::time::Duration;

/// After an iteration in which `closed` connections were closed as stalled, or as idle, and in which that takes
/// `timeout`: none of them had a byte acknowledged within the timeout.
///
/// It may be early by a tick, or an eighth of the timeout where that is less. Excused are runs in which the kernel has no account of progress, and connections that were over.
pub fn check_acknowledged(world: &World, closed: u64, timeout: Option<Duration>) {
    let mut due = 0;
    for &id in &world.closed {
        let end = &world.ends[id];
        let since = Duration::from_nanos(world.now - end.acknowledged_at);
        let has_account = !world.kernel.hides_progress && !end.is_over();
        // The acknowledgement follows the write that started the time, and the server's ticks are no finer.
        let is_due = timeout.is_some_and(|timeout| since + TICK.min(timeout / 8) >= timeout);
        due += u64::from(is_due || !has_account);
    }
    assert!(
        closed <= due,
        "{closed} closed by a timeout of {timeout:?}, {due} of them without a byte acknowledged for so long"
    );
}

mod tests {
    use super::check_acknowledged;
    use crate::faults::Faults;
    use crate::rng::Rng;
    use crate::world::{EndId, MILLISECOND, World};
    use echoloop::net::Source;
    use std::time::Duration;

    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(500));

    /// A connection whose peer has a window of 100 bytes, of which `read` were read at 1000 ms, and that was closed at
    /// 1400 ms with bytes unacknowledged.
    fn closed_at_deadline(read: usize) -> (World, EndId) {
        let mut world = World::new(Rng::new(1), Faults::default(), false);
        world.window = 100;
        world.kernel.send_buffer = 50;
        world.kernel.segment = 20;
        world.listen(Source::listener(0));
        let client = world.connect(0, 1).unwrap();
        let (servers, _) = world.accept(0).unwrap();
        // As if it had been told as much before.
        world.ends[servers].read = 150;
        for taken in [50, 50, 50, 0] {
            assert_eq!(world.send(servers, &[7; 50]), taken);
        }
        world.now = 1_000 * MILLISECOND;
        let mut buffer = vec![0; read];
        assert_eq!(world.read(client, &mut buffer).unwrap(), read);
        world.now = 1_400 * MILLISECOND;
        world.program_closes(servers, true);
        (world, servers)
    }

    #[test]
    fn closed_within_the_timeout_of_an_acknowledgement_is_found() {
        let (world, servers) = closed_at_deadline(20);
        assert_eq!(world.ends[servers].acknowledged_at, 1_000 * MILLISECOND);
        let found = std::panic::catch_unwind(|| check_acknowledged(&world, 1, TIMEOUT));
        assert!(found.is_err());
    }

    #[test]
    fn closed_without_an_acknowledgement_for_the_timeout_passes() {
        // What is read is less than a step of the window, so nothing was acknowledged.
        let (world, servers) = closed_at_deadline(19);
        assert_eq!(world.ends[servers].acknowledged_at, 0);
        check_acknowledged(&world, 1, TIMEOUT);
    }

    #[test]
    fn closed_for_another_reason_passes() {
        let (world, _) = closed_at_deadline(20);
        check_acknowledged(&world, 0, TIMEOUT);
    }

    #[test]
    fn closed_as_if_by_a_timeout_that_is_not_set_is_found() {
        let (world, _) = closed_at_deadline(19);
        let found = std::panic::catch_unwind(|| check_acknowledged(&world, 1, None));
        assert!(found.is_err());
    }

    #[test]
    fn closed_in_a_run_without_sock_diag_passes() {
        let (mut world, _) = closed_at_deadline(20);
        world.kernel.hides_progress = true;
        check_acknowledged(&world, 1, TIMEOUT);
    }
}
