//! An independent TCP server, that of `smoltcp`, which echoes.

use echoloop::userspace::Endpoints;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv6Address};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Packets to and from the server.
#[derive(Default)]
struct Queues {
    input: VecDeque<Vec<u8>>,
    output: VecDeque<Vec<u8>>,
}

struct Input(Vec<u8>);
struct Output<'q>(&'q mut VecDeque<Vec<u8>>);

impl RxToken for Input {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Output<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Input;
    type TxToken<'a> = Output<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Input, Output<'_>)> {
        let packet = self.input.pop_front()?;
        Some((Input(packet), Output(&mut self.output)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Output<'_>> {
        Some(Output(&mut self.output))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// What the sockets of a server do.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Sockets that listen: the most connections.
    pub sockets: usize,
    pub keepalive: Option<Duration>,
}

pub struct EchoServer {
    address: SocketAddr,
    settings: Settings,
    interface: Interface,
    queues: Queues,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    /// Clients whose bytes it does not echo.
    pub unanswered: Vec<SocketAddr>,
}

fn instant(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap())
}

impl EchoServer {
    pub fn new(endpoints: &Endpoints, settings: Settings, seed: u64) -> EchoServer {
        let address = endpoints.server();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut queues = Queues::default();
        let mut interface = Interface::new(config, &mut queues, instant(Duration::ZERO));
        let cidr = IpCidr::new(IpAddress::from(address.ip()), 24);
        interface.update_ip_addrs(|all| all.push(cidr).unwrap());
        let routes = interface.routes_mut();
        let gateway = Ipv4Address::new(10, 0, 0, 2);
        routes.add_default_ipv4_route(gateway).unwrap();
        let gateway = Ipv6Address::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
        routes.add_default_ipv6_route(gateway).unwrap();
        let mut server = EchoServer {
            address,
            settings,
            interface,
            queues,
            sockets: SocketSet::new(Vec::new()),
            handles: Vec::new(),
            unanswered: Vec::new(),
        };
        server.add_sockets();
        server
    }

    fn add_sockets(&mut self) {
        for _ in 0..self.settings.sockets {
            let buffer = || SocketBuffer::new(vec![0; 4096]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_nagle_enabled(false);
            let keepalive = self.settings.keepalive.map(Into::into);
            socket.set_keep_alive(keepalive);
            // It ends connections that do not answer ten probes.
            let timeout = self
                .settings
                .keepalive
                .map(|keepalive| (10 * keepalive).into());
            socket.set_timeout(timeout);
            socket.listen(self.address).unwrap();
            self.handles.push(self.sockets.add(socket));
        }
    }

    /// Loses all connections without a packet, as a machine that was switched off and on.
    pub fn lose_state(&mut self) {
        self.sockets = SocketSet::new(Vec::new());
        self.handles.clear();
        self.add_sockets();
    }

    pub fn stop_keepalives(&mut self) {
        for handle in &self.handles {
            let socket = self.sockets.get_mut::<Socket<'_>>(*handle);
            socket.set_keep_alive(None);
            socket.set_timeout(None);
        }
    }

    pub fn receive(&mut self, packet: Vec<u8>) {
        self.queues.input.push_back(packet);
    }

    /// Processes all input; echoes; answers FIN with FIN. The packets go to `send`.
    pub fn run(&mut self, now: Duration, mut send: impl FnMut(&[u8])) {
        let now = instant(now);
        loop {
            self.interface
                .poll(now, &mut self.queues, &mut self.sockets);
            let has_news = self.echo();
            for packet in self.queues.output.drain(..) {
                send(&packet);
            }
            if !has_news {
                return;
            }
        }
    }

    fn echo(&mut self) -> bool {
        let mut has_news = false;
        for handle in &self.handles {
            let socket = self.sockets.get_mut::<Socket<'_>>(*handle);
            let client = socket.remote_endpoint();
            let mut unanswered = self.unanswered.iter();
            if unanswered.any(|silent| client == Some((*silent).into())) {
                continue;
            }
            while socket.can_recv() && socket.can_send() {
                let space = socket.send_capacity() - socket.send_queue();
                let take = |input: &mut [u8]| {
                    let length = input.len().min(space);
                    (length, input[..length].to_vec())
                };
                let bytes = socket.recv(take).unwrap();
                socket.send_slice(&bytes).unwrap();
                has_news |= !bytes.is_empty();
            }
            if socket.state() == State::CloseWait && !socket.can_recv() {
                socket.close();
                has_news = true;
            }
            if socket.state() == State::Closed {
                socket.listen(self.address).unwrap();
                has_news = true;
            }
        }
        has_news
    }

    /// The connections that are established for the server.
    pub fn established(&self) -> usize {
        let sockets = self.handles.iter();
        let states = sockets.map(|handle| self.sockets.get::<Socket<'_>>(*handle).state());
        states.filter(|state| *state == State::Established).count()
    }

    /// Whether the server has a connection with this client.
    pub fn has(&self, client: SocketAddr) -> bool {
        self.handles.iter().any(|handle| {
            let socket = self.sockets.get::<Socket<'_>>(*handle);
            socket.is_active() && socket.remote_endpoint() == Some(client.into())
        })
    }

    /// Closes all connections with FIN, or resets them.
    pub fn end_all(&mut self, with_fin: bool) {
        for handle in &self.handles {
            let socket = self.sockets.get_mut::<Socket<'_>>(*handle);
            if socket.state() != State::Established {
            } else if with_fin {
                socket.close();
            } else {
                socket.abort();
            }
        }
    }

    pub fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        let at = self.interface.poll_at(instant(now), &self.sockets)?;
        Some(Duration::from_micros(
            u64::try_from(at.total_micros()).unwrap(),
        ))
    }
}
