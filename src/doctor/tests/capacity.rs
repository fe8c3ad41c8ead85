//! How many connections each limit allows, and all together.

use super::super::{Capacity, CgroupMemory, Facts, Limit, PortRange, Role};
use super::{address, bound, large};
use proptest::prelude::*;

fn capacity(facts: &Facts, role: Role) -> (u64, Limit) {
    let capacity = Capacity::of(facts).by_role.of(role);
    (capacity.connections.unwrap(), capacity.limited_by.unwrap())
}

#[track_caller]
fn assert_capacity(facts: &Facts, limit: Limit, server: u64, client: u64, both: u64) {
    assert_eq!(capacity(facts, Role::Server), (server, limit), "as server");
    assert_eq!(capacity(facts, Role::Client), (client, limit), "as client");
    assert_eq!(capacity(facts, Role::Both), (both, limit), "with both ends");
}

#[test]
fn large_machine_fits_a_million_in_every_role() {
    let capacity = Capacity::of(&large());
    for role in Role::ALL {
        assert!(capacity.fits(role, 1_000_000), "{role:?}: {capacity:?}");
    }
}

#[test]
fn file_descriptors_limit_each_process_less_the_reserve() {
    let facts = Facts {
        descriptors_hard: Some(1_033),
        ..large()
    };
    assert_capacity(&facts, Limit::Fds, 1_000, 1_000, 1_000);
}

#[test]
fn soft_limit_of_file_descriptors_is_ignored() {
    let low = Facts {
        descriptors_soft: Some(64),
        ..large()
    };
    assert_eq!(Capacity::of(&low), Capacity::of(&large()));
}

#[test]
fn fewer_file_descriptors_than_the_reserve_allow_0() {
    let facts = Facts {
        descriptors_hard: Some(20),
        ..large()
    };
    assert_capacity(&facts, Limit::Fds, 0, 0, 0);
}

#[test]
fn nr_open_below_the_hard_limit_is_the_limit() {
    let facts = Facts {
        nr_open: Some(1_033),
        ..large()
    };
    assert_capacity(&facts, Limit::NrOpen, 1_000, 1_000, 1_000);
}

#[test]
fn nr_open_is_named_before_an_equal_hard_limit() {
    let facts = Facts {
        nr_open: Some(1_033),
        descriptors_hard: Some(1_033),
        ..large()
    };
    assert_capacity(&facts, Limit::NrOpen, 1_000, 1_000, 1_000);
}

#[test]
fn file_max_counts_open_files_and_both_ends() {
    let facts = Facts {
        file_max: Some(10_033),
        files_open: Some(4_000),
        ..large()
    };
    assert_capacity(&facts, Limit::FileMax, 6_000, 6_000, 3_000);
}

#[test]
fn epoll_watches_count_both_ends() {
    let facts = Facts {
        epoll_watches: Some(10_033),
        ..large()
    };
    assert_capacity(&facts, Limit::EpollWatches, 10_000, 10_000, 5_000);
}

#[test]
fn conntrack_counts_a_connection_once_with_both_ends() {
    let facts = Facts {
        conntrack_max: Some(1_000),
        conntrack_count: Some(100),
        ..large()
    };
    assert_capacity(&facts, Limit::Conntrack, 900, 900, 900);
}

#[test]
fn conntrack_without_entries_is_no_limit() {
    let facts = Facts {
        conntrack_max: Some(1_000),
        conntrack_count: Some(0),
        ..large()
    };
    assert!(Capacity::of(&facts).fits(Role::Both, 1_000_000));
    let unknown = Facts {
        conntrack_max: Some(1_000),
        conntrack_count: None,
        ..large()
    };
    assert_eq!(capacity(&unknown, Role::Server), (1_000, Limit::Conntrack));
}

#[test]
fn memory_is_divided_by_the_cost_of_each_end() {
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
    assert_capacity(&little, Limit::Memory, 100, 101, 50);
}

#[test]
fn tls_session_is_added_to_each_end() {
    let facts = Facts {
        memory_available_bytes: Some((3_956 + 3_686) * (3_900 + 5_100)),
        cgroup_memory: None,
        ..large()
    };
    let capacity = Capacity::over_tls(&facts);
    let mut bounds = capacity.bounds.iter();
    let memory = bounds.find(|bound| bound.limit == Limit::Memory).unwrap();
    assert_eq!(memory.allows(Role::Server), Some(3_900 + 5_100));
    assert_eq!(memory.allows(Role::Client), Some(3_956 + 3_686));
    let both = memory.allows(Role::Both).unwrap();
    assert!((4_100..4_150).contains(&both), "{both}");
}

#[test]
fn cgroup_memory_counts_less_what_is_used() {
    let group = CgroupMemory {
        limit_bytes: 1_000_000,
        used_bytes: 604_400,
        file: "/g".into(),
    };
    let facts = Facts {
        cgroup_memory: Some(group),
        ..large()
    };
    assert_capacity(&facts, Limit::CgroupMemory, 100, 101, 50);
}

#[test]
fn ports_times_addresses_limit_clients_only() {
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
    assert_eq!(capacity(&facts, Role::Client), (2_000, Limit::Ports));
    assert_eq!(bound(&facts, Limit::Ports).allows(Role::Server), None);
    assert_eq!(bound(&facts, Limit::Ports).allows(Role::Both), None);
    assert!(
        Capacity::of(&facts).fits(Role::Both, 1_000_000),
        "127/8 has enough addresses"
    );

    let reserved_ports = Some(vec![PortRange {
        first: 1_501,
        last: 3_000,
    }]);
    let reserved = Facts {
        reserved_ports,
        ..facts
    };
    assert_eq!(capacity(&reserved, Role::Client), (1_000, Limit::Ports));
}

#[test]
fn without_ipv4_the_ipv6_addresses_count() {
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
    assert_eq!(capacity(&facts, Role::Client), (200, Limit::Ports));
}

#[test]
fn loopback_ports_limit_both_ends_last() {
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
        capacity(&everything, Role::Both),
        ((1 << 24) - 2, Limit::LoopbackPorts)
    );
}

#[test]
fn no_facts_give_no_limit() {
    let capacity = Capacity::of(&Facts::default());
    for role in Role::ALL {
        assert_eq!(capacity.by_role.of(role).connections, None);
        assert_eq!(capacity.by_role.of(role).limited_by, None);
        assert!(capacity.fits(role, 1_000_000));
    }
}

/// A number of any size, often small, so that each limit is reached first in some cases.
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
        Limit::Fds => raise(&mut facts.descriptors_hard),
        Limit::FileMax => raise(&mut facts.file_max),
        Limit::EpollWatches => raise(&mut facts.epoll_watches),
        Limit::Conntrack => raise(&mut facts.conntrack_max),
        Limit::Memory => raise(&mut facts.memory_available_bytes),
        Limit::CgroupMemory => {
            let group = facts.cgroup_memory.as_mut().unwrap();
            group.limit_bytes = group.limit_bytes.saturating_add(by);
        }
        Limit::PrefixPorts => unreachable!("no limit of kernel sockets"),
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
    fn capacity_is_the_minimum_over_all_limits(facts in any_facts(), requested in any::<u64>()) {
        let capacity = Capacity::of(&facts);
        for role in Role::ALL {
            let of_role = capacity.by_role.of(role);
            let least = capacity.bounds.iter().filter_map(|bound| bound.allows(role)).min();
            prop_assert_eq!(of_role.connections, least);
            let binds = capacity.bounds.iter().find(|bound| Some(bound.limit) == of_role.limited_by);
            prop_assert_eq!(binds.and_then(|bound| bound.allows(role)), least);
            prop_assert_eq!(capacity.fits(role, requested), least.is_none_or(|least| requested <= least));
        }
    }

    #[test]
    fn raising_the_first_limit_never_lowers_the_capacity(facts in any_facts(), by in any::<u64>()) {
        for role in Role::ALL {
            let before = Capacity::of(&facts).by_role.of(role);
            if let Some(limit) = before.limited_by {
                let after = Capacity::of(&raised(&facts, limit, by)).by_role.of(role);
                prop_assert!(after.connections >= before.connections, "{:?}: {:?}, then {:?}", role, before, after);
            }
        }
    }

    #[test]
    fn limit_raised_to_the_needed_value_is_enough(facts in any_facts(), requested in 1_u64..10_000_000) {
        for role in Role::ALL {
            for bound in Capacity::of(&facts).bounds {
                let needed = bound.needed(role, requested);
                prop_assert_eq!(bound.is_enough(role, requested), bound.per_connection.of(role) == 0 || bound.value >= needed);
            }
        }
    }
}
