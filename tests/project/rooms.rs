//! Imports run one way: the map at the top of `src/lib.rs`, checked against what the files really name.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from left to right. Each may use those that stand left of it.
const ROOMS: [&str; 16] = [
    "time",
    "numbers",
    "protocol",
    "net",
    "reactor",
    "connection",
    "stdout",
    "server",
    "doctor",
    "echo",
    "client",
    "load",
    "report",
    "logging",
    "cli",
    "main",
];

/// What only one room may name; what else is there must be found by reading.
const ONLY_IN: [(&str, &str); 11] = [
    ("mio::", "net"),
    ("signal_hook", "net"),
    ("socket2::", "net"),
    ("clap::", "cli"),
    ("clap_complete::", "cli"),
    ("clap_mangen::", "cli"),
    ("simple_logger::", "logging"),
    ("indicatif::", "cli"),
    ("Instant", "net"),
    ("SystemTime", "net"),
    // How thousands are found, to be set apart.
    ("is_multiple_of(3)", "numbers"),
];

/// What the rooms without a world must not name, beside what is above.
const NOT_IN_PROTOCOL: [&str; 5] = ["std::net", "std::fs", "std::io", "std::os", "log::"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room of a file: the first part of its path below `src`.
fn room_of(path: &Path) -> String {
    let below = path.strip_prefix(src()).unwrap();
    let first = below.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|name| *name == room)
}

/// The code of a file, line by line, without comments.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(str::trim);
    let code = lines.filter(|line| !line.starts_with("//"));
    code.map(str::to_owned).collect()
}

/// The rooms that a line names, as `crate::room` or, in the program, `echoloop::room`.
fn named_rooms(line: &str) -> Vec<String> {
    let after = |prefix: &'static str| {
        line.match_indices(prefix).map(move |(at, _)| {
            let rest = &line[at + prefix.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        })
    };
    after("crate::").chain(after("echoloop::")).collect()
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&src(), &mut found);
    assert!(
        found.len() > 20,
        "the sources are where they are looked for"
    );
    found
}

#[test]
fn imports_run_one_way() {
    for path in all_sources() {
        let room = room_of(&path);
        if room == "lib" {
            continue;
        }
        let own = rank(&room).unwrap_or_else(|| panic!("{room} is not on the map"));
        for line in code(&path) {
            for named in named_rooms(&line) {
                let other =
                    rank(&named).unwrap_or_else(|| panic!("{path:?} names {named:?}: {line}"));
                assert!(other <= own, "{path:?} ({room}) uses {named}: {line}");
            }
        }
    }
}

#[test]
fn each_dependency_is_named_in_one_room() {
    for path in all_sources() {
        let room = room_of(&path);
        for line in code(&path) {
            for (name, only) in ONLY_IN {
                let named = line.contains(name) && !line.contains("proptest");
                assert!(!named || room == only, "{path:?} names {name}: {line}");
            }
            if ["time", "numbers", "protocol"].contains(&room.as_str()) {
                for name in NOT_IN_PROTOCOL {
                    assert!(!line.contains(name), "{path:?} names {name}: {line}");
                }
            }
        }
    }
}

#[test]
fn the_map_in_the_crates_documentation_names_every_room() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    for room in ROOMS.iter().filter(|room| **room != "main") {
        assert!(lib.contains(&format!("| [`{room}`]")), "{room} is missing");
        assert!(
            lib.contains(&format!("pub mod {room};")),
            "{room} is no module"
        );
    }
}
