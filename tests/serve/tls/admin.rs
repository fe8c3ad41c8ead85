//! The figures of a server with TLS.

use super::{Authority, Peer};
use crate::admin::{admin_address, free_address, get, scrape, value, wait_for};
use crate::client::{connect, read_to_fin};
use crate::harness::PATIENCE;
use crate::tools::{have_tool, run};
use crate::upgrade::Upgradable;
use std::io::Write;
use std::process::Command;

#[test]
fn handshakes_are_counted_by_kind_and_by_cause_of_failure() {
    let authority = Authority::new();
    let daemon = authority.serve(&["--admin", "127.0.0.1:0"]);
    let admin = admin_address(&daemon);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    peer.assert_echo();
    let mut plain = connect(daemon.address());
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    read_to_fin(&mut plain);
    wait_for(admin, "echoloop_tls_handshakes_total{kind=\"full\"}", 1.0);
    wait_for(
        admin,
        "echoloop_tls_handshake_failures_total{cause=\"not_tls\"}",
        1.0,
    );
    let metrics = get(admin, "/metrics").body;
    for (sample, expected) in [
        ("echoloop_tls_handshakes_total{kind=\"resumed\"}", 0.0),
        (
            "echoloop_tls_handshake_failures_total{cause=\"alert\"}",
            0.0,
        ),
        ("echoloop_tls_handshake_duration_seconds_count", 1.0),
    ] {
        assert!(
            (value(&metrics, sample) - expected).abs() < 1e-9,
            "{sample}: {metrics}"
        );
    }
    assert!(value(&metrics, "echoloop_tls_handshake_duration_seconds_sum") > 0.0);
    if have_tool("promtool") {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]);
        let output = run(promtool, metrics.as_bytes());
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn old_process_with_tls_connections_serves_no_admin() {
    let authority = Authority::new();
    let admin = free_address();
    let admin_flag = admin.to_string();
    let flags = authority.flags(&["--admin", &admin_flag]);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut server = Upgradable::start(&flags);
    let Some(mut before) = Peer::open(&authority, &server.daemon, &[]) else {
        return;
    };
    before.assert_echo();
    assert!((scrape(admin, "echoloop_connections_open") - 1.0).abs() < 1e-9);
    let totals = [
        "echoloop_connections_opened_total",
        "echoloop_received_bytes_total",
        "echoloop_sent_bytes_total",
    ];
    let at_start = totals.map(|total| scrape(admin, total));
    assert!(at_start.iter().all(|total| *total > 0.0), "{at_start:?}");
    let output = server.upgrade();
    assert!(output.status.success(), "{output:?}");
    before.assert_echo();
    assert!(server.daemon.is_running(), "the old process lingers");
    for _ in 0..20 {
        let metrics = get(admin, "/metrics").body;
        let done = value(&metrics, "echoloop_upgrades_total{result=\"done\"}");
        assert!((done - 1.0).abs() < 1e-9, "the new process answers");
        // Prometheus takes a counter that decreases for one that has started again at zero.
        for (total, least) in totals.iter().zip(at_start) {
            assert!(value(&metrics, total) >= least, "{total} decreases");
        }
    }
    assert!((scrape(admin, "echoloop_connections_open")).abs() < 1e-9);
    assert_eq!(before.ask("unwrap"), "unwrapped");
    assert_eq!(server.daemon.wait_exit_of_old(PATIENCE), Some(0));
}
