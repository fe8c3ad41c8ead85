//! Which hosts and server processes count once.

use super::host_count;
use crate::load::{HostId, Saved};
use crate::report::{Input, Targets, merge, sample};

fn merged(all: Vec<Saved>) -> Saved {
    let inputs = all.into_iter().map(|saved| Input::of("x", saved).unwrap());
    merge(inputs.collect(), Targets::One).unwrap()
}

/// A host of this name with its own network namespace, and the PID namespace of all.
fn on_host(mut saved: Saved, name: &str, boot_id: &str, network_namespace: u64) -> Saved {
    saved.host = name.to_owned();
    saved.host_id = Some(HostId {
        boot_id: boot_id.to_owned(),
        network_namespace,
        pid_namespace: 1,
    });
    saved
}

/// The retransmits of the machines, and the processes of the servers.
fn machines(all: Vec<Saved>) -> (Option<u64>, u32) {
    let result = merged(all).result;
    let server = result.server.unwrap();
    (result.connect.machine_retransmitted, server.processes)
}

#[test]
fn two_hosts_of_one_name_are_two() {
    let one = || on_host(sample::load(), "vm", "a", 1);
    assert_eq!(
        machines(vec![one(), on_host(sample::load(), "vm", "b", 1)]),
        (Some(2), 2)
    );
    // Namespaces of one machine have counters of their own, and see the same processes.
    let beside = || on_host(sample::of(&[vec![1], vec![2]]), "vm", "a", 2);
    assert_eq!(machines(vec![one(), beside()]), (Some(2), 1));
    let mut container = beside();
    container.host_id.as_mut().unwrap().pid_namespace = 2;
    assert_eq!(machines(vec![one(), container]), (Some(2), 2));
    let both = merged(vec![one(), beside()]);
    assert_eq!((host_count(&both.parts), both.host.as_str()), (2, "vm"));
    assert_eq!(both.host_id, None);
}

#[test]
fn one_host_of_two_names_is_one() {
    let one = on_host(sample::load(), "old-name", "a", 1);
    let other = on_host(sample::of(&[vec![1], vec![2]]), "new-name", "a", 1);
    let both = merged(vec![one.clone(), other.clone()]);
    assert_eq!(
        (host_count(&both.parts), both.host_id),
        (1, one.host_id.clone())
    );
    assert_eq!(machines(vec![one, other]), (Some(1), 1));
}

#[test]
fn older_results_without_identity_merge_by_name() {
    let named = |name: &str, times: &[u64]| {
        let mut saved = sample::of(&[times.to_vec(), times.to_vec()]);
        saved.host = name.to_owned();
        saved
    };
    assert_eq!(
        machines(vec![named("vm", &[1]), named("vm", &[2])]),
        (Some(1), 1)
    );
    assert_eq!(
        machines(vec![named("vm", &[1]), named("there", &[2])]),
        (Some(2), 2)
    );
    let newer = on_host(named("vm", &[2]), "vm", "a", 1);
    assert_eq!(machines(vec![named("vm", &[1]), newer]), (Some(1), 1));
}
