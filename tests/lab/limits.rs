//! What limits each family of patterns, by counts.

use crate::server::{Server, echo, is_silent, wait_until};
use echoloop::net::AcceptQueueReader;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Places of a pool.
const PLACES: usize = 5;

/// Occupies all places, and shows that the next client gets no reply until one of them is free.
fn replies_to_none_behind(pattern: &str, places: usize, is_accepted: bool) {
    let server = Server::start(pattern, places);
    let mut idle: Vec<TcpStream> = (0..places).map(|_| server.connect_served()).collect();
    let mut next = server.connect();
    next.write_all(b"?").unwrap();
    let mut queue = AcceptQueueReader::open(server.address).unwrap().unwrap();
    let waiting = u32::from(!is_accepted);
    wait_until("the client is accepted or waits", || {
        queue.read().unwrap().length == waiting
    });
    for _ in 0..50 {
        for client in &mut idle {
            echo(client, b"served");
        }
        assert!(is_silent(&mut next), "{pattern} replied");
    }
    assert_eq!(queue.read().unwrap().length, waiting, "{pattern}");
    idle.pop();
    let mut reply = [0];
    next.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"?", "{pattern}");
}

#[test]
fn serial_server_replies_to_none_behind_an_idle_client() {
    replies_to_none_behind("serial", 1, false);
}

#[test]
fn pools_reply_to_none_behind_as_many_idle_clients_as_places() {
    replies_to_none_behind("prefork", PLACES, false);
    replies_to_none_behind("acceptors", PLACES, false);
    // It accepts the connection, which then waits in its own queue.
    replies_to_none_behind("pool", PLACES, true);
}

#[test]
fn thread_per_client_has_one_thread_more_than_clients() {
    let server = Server::start("thread", 1);
    let mut clients = Vec::new();
    for count in 1..=40 {
        clients.push(server.connect_served());
        assert_eq!(server.threads(), count + 1);
    }
    clients.truncate(7);
    wait_until("threads end with their clients", || server.threads() == 8);
}

#[test]
fn process_per_client_ends_with_its_client() {
    for pattern in ["fork", "process"] {
        let server = Server::start(pattern, 1);
        let mut clients: Vec<TcpStream> = (0..10).map(|_| server.connect_served()).collect();
        assert_eq!(server.children().len(), 10, "{pattern}");
        clients.truncate(3);
        // Children are waited for at the next accept.
        wait_until("processes end with their clients", || {
            drop(server.connect_served());
            server.children().len() <= 3 + 1
        });
    }
}

#[test]
fn children_end_with_a_server_that_is_killed() {
    for pattern in ["prefork", "fork", "process"] {
        let server = Server::start(pattern, 4);
        let client = server.connect_served();
        wait_until("children", || {
            let least = if pattern == "prefork" { 4 } else { 1 };
            server.children().len() >= least
        });
        let children = server.children();
        server.kill_parent();
        // Without the clients, a program at the other end of a socket reaches its end of input.
        drop(client);
        for child in children {
            wait_until("its child has ended", || has_ended(child));
        }
    }
}

/// A child that has not yet asked for a signal at its parent's end would never get one.
#[test]
fn children_end_with_a_server_that_is_killed_while_they_start() {
    for count in (1..=8).cycle().take(96) {
        let server = Server::start("prefork", 8);
        // Without a pause, so that the signal comes before the last child has run far.
        let mut children = server.children();
        while children.len() < count {
            children = server.children();
        }
        server.kill_parent();
        for child in children {
            wait_until("its child has ended", || has_ended(child));
        }
    }
}

/// Whether a process has exited; without a parent that waits for it, it may remain as a zombie.
fn has_ended(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('Z')),
        Err(_) => true,
    }
}

#[test]
fn one_thread_serves_all_clients_of_an_event_loop() {
    for pattern in ["select", "poll", "epoll_level", "epoll_edge", "echoloop"] {
        let server = Server::start(pattern, 1);
        let clients: Vec<TcpStream> = (0..40).map(|_| server.connect_served()).collect();
        assert_eq!(server.threads(), 1, "{pattern}");
        assert_eq!(server.children().len(), 0, "{pattern}");
        drop(clients);
    }
}

#[test]
fn select_ends_at_file_descriptor_1024() {
    let mut server = Server::start("select", 1);
    let mut clients = Vec::new();
    wait_until("the server ends", || {
        if let Ok(client) = TcpStream::connect(server.address) {
            clients.push(client);
        }
        !server.is_running()
    });
    let most = 1024;
    // Standard streams and listener take some of the numbers; the last clients wait to be accepted.
    assert!(clients.len() > most - 10, "{}", clients.len());
}
