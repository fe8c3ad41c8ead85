//! Two hosts with their own names and addresses: this test's network namespace, and another one that is connected to it.

use crate::network::in_own_network;
use crate::tools::lacking;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

/// The address of this host.
pub(crate) const HERE: &str = "10.77.0.1";

/// The address of the other host.
pub(crate) const THERE: &str = "10.77.0.2";

/// The name of the other host.
pub(crate) const OTHER_NAME: &str = "other-host";

/// The other host. It ends with this value.
pub(crate) struct OtherHost {
    holder: Child,
}

/// Runs the test of this full name in its own network with another host. Skips it if that is not permitted.
pub(crate) fn with_other_host(name: &str, test: impl FnOnce(&OtherHost)) {
    in_own_network(name, || {
        if let Some(other) = OtherHost::start() {
            test(&other);
        }
    });
}

impl OtherHost {
    fn start() -> Option<OtherHost> {
        // It keeps the namespaces until its standard input ends.
        let script = format!("hostname {OTHER_NAME} && echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["-n", "-u", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(holder.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let other = OtherHost { holder };
        let is_connected = line == "ready\n" && other.connect();
        if !is_connected {
            lacking("a second network namespace (unshare -n -u, hostname, ip link type veth)");
            return None;
        }
        Some(other)
    }

    /// Connects the namespaces with a pair of virtual interfaces.
    fn connect(&self) -> bool {
        let pid = self.holder.id().to_string();
        let here = format!(
            "ip link add here type veth peer name there netns {pid} && \
             ip addr add {HERE}/24 dev here && ip link set here up"
        );
        let there = format!("ip addr add {THERE}/24 dev there && ip link set there up");
        let mut outside = Command::new("sh");
        outside.args(["-c", &here]);
        let mut inside = self.command("sh");
        inside.args(["-c", &there]);
        [outside, inside].iter_mut().all(|command| {
            let output = command.output().unwrap();
            output.status.success()
        })
    }

    /// A command on the other host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.holder.id().to_string();
        command.args(["-t", &pid, "-n", "-u", "--", program]);
        command
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// An echo server on this host that reports, for each connection with a message, the client's address and when the first
/// message had arrived.
pub(crate) fn arrivals() -> (SocketAddr, Receiver<(SocketAddr, Duration)>) {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let sender = sender.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                let mut is_first = true;
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if std::mem::take(&mut is_first) {
                        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
                        let _ = sender.send((stream.peer_addr().unwrap(), now));
                    }
                    if stream.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, receiver)
}
