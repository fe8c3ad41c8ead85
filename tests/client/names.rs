//! A name with two addresses, in a hosts file (hosts(5)) that only the program under test sees.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output};

use nix::unistd::Uid;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::clients::{assert_printed, assert_says, failure_of};
use crate::harness::echoloop;
use crate::peers::{Peer, echo};
use crate::tools::{lacking, run};

/// Two addresses of loopback with one name.
const TWINS: [&str; 2] = ["127.0.0.2", "127.0.0.3"];

/// Puts the file over the system's in a mount namespace of its own, and becomes the program.
const SEES_ITS_OWN_HOSTS: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

/// A command that sees both addresses under the name `twins`.
fn among_twins(folder: &TempDir, command: &Command) -> Command {
    let hosts = folder.path().join("hosts");
    let mut file = File::create(&hosts).unwrap();
    for address in TWINS {
        writeln!(file, "{address} twins").unwrap();
    }
    let mut seeing = Command::new("unshare");
    // Who is not root is it in a user namespace of his own.
    let flags = if Uid::effective().is_root() {
        "-m"
    } else {
        "-rm"
    };
    seeing.args([flags, "sh", "-c", SEES_ITS_OWN_HOSTS]);
    seeing
        .arg(&hosts)
        .arg(command.get_program())
        .args(command.get_args());
    seeing
}

fn have_hosts_of_their_own() -> bool {
    let folder = TempDir::new().unwrap();
    let mut show = Command::new("cat");
    show.arg("/etc/hosts");
    let seen = among_twins(&folder, &show).output();
    let expected = fs::read(folder.path().join("hosts")).unwrap();
    seen.is_ok_and(|seen| seen.stdout == expected)
        || lacking("a mount namespace (unshare -m) is not to be had")
}

/// Sends a word to the name.
fn send_to_twins(port: u16) -> Output {
    let folder = TempDir::new().unwrap();
    let mut command = echoloop();
    let target = format!("twins:{port}");
    command.args(["send", &target, "-m", "hello"]);
    run(among_twins(&folder, &command), b"")
}

/// A port of this address on which nobody listens, kept from others while it lives.
fn refusing(address: &str, port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

#[test]
fn whichever_address_of_a_name_refuses_the_other_is_found() {
    if !have_hosts_of_their_own() {
        return;
    }
    // The resolver has an order of its own (RFC 6724), so each is the one that refuses once: also the first.
    for (listens, refuses) in [(TWINS[0], TWINS[1]), (TWINS[1], TWINS[0])] {
        let peer = Peer::listening_on(&format!("{listens}:0"), echo);
        let port = peer.address.port();
        let _refusing = refusing(refuses, port);
        assert_printed(&send_to_twins(port), b"hello");
        peer.found();
    }
}

#[test]
fn when_both_addresses_of_a_name_refuse_the_line_names_the_name_and_both() {
    if !have_hosts_of_their_own() {
        return;
    }
    let first = refusing(TWINS[0], 0);
    let port = first.local_addr().unwrap().as_socket().unwrap().port();
    let _second = refusing(TWINS[1], port);
    let line = failure_of(&send_to_twins(port));
    let each = TWINS.map(|address| format!("{address}:{port}: Connection refused"));
    let name = format!("twins:{port}");
    assert_says(&line, &[&*name, &*each[0], &*each[1]]);
}
