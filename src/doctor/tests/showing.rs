//! Reports as text and as JSON.

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

fn shown(facts: Facts, role: Role, requested: Option<u64>) -> String {
    text(&Report::new(facts, role, requested))
}

#[test]
fn problems_come_first() {
    let shown = shown(narrow_machine(), Role::Server, Some(1_000_000));
    let headline = "1,000,000 connections as server do not fit: the maximum is 19,967.\n";
    assert!(shown.starts_with(headline), "{shown}");
    let place = |what: &str| {
        shown
            .find(what)
            .unwrap_or_else(|| panic!("no {what:?} in {shown}"))
    };
    assert!(place("20,000, needed: 1,000,033") < place("ulimit -n 1000033"));
    assert!(place("ulimit -n 1000033") < place("net.core.somaxconn is 128"));
    assert!(place("net.core.somaxconn is 128") < place("All limits"));
    assert!(place("\n! open files (ulimit -Hn)         20,000       19,967") > place("All limits"));
    assert!(
        !shown.contains("\n! epoll"),
        "a limit that is high enough is marked: {shown}"
    );
}

#[test]
fn connections_that_fit_have_no_remedies() {
    let one = shown(narrow_machine(), Role::Server, Some(1));
    assert!(
        one.starts_with("1 connection as server fits: the maximum is 19,967, by open files"),
        "{one}"
    );
    let shown = shown(narrow_machine(), Role::Both, Some(19_967));
    assert!(
        shown.starts_with("19,967 connections with both ends fit: the maximum is 19,967, by"),
        "{shown}"
    );
    assert!(!shown.contains("too low"), "{shown}");
}

#[test]
fn without_a_number_the_capacity_in_each_role_is_shown() {
    let shown = shown(narrow_machine(), Role::Server, None);
    assert!(
        shown.starts_with("Connections that fit on this machine:"),
        "{shown}"
    );
    for role in ["as server", "as client", "with both ends"] {
        let line = shown
            .lines()
            .find(|line| line.trim_start().starts_with(role))
            .unwrap();
        assert!(
            line.contains("19,967   limited first by open files (ulimit -Hn)"),
            "{line}"
        );
    }
}

#[test]
fn without_facts_the_capacity_is_unknown() {
    assert!(shown(Facts::default(), Role::Server, None).contains("unknown"));
    let requested = shown(Facts::default(), Role::Server, Some(5));
    assert!(requested.contains("no limit could be read"), "{requested}");
    assert!(
        requested.contains("Could not be read and is not counted"),
        "{requested}"
    );
}

#[test]
fn all_lines_but_commands_fit_80_columns() {
    for facts in [
        narrow_machine(),
        large(),
        Facts {
            nr_open: Some(u64::MAX),
            ..large()
        },
    ] {
        for role in Role::ALL {
            for requested in [None, Some(1), Some(1_000_000), Some(u64::MAX)] {
                for line in shown(facts.clone(), role, requested).lines() {
                    let is_command = line.starts_with("    ") && !line.starts_with("    #");
                    let is_row = line.starts_with("     ");
                    assert!(
                        is_command && !is_row || line.chars().count() <= 80,
                        "{line}"
                    );
                    assert_eq!(line.trim_end(), line, "trailing blanks");
                }
            }
        }
    }
}

#[test]
fn json_agrees_with_text() {
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
fn hint_names_a_command_and_echoloop_doctor() {
    for limit in [
        Limit::Fds,
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
