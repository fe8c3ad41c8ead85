//! What a protocol gets from a server behind proxies, over real sockets in one thread.

use super::Proxied;
use crate::net::{ListenOptions, MioNet, Net, Time};
use crate::protocol::{ConnectionId, Context, Outbox, Protocol, Proxies, Session};
use crate::server::{Config, Refusal, Server};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Greets each client with its address, and echoes.
#[derive(Default)]
struct Greeter {
    peers: Vec<Option<SocketAddr>>,
    closed: usize,
}

struct GreeterSession;

impl Protocol for Greeter {
    type Session = GreeterSession;
    const WANTS_PEER: bool = true;

    fn name(&self) -> &'static str {
        "greeter"
    }

    fn session(&mut self) -> GreeterSession {
        GreeterSession
    }

    fn opened(&mut self, _: ConnectionId, peer: Option<SocketAddr>) {
        self.peers.push(peer);
    }

    fn closed(&mut self, _: ConnectionId) {
        self.closed += 1;
    }

    /// The loop never waits.
    fn wake_at(&self) -> Option<Time> {
        Some(Time::ZERO)
    }
}

impl Session for GreeterSession {
    type Shared = Greeter;

    fn open(&mut self, context: Context<'_, Greeter>, outbox: &mut Outbox<'_>) {
        let peer = context.shared.peers.last().copied().flatten();
        outbox.write(format!("{} ", peer.unwrap()).as_bytes());
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        _: Context<'_, Greeter>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        outbox.send(input);
        input.len()
    }
}

struct Fixture {
    server: Server<MioNet, Proxied<Greeter>>,
    address: SocketAddr,
}

impl Fixture {
    fn new(is_proxy: bool) -> Fixture {
        let protocol = Proxied::new(Greeter::default(), Some(Proxies::new(move |_| is_proxy)));
        let mut server = Server::new(MioNet::new().unwrap(), protocol, Config::default());
        server.set_address_filter(|address| address.is_ipv4());
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = server.listen(&ListenOptions::new(any_port)).unwrap();
        Fixture { server, address }
    }

    fn connect(&self, input: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(input.as_bytes()).unwrap();
        client
    }

    #[track_caller]
    fn run_until(&mut self, condition: impl Fn(&mut Server<MioNet, Proxied<Greeter>>) -> bool) {
        let deadline = self.server.net().now() + PATIENCE;
        while !condition(&mut self.server) {
            assert!(self.server.net().now() < deadline, "time is over");
            assert_eq!(self.server.run_iteration().unwrap(), None);
        }
    }

    /// All that the server sends to a client that half-closes now.
    #[track_caller]
    fn finish(&mut self, mut client: TcpStream) -> String {
        client.shutdown(Shutdown::Write).unwrap();
        let closed = self.server.counters().closed_in_all() + 1;
        self.run_until(|server| server.counters().closed_in_all() == closed);
        let mut received = String::new();
        client.read_to_string(&mut received).unwrap();
        received
    }

    fn greeter(&mut self) -> &mut Greeter {
        self.server.protocol().inner_mut()
    }
}

#[test]
fn protocol_gets_the_address_in_the_header_before_the_session_is_opened() {
    let mut fixture = Fixture::new(true);
    let client = fixture.connect("PROXY TCP4 192.0.2.1 192.0.2.2 5555 1\r\nhello");
    assert_eq!(fixture.finish(client), "192.0.2.1:5555 hello");
    let greeter = fixture.greeter();
    assert_eq!(greeter.peers, [Some("192.0.2.1:5555".parse().unwrap())]);
    assert_eq!(greeter.closed, 1);
}

#[test]
fn protocol_gets_the_address_of_the_proxy_for_its_own_connection() {
    let mut fixture = Fixture::new(true);
    let client = fixture.connect("PROXY UNKNOWN\r\n");
    let proxy = client.local_addr().unwrap();
    assert_eq!(fixture.finish(client), format!("{proxy} "));
    // Version 1 of some proxies.
    let mut client = fixture.connect("");
    let proxy = client.local_addr().unwrap();
    let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} 1\r\n", proxy.port());
    client.write_all(header.as_bytes()).unwrap();
    assert_eq!(fixture.finish(client), format!("{proxy} "));
}

#[test]
fn connection_without_header_is_not_opened_for_the_protocol() {
    let mut fixture = Fixture::new(true);
    let client = fixture.connect("");
    assert_eq!(fixture.finish(client), "");
    let greeter = fixture.greeter();
    assert_eq!((greeter.peers.len(), greeter.closed), (0, 0));
}

#[test]
fn refused_client_is_counted_as_opened_closed_and_refused() {
    let mut fixture = Fixture::new(true);
    let mut client = fixture.connect("PROXY TCP6 2001:db8::1 ::1 1 2\r\nhello");
    fixture.run_until(|server| server.counters().closed_in_all() == 1);
    let counters = fixture.server.counters();
    assert_eq!(counters.opened, 1);
    assert_eq!(counters.refused_for(Refusal::Denied), 1);
    assert!(client.read(&mut [0]).is_err(), "a reset");
    let greeter = fixture.greeter();
    assert_eq!((greeter.peers.len(), greeter.closed), (0, 0));
}

#[test]
fn peer_that_is_no_proxy_is_refused() {
    let mut fixture = Fixture::new(false);
    let mut client = fixture.connect("");
    fixture.run_until(|server| server.counters().refused_in_all() == 1);
    let counters = fixture.server.counters();
    assert_eq!(counters.refused_for(Refusal::NotProxy), 1);
    assert_eq!(counters.opened, 0);
    assert!(client.read(&mut [0]).is_err(), "a reset");
}
