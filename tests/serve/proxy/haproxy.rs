//! `HAProxy` in TCP mode in front of the server.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::serve;
use crate::client::{Random, assert_echo, connect, exchange};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::ports::unused_port;
use crate::tools::have_tool;

/// A running `HAProxy` with one frontend.
pub(crate) struct Haproxy {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl Haproxy {
    /// With these lines in its backend `echo`; `None` without the program.
    pub(crate) fn start(backend: &[String]) -> Option<Self> {
        if !have_tool("haproxy") {
            return None;
        }
        for _ in 0..5 {
            if let Some(haproxy) = Self::try_start(backend) {
                return Some(haproxy);
            }
        }
        panic!("HAProxy did not start on any of five free ports");
    }

    /// `None` if another process has taken the port meanwhile.
    fn try_start(backend: &[String]) -> Option<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], unused_port("127.0.0.1")));
        let directory = tempfile::tempdir().unwrap();
        let (file, stats) = (directory.path().join("cfg"), directory.path().join("stats"));
        let (stats, backend) = (stats.display(), backend.join("\n    "));
        let text = format!(
            "global
    stats socket {stats}
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 5s
    retries 3
    option redispatch 1
frontend clients
    bind {address}
    default_backend echo
backend echo
    {backend}
"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut haproxy = Self {
            child: command.spawn().unwrap(),
            directory,
            address,
        };
        let mut serves = false;
        eventually(PATIENCE, "HAProxy serves or exits", || {
            serves = haproxy.stats().is_some();
            serves || haproxy.child.try_wait().unwrap().is_some()
        });
        serves.then_some(haproxy)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The statistics as lines of values separated by commas.
    fn stats(&self) -> Option<String> {
        let mut socket = UnixStream::connect(self.directory.path().join("stats")).ok()?;
        socket.write_all(b"show stat\n").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// A value of a server of the backend, such as `status`.
    #[track_caller]
    pub(crate) fn stat(&self, server: &str, name: &str) -> String {
        let stats = self.stats().expect("HAProxy answers");
        let mut lines = stats.lines();
        let names = lines.next().unwrap().trim_start_matches("# ");
        let column = names.split(',').position(|column| column == name);
        let prefix = format!("echo,{server},");
        let line = lines.find(|line| line.starts_with(&prefix)).unwrap();
        line.split(',').nth(column.unwrap()).unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for_status(&self, server: &str, status: &str) {
        eventually(PATIENCE, &format!("{server} is {status}"), || {
            self.stat(server, "status") == status
        });
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line of a backend for a server.
pub(crate) fn server_line(name: &str, daemon: &Daemon, options: &str) -> String {
    format!("server {name} {} {options}", daemon.address())
}

const OPTIONS: [&str; 3] = [
    "send-proxy",
    "send-proxy-v2",
    "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
];

#[test]
fn haproxy_reports_its_clients() {
    for options in OPTIONS {
        let daemon = serve(&[]);
        let Some(haproxy) = Haproxy::start(&[server_line("a", &daemon, options)]) else {
            return;
        };
        let data = Random(3).bytes(300_000);
        let mut clients: Vec<_> = (0..10).map(|_| connect(haproxy.address())).collect();
        for client in &mut clients {
            assert_echo(client, b"hello");
            let expected = format!(" is {} behind the proxy ", client.local_addr().unwrap());
            daemon.wait_for_line(&expected, |line| line.contains(&expected));
        }
        for client in &mut clients {
            assert!(exchange(client, &data) == data, "{options}");
        }
    }
}

/// `HAProxy` sends the header with the data of the client, or alone.
#[test]
fn client_that_only_half_closes_gets_fin_through_haproxy() {
    for options in OPTIONS {
        let daemon = serve(&[]);
        let Some(haproxy) = Haproxy::start(&[server_line("a", &daemon, options)]) else {
            return;
        };
        let mut client = connect(haproxy.address());
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "FIN");
    }
}

#[test]
fn health_checks_of_haproxy_are_answered() {
    for options in OPTIONS {
        let daemon = serve(&["--max-per-source", "1", "--deny", "127.0.0.0/8"]);
        let check = format!("{options} check inter 50ms check-send-proxy");
        let backend = [
            "option tcp-check".to_owned(),
            r"tcp-check send ping\n".to_owned(),
            "tcp-check expect string ping".to_owned(),
            server_line("a", &daemon, &check),
        ];
        let Some(haproxy) = Haproxy::start(&backend) else {
            return;
        };
        let checks = || {
            let lines = daemon.lines();
            let own = lines.iter().filter(|line| line.ends_with(" itself"));
            own.count()
        };
        eventually(PATIENCE, "five checks", || checks() >= 5);
        haproxy.wait_for_status("a", "UP");
        assert_eq!(haproxy.stat("a", "check_status"), "L7OK", "{options}");
        let lines = daemon.lines();
        let failed = lines.iter().find(|line| {
            line.contains("PROXY header: ")
                || line.contains("refused")
                || line.contains("malformed")
        });
        assert_eq!(failed, None, "{options}");
    }
}

/// Without the option on both sides, no byte is echoed.
#[test]
fn haproxy_without_send_proxy_is_not_served() {
    let daemon = serve(&[]);
    let Some(haproxy) = Haproxy::start(&[server_line("a", &daemon, "")]) else {
        return;
    };
    let mut client = connect(haproxy.address());
    client.write_all(b"hello").unwrap();
    let mut reply = Vec::new();
    // A reset if HAProxy has not read all input.
    let _ = client.read_to_end(&mut reply);
    assert_eq!(reply, b"");
    daemon.wait_for_line("the cause", |line| {
        line.ends_with("PROXY header: the input does not begin with it")
    });
}
