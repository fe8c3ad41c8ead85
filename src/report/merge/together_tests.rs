use super::*;
use crate::load::ReferenceClock;
use crate::report::sample;

/// A load of three seconds on this host from this second on, with this clock server.
fn part(host: &str, second: &str, server: Option<&str>) -> Part {
    let mut part = sample::load().to_parts().remove(0);
    (part.host, part.host_id) = (host.to_owned(), None);
    part.result.started = format!("2026-11-20T12:00:{second}Z");
    part.result.clock = server.map(|server| ReferenceClock {
        server: server.to_owned(),
        offset_us: 3e6,
        uncertainty_us: 10.0,
    });
    part
}

const CLOCK: Option<&str> = Some("10.0.0.1:9000");

fn clocks_of(parts: &[(&str, Option<&str>)]) -> Clocks {
    let parts = parts.iter();
    let parts: Vec<Part> = parts
        .map(|(host, server)| part(host, "00", *server))
        .collect();
    together(&parts).clocks
}

#[test]
fn clocks_are_compared_if_all_loads_have_the_same_server() {
    let other = Some("10.0.0.2:9000");
    for (parts, expected) in [
        (&[("a", None), ("a", None)][..], Clocks::OneHost),
        (&[("a", None), ("b", None)], Clocks::NotCompared),
        (&[("a", CLOCK), ("b", CLOCK)], Clocks::Compared),
        (&[("a", CLOCK), ("a", CLOCK)], Clocks::Compared),
        (&[("a", CLOCK), ("b", None)], Clocks::NotCompared),
        (&[("a", CLOCK), ("a", None)], Clocks::NotCompared),
        (&[("a", CLOCK), ("b", other)], Clocks::NotCompared),
        (
            &[("a", CLOCK), ("a", CLOCK), ("b", None)],
            Clocks::NotCompared,
        ),
    ] {
        assert_eq!(clocks_of(parts), expected, "{parts:?}");
    }
}

#[test]
fn loopback_server_is_a_different_one_on_each_host() {
    for server in [
        "127.0.0.1:9",
        "127.1.2.3:9",
        "[::1]:9",
        "[::ffff:127.0.0.1]:9",
    ] {
        let server = Some(server);
        assert_eq!(
            clocks_of(&[("a", server), ("b", server)]),
            Clocks::NotCompared
        );
        assert_eq!(clocks_of(&[("a", server), ("a", server)]), Clocks::Compared);
    }
}

#[test]
fn time_together_is_that_of_all_loads_with_the_largest_errors() {
    let mut parts = [
        part("a", "00", CLOCK),
        part("b", "01.500", CLOCK),
        part("c", "00.250", CLOCK),
    ];
    for (part, error) in parts.iter_mut().zip([10.0, 7.0, 400.0]) {
        let clock = part.result.clock.as_mut().unwrap();
        clock.uncertainty_us = error;
    }
    let found = together(&parts);
    assert_eq!((found.hosts, found.clocks), (3, Clocks::Compared));
    assert!((found.seconds - 1.5).abs() < 1e-9, "{found:?}");
    assert!((found.uncertainty_us.unwrap() - 410.0).abs() < 1e-9);
    assert_eq!(found.server.as_deref(), CLOCK);
    let expected = Warning::PartialOverlap(1500, 4500, 3000);
    assert_eq!(warnings(&parts, &found, 4.5), [expected]);
    let long = together(&parts[..1]);
    assert!(warnings(&parts[..1], &long, 3.0).is_empty());
}

#[test]
fn loads_that_never_overlap_have_no_time_together() {
    let parts = [part("a", "00", CLOCK), part("a", "04", CLOCK)];
    assert!(together(&parts).seconds.abs() < 1e-9);
}

#[test]
fn broken_times_of_a_part_are_left_out() {
    let mut parts = [part("a", "00", None), part("a", "00", None)];
    parts[1].result.started = "yesterday".to_owned();
    assert!((together(&parts).seconds - 3.0).abs() < 1e-9);
    parts[0].result.seconds = -1.0;
    assert!(together(&parts).seconds.abs() < 1e-9);
}
