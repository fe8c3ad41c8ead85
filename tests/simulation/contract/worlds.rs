//! The worlds that are held to the contract, and the peers in them.

use crate::faults::Faults;
use crate::rng::Rng;
use crate::selector::SERVER;
use crate::send_queue::Kernel as SimulatedKernel;
use crate::sim_net::SimNet;
use crate::world::{SharedWorld, SocketId, World};
use echoloop::net::{ListenOptions, MioNet, Net, SocketBuffer, Source};
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

/// A network, and the peers that do not belong to it.
pub trait Worlds {
    type Net: Net;
    type Peer: Peer;

    /// How long what has to come may take.
    const PATIENCE: Duration;
    /// How long one wait takes at most.
    const PAUSE: Duration;
    /// When no byte was acknowledged for so long, none will be until the peer reads: longer than a delayed ACK.
    const QUIET: Duration;

    fn new() -> Self;

    fn net(&mut self) -> &mut Self::Net;

    /// Opens the listener, the only one, as [`Source::listener`] 0.
    fn listen(&mut self) -> <Self::Net as Net>::Listener;

    /// Somebody was taken from the queue.
    fn has_accepted(&mut self) {}

    /// Closes the listener, whoever waits.
    fn close_listener(&mut self, listener: <Self::Net as Net>::Listener) {
        drop(listener);
    }

    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// A peer connects to the listener, or is refused.
    fn dial(&mut self) -> io::Result<Self::Peer>;

    /// Lets all that was done arrive at the other end.
    fn settle(&mut self);

    /// A number that two streams of one world share only if the kernel has used it again.
    fn descriptor(stream: &<Self::Net as Net>::Stream) -> i32;
}

/// The other end of a connection. No call of it blocks.
pub trait Peer {
    /// Sends a few bytes, for which there is room.
    ///
    /// # Errors
    /// What a reset is told by.
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the connection stands");
    }

    /// As [`send`](Peer::send), and the last byte is urgent.
    fn send_urgent(&mut self, bytes: &[u8]);

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    fn send_fin(&mut self);

    /// Closes, with FIN if all has been read.
    fn close(self);

    fn reset(self);
}

/// The kernel's sockets, on loopback.
pub struct Kernel {
    net: MioNet,
    address: SocketAddr,
    /// A connection of its own: what was sent on others before has arrived when this has brought something.
    line: (TcpStream, TcpStream),
}

impl Worlds for Kernel {
    type Net = MioNet;
    type Peer = TcpStream;

    const PATIENCE: Duration = Duration::from_secs(10);
    const PAUSE: Duration = Duration::from_millis(1);
    const QUIET: Duration = Duration::from_millis(300);

    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        one.set_nodelay(true).unwrap();
        let (other, _) = listener.accept().unwrap();
        let mut net = MioNet::new().unwrap();
        net.open_sock_diag().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let line = (one, other);
        Kernel { net, address, line }
    }

    fn net(&mut self) -> &mut MioNet {
        &mut self.net
    }

    fn listen(&mut self) -> <MioNet as Net>::Listener {
        let mut options = ListenOptions::new(self.address);
        // Small, so that they are soon full.
        options.socket_buffer = SocketBuffer::Size(16 * 1024);
        let listener = self.net.listen(&options, Source::listener(0)).unwrap();
        self.address = self.net.local_addr(&listener).unwrap();
        listener
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn dial(&mut self) -> io::Result<TcpStream> {
        let peer = TcpStream::connect(self.address)?;
        peer.set_nodelay(true)?;
        peer.set_nonblocking(true)?;
        Ok(peer)
    }

    fn settle(&mut self) {
        self.line.0.write_all(b".").unwrap();
        self.line.1.read_exact(&mut [0]).unwrap();
    }

    fn descriptor(stream: &TcpStream) -> i32 {
        use std::os::fd::AsRawFd;
        stream.as_raw_fd()
    }
}

impl Peer for TcpStream {
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn send_urgent(&mut self, bytes: &[u8]) {
        let sent = SockRef::from(&*self).send_out_of_band(bytes).unwrap();
        assert_eq!(sent, bytes.len());
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    fn send_fin(&mut self) {
        self.shutdown(std::net::Shutdown::Write).unwrap();
    }

    fn close(self) {}

    fn reset(self) {
        let linger = Some(Duration::ZERO);
        SockRef::from(&self).set_linger(linger).unwrap();
    }
}

/// The simulated world without faults. `DRAINS`: whether a short read has emptied the socket. `BUFFERS`: whether there
/// are send buffers.
pub struct Simulated<const DRAINS: bool, const BUFFERS: bool> {
    world: SharedWorld,
    net: SimNet<DRAINS>,
}

pub struct SimulatedPeer {
    world: SharedWorld,
    id: SocketId,
}

impl<const DRAINS: bool, const BUFFERS: bool> Worlds for Simulated<DRAINS, BUFFERS> {
    type Net = SimNet<DRAINS>;
    type Peer = SimulatedPeer;

    /// What is not there at once does not come.
    const PATIENCE: Duration = Duration::ZERO;
    const PAUSE: Duration = Duration::ZERO;
    const QUIET: Duration = Duration::ZERO;

    fn new() -> Self {
        let mut world = World::new(Rng::new(1), Faults::default(), !DRAINS);
        if BUFFERS {
            world.kernel = SimulatedKernel {
                send_buffer: 32 * 1024,
                notsent_lowat: 128 * 1024,
                segment: 65_483,
                ..SimulatedKernel::default()
            };
        }
        let world = Rc::new(RefCell::new(world));
        let net = SimNet {
            world: world.clone(),
            host: SERVER,
        };
        Simulated { world, net }
    }

    fn net(&mut self) -> &mut SimNet<DRAINS> {
        &mut self.net
    }

    fn listen(&mut self) -> <SimNet<DRAINS> as Net>::Listener {
        let options = ListenOptions::new(self.address());
        self.net.listen(&options, Source::listener(0)).unwrap()
    }

    fn has_accepted(&mut self) {
        for end in &mut self.world.borrow_mut().sockets {
            // This is no echo server: nobody is to check whether it owes anything.
            end.is_server_side = false;
        }
    }

    fn close_listener(&mut self, listener: <SimNet<DRAINS> as Net>::Listener) {
        // A server may leave connections in the queue only when a drain is over.
        self.world.borrow_mut().drained_by = Some(0);
        drop(listener);
    }

    fn address(&self) -> SocketAddr {
        crate::sim_net::address(1)
    }

    fn dial(&mut self) -> io::Result<SimulatedPeer> {
        let id = self.world.borrow_mut().connect(0, 1)?;
        let world = self.world.clone();
        Ok(SimulatedPeer { world, id })
    }

    fn settle(&mut self) {}

    fn descriptor(_: &<SimNet<DRAINS> as Net>::Stream) -> i32 {
        // Numbers are not used again here, or always, as one likes to see it: keys are all that counts.
        0
    }
}

impl Peer for SimulatedPeer {
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        if let Some(error) = world.sockets[self.id].write_error() {
            return Err(error);
        }
        assert_eq!(world.send(self.id, bytes), bytes.len());
        Ok(())
    }

    fn send_urgent(&mut self, bytes: &[u8]) {
        let (urgent, before) = bytes.split_last().unwrap();
        self.send(before);
        self.world.borrow_mut().mark_urgent(self.id);
        self.send(&[*urgent]);
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().read(self.id, buffer)
    }

    fn send_fin(&mut self) {
        self.world.borrow_mut().send_fin(self.id);
    }

    fn close(self) {
        self.world.borrow_mut().close(self.id, false);
    }

    fn reset(self) {
        self.world.borrow_mut().close(self.id, true);
    }
}
