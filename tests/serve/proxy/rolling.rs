//! Two servers behind `HAProxy`, one of which is drained and started again under load.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use super::FLAGS;
use super::haproxy::{Haproxy, server_line};
use crate::client::connect;
use crate::harness::{Daemon, PATIENCE, eventually};

pub(super) const CLIENTS: usize = 16;
/// Echoes of one connection.
const ECHOES: usize = 20;

/// Clients that connect, echo and close, again and again, until they are stopped.
#[derive(Default)]
pub(super) struct Load {
    echoes: AtomicUsize,
    pub(super) is_over: AtomicBool,
}

impl Load {
    /// The addresses of the connections on which an echo failed.
    pub(super) fn run(&self, address: SocketAddr) -> Vec<SocketAddr> {
        let mut failed = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let mut stream = connect(address);
            let client = stream.local_addr().unwrap();
            for number in 0..ECHOES {
                if !echo(&mut stream, number) {
                    failed.push(client);
                    break;
                }
                self.echoes.fetch_add(1, Ordering::Relaxed);
            }
        }
        failed
    }

    /// Waits for so many further echoes.
    #[track_caller]
    pub(super) fn wait_for_echoes(&self, count: usize) {
        let before = self.echoes.load(Ordering::Relaxed);
        eventually(2 * PATIENCE, &format!("{count} echoes"), || {
            self.echoes.load(Ordering::Relaxed) >= before + count
        });
    }
}

/// Whether a message returns; a wrong one, or none in time, is a failure.
fn echo(stream: &mut TcpStream, number: usize) -> bool {
    let message = format!("message {number:10}\n");
    let mut reply = vec![0; message.len()];
    let echoed = stream
        .write_all(message.as_bytes())
        .and_then(|()| stream.read_exact(&mut reply));
    match echoed {
        Ok(()) => {
            assert_eq!(reply, message.as_bytes(), "another message");
            true
        }
        Err(error) => {
            let is_timeout = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!is_timeout, "no echo in time: {error}");
            false
        }
    }
}

/// Whether the server has had this client.
pub(super) fn has_served(daemon: &Daemon, client: SocketAddr) -> bool {
    let text = format!(" is {client} behind the proxy ");
    daemon.lines().iter().any(|line| line.contains(&text))
}

fn start(address: &str) -> Daemon {
    Daemon::listening_on(&[address], &FLAGS)
}

#[test]
fn only_connections_of_a_drained_server_fail() {
    let (mut a, b) = (start("127.0.0.1:0"), start("127.0.0.1:0"));
    let options = "send-proxy-v2 check inter 100ms fall 1 rise 1 check-send-proxy";
    let backend = [
        "balance roundrobin".to_owned(),
        server_line("a", &a, options),
        server_line("b", &b, options),
    ];
    let Some(haproxy) = Haproxy::start(&backend) else {
        return;
    };
    for server in ["a", "b"] {
        haproxy.wait_for_status(server, "UP");
    }
    let load = Load::default();
    let (failed, restarted) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| load.run(haproxy.address())))
            .collect();
        load.wait_for_echoes(2000);
        a.signal(Signal::SIGTERM);
        assert_eq!(a.wait_exit(PATIENCE), Some(0));
        haproxy.wait_for_status("a", "DOWN");
        load.wait_for_echoes(2000);
        let restarted = start(&a.address().to_string());
        haproxy.wait_for_status("a", "UP");
        load.wait_for_echoes(2000);
        load.is_over.store(true, Ordering::Relaxed);
        let failed = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        (failed.collect::<Vec<_>>(), restarted)
    });
    for client in failed {
        assert!(
            has_served(&a, client),
            "{client} was not on the drained server"
        );
    }
    let clients = restarted.lines().into_iter();
    let served = clients
        .filter(|line| line.contains(" behind the proxy "))
        .count();
    assert!(served > 0, "the restarted server has clients again");
}
