//! A name with two addresses.

use std::process::Output;

use crate::clients::{assert_contains, assert_printed, failure_of};
use crate::harness::echoloop;
use crate::hosts_file::{Hosts, refusing};
use crate::peers::{Peer, echo};
use crate::tools::run;

/// Two addresses of loopback with one name.
const TWINS: [&str; 2] = ["127.0.0.2", "127.0.0.3"];

/// Both addresses under the name `twins`.
fn twins() -> Option<Hosts> {
    Hosts::new(&TWINS.map(|address| format!("{address} twins\n")).concat())
}

/// Sends a message to the name.
fn send_to_twins(hosts: &Hosts, port: u16) -> Output {
    let mut command = echoloop();
    let target = format!("twins:{port}");
    command.args(["send", &target, "-m", "hello"]);
    run(hosts.command(&command), b"")
}

#[test]
fn either_address_of_a_name_may_refuse() {
    let Some(hosts) = twins() else {
        return;
    };
    // The resolver chooses the order (RFC 6724), so each address refuses once.
    for (listens, refuses) in [(TWINS[0], TWINS[1]), (TWINS[1], TWINS[0])] {
        let peer = Peer::listening_on(&format!("{listens}:0"), echo);
        let port = peer.address.port();
        let _refusing = refusing(&format!("{refuses}:{port}")).unwrap();
        assert_printed(&send_to_twins(&hosts, port), b"hello");
        peer.join();
    }
}

#[test]
fn error_lists_the_name_and_both_refusing_addresses() {
    let Some(hosts) = twins() else {
        return;
    };
    let first = refusing(&format!("{}:0", TWINS[0])).unwrap();
    let port = first.local_addr().unwrap().as_socket().unwrap().port();
    let _second = refusing(&format!("{}:{port}", TWINS[1])).unwrap();
    let line = failure_of(&send_to_twins(&hosts, port));
    let each = TWINS.map(|address| format!("{address}:{port}: Connection refused"));
    let name = format!("twins:{port}");
    assert_contains(&line, &[&*name, &*each[0], &*each[1]]);
}
