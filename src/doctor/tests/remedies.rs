//! Remedies: commands that raise a limit to the needed value, as this user must type them.

use super::super::{
    Address, Bound, CgroupMemory, Facts, Limit, PortRange, Remedy, Report, Role, remedy,
};
use super::{address, bound, large};

/// A machine that is too small for a million connections, with the user root.
fn small() -> Facts {
    Facts {
        descriptors_soft: Some(1_024),
        descriptors_hard: Some(4_096),
        nr_open: Some(8_192),
        file_max: Some(9_000),
        files_open: Some(1_000),
        epoll_watches: Some(5_000),
        port_range: Some(PortRange {
            first: 32_768,
            last: 60_999,
        }),
        addresses: Some(vec![
            address("lo", "127.0.0.1"),
            address("ens3", "192.0.2.2"),
        ]),
        conntrack_max: Some(5_000),
        conntrack_count: Some(7),
        memory_available_bytes: Some(1 << 20),
        cgroup_memory: Some(CgroupMemory {
            limit_bytes: 2 << 20,
            used_bytes: 1 << 20,
            file: "/sys/fs/cgroup/memory.max".into(),
        }),
        ..large()
    }
}

fn remedy_for(facts: &Facts, limit: Limit, role: Role, connections: u64) -> Remedy {
    let found = remedy(facts, &bound(facts, limit), role, connections);
    found.unwrap_or_else(|| panic!("no remedy for {limit:?}"))
}

/// As server, for a million.
fn server_remedy(facts: &Facts, limit: Limit) -> Remedy {
    remedy_for(facts, limit, Role::Server, 1_000_000)
}

#[test]
fn limit_that_is_enough_needs_no_remedy() {
    let facts = large();
    for limit in [Limit::NrOpen, Limit::Fds, Limit::FileMax, Limit::Memory] {
        assert_eq!(
            remedy(&facts, &bound(&facts, limit), Role::Server, 1_000_000),
            None,
            "{limit:?}"
        );
    }
}

#[test]
fn kernel_settings_are_raised_by_sysctl() {
    for (limit, name, to) in [
        (Limit::NrOpen, "fs.nr_open", 1_000_033),
        (Limit::FileMax, "fs.file-max", 1_001_033),
        (Limit::EpollWatches, "fs.epoll.max_user_watches", 1_000_033),
        (
            Limit::Conntrack,
            "net.netfilter.nf_conntrack_max",
            1_000_007,
        ),
    ] {
        let remedy = server_remedy(&small(), limit);
        assert_eq!(remedy.to, to);
        assert_eq!(remedy.now, [format!("sysctl -w {name}={to}")]);
        assert_eq!(
            remedy.permanent[0],
            format!("echo '{name} = {to}' >> /etc/sysctl.d/60-echoloop.conf")
        );
        assert_eq!(remedy.needs, None);
    }
}

#[test]
fn shared_limits_are_raised_twice_as_far_for_both_ends() {
    let to = |limit| remedy_for(&small(), limit, Role::Both, 1_000_000).to;
    assert_eq!(to(Limit::EpollWatches), 2_000_033);
    assert_eq!(to(Limit::FileMax), 2_001_033);
    assert_eq!(to(Limit::Fds), 1_000_033);
}

#[test]
fn commands_of_other_users_start_with_sudo() {
    let facts = Facts {
        is_root: Some(false),
        ..small()
    };
    let remedy = server_remedy(&facts, Limit::NrOpen);
    assert_eq!(remedy.now, ["sudo sysctl -w fs.nr_open=1000033"]);
    assert_eq!(
        remedy.permanent,
        ["echo 'fs.nr_open = 1000033' | sudo tee -a /etc/sysctl.d/60-echoloop.conf"]
    );
}

#[test]
fn read_only_settings_need_the_host() {
    let facts = Facts {
        sysctl_is_read_only: Some(true),
        ..small()
    };
    let needs = server_remedy(&facts, Limit::NrOpen).needs.unwrap();
    assert!(needs.contains("on the host"), "{needs}");
}

#[test]
fn conntrack_module_is_loaded_permanently_too() {
    let remedy = server_remedy(&small(), Limit::Conntrack);
    assert_eq!(
        remedy.permanent[1],
        "echo 'nf_conntrack' >> /etc/modules-load.d/echoloop.conf"
    );
}

#[test]
fn privileged_process_raises_file_descriptors_by_ulimit() {
    let remedy = server_remedy(&small(), Limit::Fds);
    assert_eq!(remedy.now, ["ulimit -n 1000033"]);
    assert_eq!(
        remedy.permanent,
        ["echo 'root - nofile 1000033' >> /etc/security/limits.d/echoloop.conf"]
    );
    assert_eq!(remedy.unit.as_deref(), Some("LimitNOFILE=1000033"));
    assert_eq!(remedy.needs, None);
}

#[test]
fn unprivileged_user_needs_root_for_file_descriptors() {
    let facts = Facts {
        is_root: Some(false),
        may_raise_hard_limit: Some(false),
        ..small()
    };
    let remedy = server_remedy(&facts, Limit::Fds);
    assert_eq!(
        remedy.now,
        ["sudo prlimit --pid $$ --nofile=1000033:1000033"]
    );
    assert_eq!(
        remedy.permanent,
        ["echo '* - nofile 1000033' | sudo tee -a /etc/security/limits.d/echoloop.conf"]
    );
    assert!(remedy.needs.unwrap().contains("root"));
}

#[test]
fn root_without_capability_needs_prlimit_from_outside() {
    let facts = Facts {
        is_root: Some(true),
        may_raise_hard_limit: Some(false),
        ..small()
    };
    let remedy = server_remedy(&facts, Limit::Fds);
    let needs = remedy.needs.unwrap();
    assert!(
        needs.contains("CAP_SYS_RESOURCE") && needs.contains("outside"),
        "{needs}"
    );
    assert!(needs.contains("--ulimit=nofile=1000033:1000033"), "{needs}");
}

#[test]
fn more_file_descriptors_than_nr_open_allows_need_processes() {
    for limit in [Limit::NrOpen, Limit::Fds] {
        let remedy = remedy_for(&small(), limit, Role::Server, 3_000_000_000);
        assert!(
            remedy.now.is_empty() && remedy.permanent.is_empty(),
            "{remedy:?}"
        );
        assert!(remedy.needs.unwrap().contains("2,147,483,584"));
    }
}

#[test]
fn few_ports_widen_the_port_range() {
    let remedy = remedy_for(&small(), Limit::Ports, Role::Client, 60_000);
    assert_eq!(remedy.to, 60_000);
    assert_eq!(
        remedy.now,
        ["sysctl -w net.ipv4.ip_local_port_range='1024 65535'"]
    );
    assert_eq!(
        remedy.permanent,
        ["echo 'net.ipv4.ip_local_port_range = 1024 65535' >> /etc/sysctl.d/60-echoloop.conf"]
    );
    assert_eq!(remedy.needs, None);
}

#[test]
fn many_ports_need_more_addresses() {
    // 64,512 ports each: 130,000 take three addresses, and the machine has one.
    let remedy = remedy_for(&small(), Limit::Ports, Role::Client, 130_000);
    assert_eq!(remedy.now[1], "ip address add ADDRESS/PREFIX dev ens3");
    let needs = remedy.needs.unwrap();
    assert!(needs.starts_with("2 more addresses"), "{needs}");
}

#[test]
fn widest_port_range_needs_addresses_only() {
    let facts = Facts {
        port_range: Some(PortRange {
            first: 1_024,
            last: 65_535,
        }),
        ..small()
    };
    let remedy = remedy_for(&facts, Limit::Ports, Role::Client, 100_000);
    assert_eq!(remedy.now, ["ip address add ADDRESS/PREFIX dev ens3"]);
    assert!(remedy.needs.unwrap().starts_with("1 more address "));
}

#[test]
fn machine_without_an_address_needs_one() {
    let addresses: Vec<Address> = vec![address("lo", "127.0.0.1")];
    let facts = Facts {
        addresses: Some(addresses),
        ..small()
    };
    assert_eq!(bound(&facts, Limit::Ports).allows(Role::Client), Some(0));
    let remedy = remedy_for(&facts, Limit::Ports, Role::Client, 1);
    assert!(remedy.needs.unwrap().starts_with("1 more address "));
}

#[test]
fn memory_has_no_command() {
    let remedy = server_remedy(&small(), Limit::Memory);
    assert_eq!(remedy.to, 3_956_000_000);
    assert!(remedy.now.is_empty() && remedy.permanent.is_empty());
    assert!(remedy.needs.unwrap().starts_with("3.6 GiB more memory"));
}

#[test]
fn cgroup_memory_is_raised_in_its_file() {
    let remedy = server_remedy(&small(), Limit::CgroupMemory);
    assert_eq!(remedy.to, 3_956_000_000 + (1 << 20));
    assert_eq!(remedy.now, ["echo 3957048576 > /sys/fs/cgroup/memory.max"]);
    assert_eq!(remedy.unit.as_deref(), Some("MemoryMax=3957048576"));
    let facts = Facts {
        is_root: Some(false),
        ..small()
    };
    let as_user = server_remedy(&facts, Limit::CgroupMemory);
    assert_eq!(
        as_user.now,
        ["echo 3957048576 | sudo tee /sys/fs/cgroup/memory.max"]
    );
}

#[test]
fn every_limit_that_is_too_low_has_a_remedy() {
    for role in Role::ALL {
        let report = Report::new(small(), role, Some(1_000_000));
        assert_eq!(report.fits(), Some(false));
        let remedied: Vec<Limit> = report
            .remedies
            .iter()
            .map(|(bound, _)| bound.limit)
            .collect();
        let is_low = |bound: &&Bound| !bound.is_enough(role, 1_000_000);
        let low: Vec<Limit> = report
            .capacity
            .bounds
            .iter()
            .filter(is_low)
            .map(|bound| bound.limit)
            .collect();
        assert!(low.len() >= 7, "{low:?}");
        assert_eq!(remedied, low);
    }
}

#[test]
fn without_a_number_the_first_limit_has_a_remedy() {
    for facts in [small(), large()] {
        let report = Report::new(facts, Role::Server, None);
        let first = report.capacity.by_role.server.limited_by.unwrap();
        assert!(
            report.remedy_for(first).is_some(),
            "{first:?} of {report:?}"
        );
        assert_eq!(report.fits(), None);
    }
}

fn abouts(facts: Facts, role: Role, requested: Option<u64>) -> Vec<&'static str> {
    let report = Report::new(facts, role, requested);
    report.notices.iter().map(|notice| notice.about).collect()
}

#[test]
fn each_notice_appears_only_for_its_setting() {
    let quiet = Facts {
        descriptors_soft: large().descriptors_hard,
        ..large()
    };
    let about = |facts: Facts| abouts(facts, Role::Server, Some(1_000_000));
    assert!(
        about(quiet.clone()).is_empty(),
        "{:?}",
        about(quiet.clone())
    );
    assert_eq!(
        about(Facts {
            somaxconn: Some(128),
            ..quiet.clone()
        }),
        ["backlog"]
    );
    assert_eq!(
        about(Facts {
            tcp_syncookies: Some(0),
            ..quiet.clone()
        }),
        ["syn_backlog"]
    );
    assert_eq!(
        about(Facts {
            tcp_syncookies: Some(0),
            tcp_max_syn_backlog: Some(4_096),
            ..quiet.clone()
        }),
        [""; 0]
    );
    assert_eq!(
        about(Facts {
            conntrack_count: Some(0),
            conntrack_max: Some(999),
            ..quiet.clone()
        }),
        ["conntrack"]
    );
    assert_eq!(
        about(Facts {
            tcp_mem_pages: Some([1, 2, 3]),
            ..quiet.clone()
        }),
        ["tcp_mem"]
    );
    assert_eq!(
        about(Facts {
            descriptors_soft: Some(1_024),
            ..quiet.clone()
        }),
        ["soft_limit"]
    );
    assert_eq!(
        about(Facts {
            nr_open: None,
            ..quiet.clone()
        }),
        ["unread"]
    );
    assert_eq!(
        abouts(quiet.clone(), Role::Server, Some(1_000_001)),
        ["max_connections"]
    );
    let client = Facts {
        somaxconn: Some(128),
        tcp_syncookies: Some(0),
        ..quiet
    };
    assert!(
        abouts(client, Role::Client, Some(1_000_000)).is_empty(),
        "notices about accepting, for a client"
    );
}

#[test]
fn tcp_mem_notice_appears_from_one_page_too_few() {
    let pages = |most| Facts {
        tcp_mem_pages: Some([1, 2, most]),
        ..large()
    };
    let appears = |most, role| abouts(pages(most), role, Some(1_000)).contains(&"tcp_mem");
    assert!(!appears(1_000, Role::Server) && appears(999, Role::Server));
    assert!(!appears(2_000, Role::Both) && appears(1_999, Role::Both));
}
