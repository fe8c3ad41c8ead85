//! How many connections the limits allow: each where it is the one that binds, and all together.

use super::super::{CgroupMemory, Facts, Limit, PortRange, Role, Verdict};
use super::{address, bound, large};
use proptest::prelude::*;

fn carried(facts: &Facts, role: Role) -> (u64, Limit) {
    let carried = Verdict::of(facts).carries.of(role);
    (carried.connections.unwrap(), carried.limited_by.unwrap())
}

#[track_caller]
fn assert_carries(facts: &Facts, limit: Limit, server: u64, client: u64, both: u64) {
    assert_eq!(carried(facts, Role::Server), (server, limit), "as server");
    assert_eq!(carried(facts, Role::Client), (client, limit), "as client");
    assert_eq!(carried(facts, Role::Both), (both, limit), "with both ends");
}

#[test]
fn a_large_machine_carries_a_million_in_every_role() {
    let verdict = Verdict::of(&large());
    for role in Role::ALL {
        assert!(verdict.fits(role, 1_000_000), "{role:?}: {verdict:?}");
    }
}

#[test]
fn descriptors_bind_per_process_less_the_reserve() {
    let facts = Facts {
        descriptors_hard: Some(1_033),
        ..large()
    };
    assert_carries(&facts, Limit::Descriptors, 1_000, 1_000, 1_000);
}

#[test]
fn the_soft_limit_of_descriptors_does_not_bind() {
    let low = Facts {
        descriptors_soft: Some(64),
        ..large()
    };
    assert_eq!(Verdict::of(&low), Verdict::of(&large()));
}

#[test]
fn fewer_descriptors_than_the_reserve_carry_nobody() {
    let facts = Facts {
        descriptors_hard: Some(20),
        ..large()
    };
    assert_carries(&facts, Limit::Descriptors, 0, 0, 0);
}

#[test]
fn the_kernels_ceiling_binds_where_it_lies_below_the_hard_limit() {
    let facts = Facts {
        nr_open: Some(1_033),
        ..large()
    };
    assert_carries(&facts, Limit::NrOpen, 1_000, 1_000, 1_000);
}

#[test]
fn where_both_are_met_at_once_the_kernels_ceiling_is_to_be_raised_first() {
    let facts = Facts {
        nr_open: Some(1_033),
        descriptors_hard: Some(1_033),
        ..large()
    };
    assert_carries(&facts, Limit::NrOpen, 1_000, 1_000, 1_000);
}

#[test]
fn open_files_bind_less_those_open_and_twice_with_both_ends() {
    let facts = Facts {
        file_max: Some(10_033),
        files_open: Some(4_000),
        ..large()
    };
    assert_carries(&facts, Limit::FileMax, 6_000, 6_000, 3_000);
}

#[test]
fn epoll_watches_bind_twice_with_both_ends() {
    let facts = Facts {
        epoll_watches: Some(10_033),
        ..large()
    };
    assert_carries(&facts, Limit::EpollWatches, 10_000, 10_000, 5_000);
}

#[test]
fn the_firewalls_table_binds_once_with_both_ends() {
    let facts = Facts {
        conntrack_max: Some(1_000),
        conntrack_count: Some(100),
        ..large()
    };
    assert_carries(&facts, Limit::Conntrack, 900, 900, 900);
}

#[test]
fn a_firewall_that_tracks_nothing_does_not_bind() {
    let facts = Facts {
        conntrack_max: Some(1_000),
        conntrack_count: Some(0),
        ..large()
    };
    assert!(Verdict::of(&facts).fits(Role::Both, 1_000_000));
    let unknown = Facts {
        conntrack_max: Some(1_000),
        conntrack_count: None,
        ..large()
    };
    assert_eq!(carried(&unknown, Role::Server), (1_000, Limit::Conntrack));
}

#[test]
fn memory_binds_at_the_cost_of_each_end() {
    let facts = Facts {
        memory_available_bytes: Some(3_956 * 3_900 * 7_856),
        ..large()
    };
    let memory = bound(&facts, Limit::Memory);
    assert_eq!(memory.allows(Role::Server), Some(3_900 * 7_856));
    assert_eq!(memory.allows(Role::Client), Some(3_956 * 7_856));
    assert_eq!(memory.allows(Role::Both), Some(3_956 * 3_900));
    let little = Facts {
        memory_available_bytes: Some(395_600),
        ..large()
    };
    assert_carries(&little, Limit::Memory, 100, 101, 50);
}

#[test]
fn the_control_groups_memory_binds_less_what_is_used() {
    let group = CgroupMemory {
        limit_bytes: 1_000_000,
        used_bytes: 604_400,
        file: "/g".into(),
    };
    let facts = Facts {
        cgroup_memory: Some(group),
        ..large()
    };
    assert_carries(&facts, Limit::CgroupMemory, 100, 101, 50);
}

#[test]
fn ports_bind_a_client_times_its_addresses_and_nobody_else() {
    let port_range = Some(PortRange {
        first: 1_001,
        last: 2_000,
    });
    let addresses = [
        "127.0.0.1",
        "10.0.0.1",
        "10.0.0.2",
        "169.254.1.1",
        "fd00::2",
        "::1",
    ];
    let addresses = Some(addresses.iter().map(|text| address("eth0", text)).collect());
    let facts = Facts {
        port_range,
        addresses,
        ..large()
    };
    assert_eq!(carried(&facts, Role::Client), (2_000, Limit::Ports));
    assert_eq!(bound(&facts, Limit::Ports).allows(Role::Server), None);
    assert_eq!(bound(&facts, Limit::Ports).allows(Role::Both), None);
    assert!(
        Verdict::of(&facts).fits(Role::Both, 1_000_000),
        "127/8 has addresses enough"
    );

    let reserved_ports = Some(vec![PortRange {
        first: 1_501,
        last: 3_000,
    }]);
    let reserved = Facts {
        reserved_ports,
        ..facts
    };
    assert_eq!(carried(&reserved, Role::Client), (1_000, Limit::Ports));
}

#[test]
fn a_machine_without_ipv4_connects_from_its_addresses_of_ipv6() {
    let addresses = ["127.0.0.1", "::1", "fe80::1", "fd00::2", "2001:db8::1"];
    let addresses = Some(addresses.iter().map(|text| address("eth0", text)).collect());
    let port_range = Some(PortRange {
        first: 1,
        last: 100,
    });
    let facts = Facts {
        port_range,
        addresses,
        ..large()
    };
    assert_eq!(carried(&facts, Role::Client), (200, Limit::Ports));
}

#[test]
fn ports_over_loopback_bind_both_ends_if_ever() {
    let everything = Facts {
        descriptors_hard: Some(u64::MAX),
        nr_open: Some(u64::MAX),
        epoll_watches: Some(u64::MAX),
        memory_available_bytes: Some(u64::MAX),
        cgroup_memory: None,
        conntrack_max: None,
        port_range: Some(PortRange { first: 7, last: 7 }),
        ..large()
    };
    assert_eq!(
        carried(&everything, Role::Both),
        ((1 << 24) - 2, Limit::LoopbackPorts)
    );
}

#[test]
fn from_nothing_nothing_is_concluded() {
    let verdict = Verdict::of(&Facts::default());
    for role in Role::ALL {
        assert_eq!(verdict.carries.of(role).connections, None);
        assert_eq!(verdict.carries.of(role).limited_by, None);
        assert!(verdict.fits(role, 1_000_000));
    }
}

/// A number of any size: half of them small, so that limits bind in turn.
fn any_number() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        (0_u64..100_000).prop_map(Some),
        any::<u64>().prop_map(Some)
    ]
}

prop_compose! {
    fn any_facts()(
        numbers in proptest::collection::vec(any_number(), 8),
        group in any::<Option<(u64, u64)>>(),
        ports in (1_u16..3_000, 1_u16..3_000),
        addresses in 0_u8..20,
    ) -> Facts {
        let file = || "/g".into();
        Facts {
            descriptors_hard: numbers[0],
            nr_open: numbers[1],
            file_max: numbers[2],
            files_open: numbers[3],
            epoll_watches: numbers[4],
            conntrack_max: numbers[5],
            conntrack_count: numbers[6],
            memory_available_bytes: numbers[7],
            cgroup_memory: group.map(|(limit_bytes, used_bytes)| CgroupMemory { limit_bytes, used_bytes, file: file() }),
            port_range: Some(PortRange { first: ports.0.min(ports.1), last: ports.0.max(ports.1) }),
            addresses: Some((0..addresses).map(|index| address("eth0", &format!("10.0.0.{index}"))).collect()),
            ..Facts::default()
        }
    }
}

/// The same machine with one limit raised.
fn raised(facts: &Facts, limit: Limit, by: u64) -> Facts {
    let mut facts = facts.clone();
    let raise = |value: &mut Option<u64>| *value = value.map(|value| value.saturating_add(by));
    match limit {
        Limit::NrOpen => raise(&mut facts.nr_open),
        Limit::Descriptors => raise(&mut facts.descriptors_hard),
        Limit::FileMax => raise(&mut facts.file_max),
        Limit::EpollWatches => raise(&mut facts.epoll_watches),
        Limit::Conntrack => raise(&mut facts.conntrack_max),
        Limit::Memory => raise(&mut facts.memory_available_bytes),
        Limit::CgroupMemory => {
            let group = facts.cgroup_memory.as_mut().unwrap();
            group.limit_bytes = group.limit_bytes.saturating_add(by);
        }
        Limit::Ports | Limit::LoopbackPorts => {
            let range = facts.port_range.as_mut().unwrap();
            range.first = range
                .first
                .saturating_sub(u16::try_from(by).unwrap_or(u16::MAX));
        }
    }
    facts
}

proptest! {
    #[test]
    fn the_verdict_is_the_least_that_a_limit_allows(facts in any_facts(), asked in any::<u64>()) {
        let verdict = Verdict::of(&facts);
        for role in Role::ALL {
            let carried = verdict.carries.of(role);
            let least = verdict.bounds.iter().filter_map(|bound| bound.allows(role)).min();
            prop_assert_eq!(carried.connections, least);
            let binds = verdict.bounds.iter().find(|bound| Some(bound.limit) == carried.limited_by);
            prop_assert_eq!(binds.and_then(|bound| bound.allows(role)), least);
            prop_assert_eq!(verdict.fits(role, asked), least.is_none_or(|least| asked <= least));
        }
    }

    #[test]
    fn raising_the_limit_that_binds_never_lowers_the_verdict(facts in any_facts(), by in any::<u64>()) {
        for role in Role::ALL {
            let before = Verdict::of(&facts).carries.of(role);
            if let Some(limit) = before.limited_by {
                let after = Verdict::of(&raised(&facts, limit, by)).carries.of(role);
                prop_assert!(after.connections >= before.connections, "{:?}: {:?}, then {:?}", role, before, after);
            }
        }
    }

    #[test]
    fn a_limit_raised_to_what_is_needed_is_enough(facts in any_facts(), asked in 1_u64..10_000_000) {
        for role in Role::ALL {
            for bound in Verdict::of(&facts).bounds {
                let needed = bound.needed(role, asked);
                prop_assert_eq!(bound.is_enough(role, asked), bound.per_connection.of(role) == 0 || bound.value >= needed);
            }
        }
    }
}
