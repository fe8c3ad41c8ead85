//! The check that no timeout closes a connection whose peer acknowledges bytes.

use crate::network::Network;
use echoloop::reactor::TICK;
use std::time::Duration;

/// After an iteration that closed `closed` connections by the stall timeout, or by the idle timeout: none of them had a
/// byte acknowledged within `timeout`.
///
/// The close may be early by a tick or an eighth of the timeout, whichever is less. Exceptions are runs in which the
/// kernel does not report progress, and connections that were already closed.
pub fn check_acknowledged(network: &Network, closed: u64, timeout: Option<Duration>) {
    let mut due = 0;
    for &id in &network.closed {
        let socket = &network.sockets[id];
        let since = Duration::from_nanos(network.now - socket.acknowledged_at);
        let is_progress_reported = !network.kernel.hides_progress && !socket.is_over();
        // The acknowledgement follows the write that started the timeout, and deadlines are rounded to ticks.
        let is_due = timeout.is_some_and(|timeout| since + TICK.min(timeout / 8) >= timeout);
        due += u64::from(is_due || !is_progress_reported);
    }
    assert!(
        closed <= due,
        "{closed} connections closed by a timeout of {timeout:?}, but only {due} had no byte acknowledged for that time"
    );
}

mod tests {
    use super::check_acknowledged;
    use crate::faults::Faults;
    use crate::network::{MILLISECOND, Network, SocketId};
    use crate::rng::Rng;
    use echoloop::net::Source;
    use std::time::Duration;

    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(500));

    /// A connection whose peer has a window of 100 bytes and read `read` of them at 1000 ms. It was closed at 1400 ms
    /// with unacknowledged bytes.
    fn closed_at_deadline(read: usize) -> (Network, SocketId) {
        let mut network = Network::new(Rng::new(1), Faults::default(), false);
        network.window = 100;
        network.kernel.send_buffer = 50;
        network.kernel.segment = 20;
        network.listen(Source::listener(0));
        let client = network.connect(0, 1).unwrap();
        let (server, _) = network.accept(0).unwrap();
        // The bytes written below are replies to input of this length.
        network.sockets[server].read = 150;
        for accepted in [50, 50, 50, 0] {
            assert_eq!(network.send(server, &[7; 50]), accepted);
        }
        network.now = 1_000 * MILLISECOND;
        let mut buffer = vec![0; read];
        assert_eq!(network.read(client, &mut buffer).unwrap(), read);
        network.now = 1_400 * MILLISECOND;
        network.program_close(server, true);
        (network, server)
    }

    #[test]
    fn close_within_timeout_of_an_acknowledgement_fails() {
        let (network, server) = closed_at_deadline(20);
        assert_eq!(network.sockets[server].acknowledged_at, 1_000 * MILLISECOND);
        let checked = std::panic::catch_unwind(|| check_acknowledged(&network, 1, TIMEOUT));
        assert!(checked.is_err());
    }

    #[test]
    fn close_after_timeout_without_acknowledgement_passes() {
        // 19 bytes are less than a window update, so nothing was acknowledged.
        let (network, server) = closed_at_deadline(19);
        assert_eq!(network.sockets[server].acknowledged_at, 0);
        check_acknowledged(&network, 1, TIMEOUT);
    }

    #[test]
    fn close_for_another_reason_passes() {
        let (network, _) = closed_at_deadline(20);
        check_acknowledged(&network, 0, TIMEOUT);
    }

    #[test]
    fn close_by_a_disabled_timeout_fails() {
        let (network, _) = closed_at_deadline(19);
        let checked = std::panic::catch_unwind(|| check_acknowledged(&network, 1, None));
        assert!(checked.is_err());
    }

    #[test]
    fn close_in_a_run_without_sock_diag_passes() {
        let (mut network, _) = closed_at_deadline(20);
        network.kernel.hides_progress = true;
        check_acknowledged(&network, 1, TIMEOUT);
    }
}
