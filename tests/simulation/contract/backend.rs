//! The backends that the contract is tested on, and their peers.

use crate::faults::Faults;
use crate::network::{Network, SharedNetwork, SocketId};
use crate::rng::Rng;
use crate::selector::SERVER;
use crate::send_queue::Kernel as SimulatedKernel;
use crate::sim_net::SimNet;
use echoloop::net::{ListenOptions, MioNet, Net, SocketBuffer, Source};
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

/// A network under test, and the peers that connect to it.
pub trait Backend {
    type Net: Net;
    type Peer: Peer;

    /// The longest wait for an expected event.
    const MAX_WAIT: Duration;
    /// Timeout of one call of [`Net::wait`].
    const POLL_TIMEOUT: Duration;
    /// After this time without an acknowledgement none follows until the peer reads: longer than a delayed ACK.
    const ACK_QUIET: Duration;

    fn new() -> Self;

    fn net(&mut self) -> &mut Self::Net;

    /// Opens the only listener, as [`Source::listener`] 0.
    fn listen(&mut self) -> <Self::Net as Net>::Listener;

    /// Called after every accept.
    fn on_accept(&mut self) {}

    /// Closes the listener, even with connections in its accept queue.
    fn close_listener(&mut self, listener: <Self::Net as Net>::Listener) {
        drop(listener);
    }

    /// The listener's address.
    fn address(&self) -> SocketAddr;

    /// Connects a peer to the listener.
    fn connect_peer(&mut self) -> io::Result<Self::Peer>;

    /// Waits until everything sent so far has arrived.
    fn deliver_all(&mut self);

    /// The stream's file descriptor, by which a test recognizes that the kernel has reused it.
    fn raw_fd(stream: &<Self::Net as Net>::Stream) -> i32;
}

/// The peer's end of a connection. No call blocks.
pub trait Peer {
    /// Sends a few bytes, which must fit into the send buffer.
    ///
    /// # Errors
    /// The connection was reset.
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("an established connection");
    }

    /// As [`send`](Peer::send), with the last byte urgent.
    fn send_urgent(&mut self, bytes: &[u8]);

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    fn send_fin(&mut self);

    /// Closes with FIN, or with RST if input is unread.
    fn close(self);

    fn reset(self);
}

/// The kernel's sockets on loopback.
pub struct KernelBackend {
    net: MioNet,
    address: SocketAddr,
    /// A separate connection: a byte that arrives here shows that everything sent earlier has arrived, too.
    barrier: (TcpStream, TcpStream),
}

impl Backend for KernelBackend {
    type Net = MioNet;
    type Peer = TcpStream;

    const MAX_WAIT: Duration = Duration::from_secs(10);
    const POLL_TIMEOUT: Duration = Duration::from_millis(1);
    const ACK_QUIET: Duration = Duration::from_millis(300);

    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        sender.set_nodelay(true).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        let mut net = MioNet::new().unwrap();
        net.open_sock_diag().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let barrier = (sender, receiver);
        KernelBackend {
            net,
            address,
            barrier,
        }
    }

    fn net(&mut self) -> &mut MioNet {
        &mut self.net
    }

    fn listen(&mut self) -> <MioNet as Net>::Listener {
        let mut options = ListenOptions::new(self.address);
        // Small buffers fill quickly.
        options.socket_buffer = SocketBuffer::Size(16 * 1024);
        let listener = self.net.listen(&options, Source::listener(0)).unwrap();
        self.address = self.net.local_addr(&listener).unwrap();
        listener
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn connect_peer(&mut self) -> io::Result<TcpStream> {
        let peer = TcpStream::connect(self.address)?;
        peer.set_nodelay(true)?;
        peer.set_nonblocking(true)?;
        Ok(peer)
    }

    fn deliver_all(&mut self) {
        self.barrier.0.write_all(b".").unwrap();
        self.barrier.1.read_exact(&mut [0]).unwrap();
    }

    fn raw_fd(stream: &TcpStream) -> i32 {
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

/// The simulated network without faults. `DRAINS`: a short read shows that the socket is empty. `BUFFERS`: there are
/// send buffers.
pub struct SimBackend<const DRAINS: bool, const BUFFERS: bool> {
    network: SharedNetwork,
    net: SimNet<DRAINS>,
}

pub struct SimPeer {
    network: SharedNetwork,
    id: SocketId,
}

impl<const DRAINS: bool, const BUFFERS: bool> Backend for SimBackend<DRAINS, BUFFERS> {
    type Net = SimNet<DRAINS>;
    type Peer = SimPeer;

    /// The simulated network delivers at once.
    const MAX_WAIT: Duration = Duration::ZERO;
    const POLL_TIMEOUT: Duration = Duration::ZERO;
    const ACK_QUIET: Duration = Duration::ZERO;

    fn new() -> Self {
        let mut network = Network::new(Rng::new(1), Faults::default(), !DRAINS);
        if BUFFERS {
            network.kernel = SimulatedKernel {
                send_buffer: 32 * 1024,
                notsent_lowat: 128 * 1024,
                segment: 65_483,
                ..SimulatedKernel::default()
            };
        }
        let network = Rc::new(RefCell::new(network));
        let net = SimNet {
            network: network.clone(),
            host: SERVER,
        };
        SimBackend { network, net }
    }

    fn net(&mut self) -> &mut SimNet<DRAINS> {
        &mut self.net
    }

    fn listen(&mut self) -> <SimNet<DRAINS> as Net>::Listener {
        let options = ListenOptions::new(self.address());
        self.net.listen(&options, Source::listener(0)).unwrap()
    }

    fn on_accept(&mut self) {
        for socket in &mut self.network.borrow_mut().sockets {
            // The tests are no echo server, so the checks of pending echoes do not apply.
            socket.is_server_side = false;
        }
    }

    fn close_listener(&mut self, listener: <SimNet<DRAINS> as Net>::Listener) {
        // The simulated network allows a server to reset queued connections only after a drain.
        self.network.borrow_mut().drained_by = Some(0);
        drop(listener);
    }

    fn address(&self) -> SocketAddr {
        crate::sim_net::address(1)
    }

    fn connect_peer(&mut self) -> io::Result<SimPeer> {
        let id = self.network.borrow_mut().connect(0, 1)?;
        let network = self.network.clone();
        Ok(SimPeer { network, id })
    }

    fn deliver_all(&mut self) {}

    fn raw_fd(_: &<SimNet<DRAINS> as Net>::Stream) -> i32 {
        // Simulated streams have no file descriptors: every stream counts as a reuse of the last.
        0
    }
}

impl Peer for SimPeer {
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        if let Some(error) = network.sockets[self.id].write_error() {
            return Err(error);
        }
        assert_eq!(network.send(self.id, bytes), bytes.len());
        Ok(())
    }

    fn send_urgent(&mut self, bytes: &[u8]) {
        let (urgent, before) = bytes.split_last().unwrap();
        self.send(before);
        self.network.borrow_mut().mark_urgent(self.id);
        self.send(&[*urgent]);
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.borrow_mut().read(self.id, buffer)
    }

    fn send_fin(&mut self) {
        self.network.borrow_mut().send_fin(self.id);
    }

    fn close(self) {
        self.network.borrow_mut().close(self.id, false);
    }

    fn reset(self) {
        self.network.borrow_mut().close(self.id, true);
    }
}
