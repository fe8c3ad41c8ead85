//! A name with two addresses, in a hosts file (hosts(5)) that only the program under test uses.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output};

use nix::unistd::Uid;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::clients::{assert_contains, assert_printed, failure_of};
use crate::harness::echoloop;
use crate::peers::{Peer, echo};
use crate::tools::{lacking, run};

/// Two addresses of loopback with one name.
const TWINS: [&str; 2] = ["127.0.0.2", "127.0.0.3"];

/// Mounts the file over the system's in a new mount namespace and executes the program.
const WITH_HOSTS: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

/// The command with both addresses under the name `twins`.
fn with_twins(folder: &TempDir, command: &Command) -> Command {
    let hosts = folder.path().join("hosts");
    let mut file = File::create(&hosts).unwrap();
    for address in TWINS {
        writeln!(file, "{address} twins").unwrap();
    }
    let mut wrapped = Command::new("unshare");
    // Without root, a user namespace grants the right to mount.
    let flags = if Uid::effective().is_root() {
        "-m"
    } else {
        "-rm"
    };
    wrapped.args([flags, "sh", "-c", WITH_HOSTS]);
    wrapped
        .arg(&hosts)
        .arg(command.get_program())
        .args(command.get_args());
    wrapped
}

fn have_mount_namespace() -> bool {
    let folder = TempDir::new().unwrap();
    let mut show = Command::new("cat");
    show.arg("/etc/hosts");
    let seen = with_twins(&folder, &show).output();
    let expected = fs::read(folder.path().join("hosts")).unwrap();
    seen.is_ok_and(|seen| seen.stdout == expected)
        || lacking("no permission for a mount namespace (unshare -m)")
}

/// Sends a message to the name.
fn send_to_twins(port: u16) -> Output {
    let folder = TempDir::new().unwrap();
    let mut command = echoloop();
    let target = format!("twins:{port}");
    command.args(["send", &target, "-m", "hello"]);
    run(with_twins(&folder, &command), b"")
}

/// A port of this address that is bound but not listening, so that it refuses connections.
fn refusing(address: &str, port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

#[test]
fn either_address_of_a_name_may_refuse() {
    if !have_mount_namespace() {
        return;
    }
    // The resolver chooses the order (RFC 6724), so each address refuses once.
    for (listens, refuses) in [(TWINS[0], TWINS[1]), (TWINS[1], TWINS[0])] {
        let peer = Peer::listening_on(&format!("{listens}:0"), echo);
        let port = peer.address.port();
        let _refusing = refusing(refuses, port);
        assert_printed(&send_to_twins(port), b"hello");
        peer.join();
    }
}

#[test]
fn error_lists_the_name_and_both_refusing_addresses() {
    if !have_mount_namespace() {
        return;
    }
    let first = refusing(TWINS[0], 0);
    let port = first.local_addr().unwrap().as_socket().unwrap().port();
    let _second = refusing(TWINS[1], port);
    let line = failure_of(&send_to_twins(port));
    let each = TWINS.map(|address| format!("{address}:{port}: Connection refused"));
    let name = format!("twins:{port}");
    assert_contains(&line, &[&*name, &*each[0], &*each[1]]);
}
