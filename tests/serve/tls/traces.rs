//! `--trace` with TLS: bytes as they are on the wire, as in the log.

use nix::sys::signal::Signal;

use super::{Authority, Peer};
use crate::harness::PATIENCE;
use crate::trace::Trace;

#[test]
fn trace_over_tls_has_the_bytes_of_the_log() {
    let authority = Authority::new();
    let path = authority.path("trace.json");
    let mut daemon = authority.serve(&["--trace", path.to_str().unwrap()]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    peer.assert_echo();
    assert_eq!(peer.ask("unwrap"), "unwrapped");
    assert_eq!(peer.ask("tail"), "0 bytes then fin");
    let logged = daemon.close_summary(1);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    assert_eq!(Trace::read(&path).summary(1), logged);
}
