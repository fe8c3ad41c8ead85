//! The arithmetic of `docs/tuning.md` is that of `doctor`.

use crate::documents::document;
use echoloop::doctor::{Capacity, Facts, Limit, PortRange, RESERVED_FDS, Role};
use echoloop::numbers::grouped;

/// All connections of the worked example, and those of each load host.
const WHOLE: u64 = 1_000_000;
const PART: u64 = WHOLE / 4;

#[track_caller]
fn assert_has(text: &str, row: &str) {
    assert!(text.contains(row), "not in docs/tuning.md: {row}");
}

#[test]
fn ports_and_addresses_of_tuning_are_those_of_doctor() {
    let text = document("docs/tuning.md");
    let ranges = [
        ("32768 60999 (default)", 32_768, 60_999),
        ("1024 65535", 1_024, 65_535),
    ];
    for (name, first, last) in ranges {
        let ports = PortRange { first, last }.count_without(&[]);
        let (part, whole) = (PART.div_ceil(ports), WHOLE.div_ceil(ports));
        assert_has(
            &text,
            &format!("| {name} | {} | {part} | {whole} |", grouped(ports)),
        );
        if last == 65_535 {
            let each = PART.div_ceil(14);
            let percent = (each * 100 + ports / 2) / ports;
            let row = format!(
                "{} ports each, {percent} % of {}",
                grouped(each),
                grouped(ports)
            );
            assert_has(&text, &row);
        }
    }
}

#[test]
fn files_and_memory_of_tuning_are_those_of_doctor() {
    let text = document("docs/tuning.md");
    // The listener takes one more than the reserve.
    let reserved = RESERVED_FDS as u64 + 1;
    let (server, load) = (grouped(WHOLE + reserved), grouped(PART + reserved));
    assert_has(&text, &format!("| file descriptors | {server} | {load} |"));
    let facts = Facts {
        memory_available_bytes: Some(0),
        ..Facts::default()
    };
    let bounds = Capacity::of(&facts).bounds;
    let memory = bounds
        .iter()
        .find(|bound| bound.limit == Limit::Memory)
        .unwrap();
    // 3.9 GB in the kernel and 56 MB in the process; 0.98 GB and 14 MB.
    for (role, connections, shown_mb) in [(Role::Server, WHOLE, 3_956), (Role::Client, PART, 989)] {
        let counted_mb = memory.needed(role, connections) / 1_000_000;
        let apart = counted_mb.abs_diff(shown_mb);
        assert!(
            apart * 50 <= shown_mb,
            "{role:?}: {counted_mb} MB, not {shown_mb}"
        );
    }
    assert_has(&text, "| kernel memory of the sockets | 3.9 GB | 0.98 GB |");
    assert_has(&text, "| user memory | 56 MB | 14 MB |");
}
