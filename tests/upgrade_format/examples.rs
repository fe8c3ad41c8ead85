//! States of every kind.

use echoloop::connection;
use echoloop::reactor::SavedSlot;
use echoloop::server::{SavedConnection, SavedServer, Totals};

/// An open, idle connection.
fn idle() -> SavedConnection {
    SavedConnection {
        slot: SavedSlot {
            serial: 17,
            class: 3,
            timer_start: 4_000,
            is_rechecked: false,
        },
        connection: connection::SavedConnection {
            bytes_in: 100,
            bytes_out: 100,
            state: (1, 0),
            reason: 0,
            readiness: 0,
            flags: 0,
            output: Vec::new(),
            input: Vec::new(),
            acknowledged: None,
        },
        source: None,
    }
}

/// A connection that differs from an idle one.
fn changed(change: impl FnOnce(&mut SavedConnection)) -> SavedConnection {
    let mut saved = idle();
    change(&mut saved);
    saved
}

/// States of connections, by name.
pub(crate) fn connections() -> Vec<(String, SavedConnection)> {
    let mut examples = vec![("idle".to_owned(), idle())];
    let mut add = |name: &str, change: &dyn Fn(&mut SavedConnection)| {
        examples.push((name.to_owned(), changed(change)));
    };
    for (name, state) in [
        ("half-closing", (1, 1)),
        ("half-closed", (1, 2)),
        ("flushing", (3, 1)),
        ("lingering", (3, 2)),
        ("half-open", (4, 0)),
        ("flushing-after-eof", (4, 1)),
        ("at-eof-after-fin", (4, 2)),
        ("record-pending", (5, 1)),
    ] {
        add(name, &|saved| saved.connection.state = state);
    }
    for bit in 0..8 {
        add(&format!("flag-{bit}"), &|saved| {
            saved.connection.flags = 1 << bit
        });
    }
    for bit in 0..3 {
        add(&format!("readiness-{bit}"), &|saved| {
            saved.connection.readiness = 1 << bit
        });
    }
    for reason in 0..14 {
        add(&format!("reason-{reason}"), &|saved| {
            saved.connection.reason = reason
        });
    }
    for class in [0, 1, 2, 3, 4, 5, 255] {
        add(&format!("class-{class}"), &|saved| saved.slot.class = class);
    }
    add("rechecked", &|saved| {
        saved.slot.class = 2;
        saved.slot.is_rechecked = true;
    });
    add("largest-numbers", &|saved| {
        saved.slot.serial = u32::MAX;
        saved.slot.timer_start = u32::MAX;
        saved.connection.bytes_in = u64::MAX;
        saved.connection.bytes_out = u64::MAX;
        saved.connection.acknowledged = Some((u64::MAX, u64::MAX));
        saved.source = Some(u128::MAX);
    });
    add("source", &|saved| saved.source = Some(0xFFFF_7F00_0001));
    add("pending-output", &|saved| {
        saved.connection.output = (0..=255).cycle().take(300).collect();
        saved.connection.flags = 1 | 32 | 128;
        saved.connection.acknowledged = Some((64, 1_000_000_000));
    });
    add("incomplete-message", &|saved| {
        saved.connection.input = b"half a li".to_vec();
        saved.connection.flags = 128;
    });
    add("output-and-blocked-input", &|saved| {
        saved.connection.output = b"replies\n".repeat(3);
        saved.connection.input = b"a line\nanother".to_vec();
        saved.connection.flags = 1 | 32 | 64 | 128;
        saved.connection.readiness = 1 | 4;
    });
    examples
}

/// The state of a server, with a value in every field that the first version had.
pub(crate) fn server() -> SavedServer {
    let mut saved = SavedServer {
        connections: 3,
        opened: 120,
        closed: (1..=14).collect(),
        refused: vec![1, 2, 3],
        accept_failed: 4,
        accept_paused: 5,
        bytes_in: 1 << 40,
        bytes_out: u64::MAX,
        delivered: Some((2, 4096)),
        ..SavedServer::default()
    };
    saved.accepting.ready = vec![true, false];
    saved.accepting.accepts_at = Some(7_000_000_000);
    saved.accepting.throttles = [(None, 0), (Some(6_000_000_000), 12), (Some(1), u64::MAX)];
    saved.queues.last_serial = 120;
    saved.queues.run = vec![2, 0];
    saved.queues.memory = vec![1];
    saved.queues.records = vec![2];
    saved.queues.scarce_since = Some(5_000_000_000);
    saved.queues.recheck_at = 7_250_000_000;
    saved.queues.bytes_dropped = 99;
    saved
}

/// As [`server`], with a value also in every field that was added later, and is left out while it is zero.
pub(crate) fn server_with_later_fields() -> SavedServer {
    SavedServer {
        accept_limited: 6,
        evicted: 7,
        totals: Totals {
            opened: 125,
            bytes_in: (1 << 40) + 1,
            bytes_out: u64::MAX,
            messages: 8,
        },
        ..server()
    }
}
