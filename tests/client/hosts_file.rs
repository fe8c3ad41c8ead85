//! A hosts file (hosts(5)) that only the program under test uses, and ports that refuse connections.

use crate::tools::lacking;
use nix::unistd::Uid;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Mounts the file over the system's in a new mount namespace and executes the program.
const WITH_HOSTS: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

/// A hosts file.
pub(crate) struct Hosts(TempDir);

impl Hosts {
    /// A file with this text; none, as [`lacking`], if it cannot be mounted over the system's.
    #[track_caller]
    pub(crate) fn new(text: &str) -> Option<Hosts> {
        let hosts = Hosts(TempDir::new().unwrap());
        fs::write(hosts.path(), text).unwrap();
        let mut show = Command::new("cat");
        show.arg("/etc/hosts");
        let seen = hosts.command(&show).output();
        let is_possible = seen.is_ok_and(|seen| seen.stdout == text.as_bytes())
            || lacking("no permission for a mount namespace (unshare -m)");
        is_possible.then_some(hosts)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("hosts")
    }

    /// The command with this file as its hosts file.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("unshare");
        // Without root, a user namespace grants the right to mount.
        let flags = if Uid::effective().is_root() {
            "-m"
        } else {
            "-rm"
        };
        wrapped.args([flags, "sh", "-c", WITH_HOSTS]);
        wrapped
            .arg(self.path())
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
    }
}

/// A port of this address that is bound but not listening, so that it refuses connections.
pub(crate) fn refusing(address: &str) -> io::Result<Socket> {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
