//! What people and scripts are shown.

use super::super::{Facts, Limit, Report, Role, hint, json, text};
use super::large;
use serde_json::Value;

fn narrow_machine() -> Facts {
    Facts {
        descriptors_hard: Some(20_000),
        somaxconn: Some(128),
        sysctl_is_read_only: Some(true),
        ..large()
    }
}

fn shown(facts: Facts, role: Role, asked: Option<u64>) -> String {
    text(&Report::new(facts, role, asked))
}

#[test]
fn what_is_wrong_comes_first() {
    let shown = shown(narrow_machine(), Role::Server, Some(1_000_000));
    let headline = "1,000,000 connections as server do not fit: the most is 19,967.\n";
    assert!(shown.starts_with(headline), "{shown}");
    let place = |what: &str| {
        shown
            .find(what)
            .unwrap_or_else(|| panic!("no {what:?} in {shown}"))
    };
    assert!(place("20,000, and 1,000,033 are needed") < place("ulimit -n 1000033"));
    assert!(place("ulimit -n 1000033") < place("net.core.somaxconn is 128"));
    assert!(place("net.core.somaxconn is 128") < place("All limits"));
    assert!(place("\n! descriptors (ulimit -Hn)        20,000       19,967") > place("All limits"));
    assert!(
        !shown.contains("\n! epoll"),
        "only what is too low is marked: {shown}"
    );
}

#[test]
fn what_fits_is_said_so() {
    let one = shown(narrow_machine(), Role::Server, Some(1));
    assert!(
        one.starts_with("1 connection as server fits: the most is 19,967, by descriptors"),
        "{one}"
    );
    let shown = shown(narrow_machine(), Role::Both, Some(19_967));
    assert!(
        shown.starts_with("19,967 connections with both ends fit: the most is 19,967, by"),
        "{shown}"
    );
    assert!(!shown.contains("too low"), "{shown}");
}

#[test]
fn unasked_it_says_what_the_machine_carries_in_each_role() {
    let shown = shown(narrow_machine(), Role::Server, None);
    assert!(
        shown.starts_with("Connections that this machine carries:"),
        "{shown}"
    );
    for role in ["as server", "as client", "with both ends"] {
        let line = shown
            .lines()
            .find(|line| line.trim_start().starts_with(role))
            .unwrap();
        assert!(
            line.contains("19,967   limited first by descriptors (ulimit -Hn)"),
            "{line}"
        );
    }
}

#[test]
fn where_nothing_is_known_it_says_so() {
    assert!(shown(Facts::default(), Role::Server, None).contains("unknown"));
    let asked = shown(Facts::default(), Role::Server, Some(5));
    assert!(asked.contains("no limit could be read"), "{asked}");
    assert!(asked.contains("Could not be read here"), "{asked}");
}

#[test]
fn all_but_commands_fits_80_columns() {
    for facts in [
        narrow_machine(),
        large(),
        Facts {
            nr_open: Some(u64::MAX),
            ..large()
        },
    ] {
        for role in Role::ALL {
            for asked in [None, Some(1), Some(1_000_000), Some(u64::MAX)] {
                for line in shown(facts.clone(), role, asked).lines() {
                    let is_command = line.starts_with("    ") && !line.starts_with("    #");
                    let is_row = line.starts_with("     ");
                    assert!(
                        is_command && !is_row || line.chars().count() <= 80,
                        "{line}"
                    );
                    assert_eq!(line.trim_end(), line, "blanks at the end");
                }
            }
        }
    }
}

#[test]
fn json_says_what_text_says() {
    let report = Report::new(narrow_machine(), Role::Server, Some(1_000_000));
    let document: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["role"], "server");
    assert_eq!(document["asked"], 1_000_000);
    assert_eq!(document["fits"], false);
    assert_eq!(document["carries"]["both"]["connections"], 19_967);
    assert_eq!(document["carries"]["both"]["limited_by"], "descriptors");
    let limits = document["limits"].as_array().unwrap();
    let row = limits
        .iter()
        .find(|row| row["name"] == "descriptors")
        .unwrap();
    assert_eq!(row["value"], 20_000);
    assert_eq!(row["allows"]["server"], 19_967);
    assert_eq!(row["enough"], false);
    assert_eq!(row["raise"]["now"][0], "ulimit -n 1000033");
    assert_eq!(row["raise"]["unit"], "LimitNOFILE=1000033");
    let ports = limits.iter().find(|row| row["name"] == "ports").unwrap();
    assert!(
        ports["allows"]["server"].is_null() && ports["enough"] == true && ports["raise"].is_null()
    );
    assert_eq!(document["notices"][0]["about"], "backlog");
    assert_eq!(document["facts"]["descriptors_hard"], 20_000);
    assert_eq!(document["source_addresses"], 20);
    assert_eq!(document["ports_per_address"], 64_512);
}

#[test]
fn every_limit_has_its_own_key() {
    let document: Value =
        serde_json::from_str(&json(&Report::new(large(), Role::Both, None)).unwrap()).unwrap();
    let limits = document["limits"].as_array().unwrap();
    let names: Vec<&str> = limits
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    let expected = [
        "nr_open",
        "descriptors",
        "file_max",
        "epoll_watches",
        "ports",
        "loopback_ports",
        "conntrack",
        "memory",
        "cgroup_memory",
    ];
    assert_eq!(names, expected);
    assert!(document["fits"].is_null() && limits[0]["enough"].is_null());
}

#[test]
fn a_hint_names_a_command_and_the_doctor() {
    for limit in [
        Limit::Descriptors,
        Limit::FileMax,
        Limit::Ports,
        Limit::EpollWatches,
        Limit::Conntrack,
    ] {
        let hint = hint(limit);
        assert!(
            hint.contains("ulimit") || hint.contains("sysctl -w"),
            "{hint}"
        );
        assert!(
            hint.contains("echoloop doctor") && !hint.contains('\n'),
            "{hint}"
        );
    }
}
