//! Opens listeners, with the socket options that accepted connections inherit.

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// The default length of the accept queue, in connections.
pub const DEFAULT_BACKLOG: u32 = 4096;

/// Unsent bytes that the kernel accepts for one connection (`TCP_NOTSENT_LOWAT`). Without a limit it accepts megabytes
/// for a slow reader, which cannot be reclaimed for other connections. Two writes of the largest size fit.
const MAX_UNSENT: u32 = 128 * 1024;

/// Receive and send buffer of a connection with [`SocketBuffer::Bounded`], in bytes. The kernel doubles both for its
/// overhead and exceeds the second by one write: 256 + 160 + 66 KiB for a slow reader or a vanished peer. With
/// autotuning they grow to several megabytes. Measured: one 64 KiB echo at a time, on 1 and on 50 connections, is as
/// fast as with 4 MiB. Both are below the kernel's defaults of `net.core.rmem_max` and `wmem_max` (208 KiB).
const BOUNDED_RECEIVE_BUFFER: usize = 128 * 1024;
const BOUNDED_SEND_BUFFER: usize = 80 * 1024;

/// The sizes of a connection's receive and send buffer in the kernel (`SO_RCVBUF` and `SO_SNDBUF`, socket(7)).
///
/// A connection transfers at most one buffer per round trip: with 128 KiB and 50 ms, 2.6 MB per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketBuffer {
    /// At most 512 KiB of kernel memory per connection, even for a peer that does not read.
    #[default]
    Bounded,
    /// Autotuning: the kernel grows both with the rate of the connection, up to `net.ipv4.tcp_rmem` and `tcp_wmem`
    /// (tcp(7)).
    Kernel,
    /// This many bytes each; the kernel doubles the value.
    Size(usize),
}

/// The options of a listener. Accepted connections inherit the socket options.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The address to listen on; with port 0 the kernel chooses a port.
    pub address: SocketAddr,
    /// The length of the accept queue, in connections; the kernel may cap it, see [`backlog_in_force`].
    pub backlog: u32,
    /// Whether other processes may listen on the same port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// The sizes of each connection's receive and send buffer in the kernel.
    pub socket_buffer: SocketBuffer,
    /// The idle time after which the kernel sends keepalive probes, in whole seconds; `None`: no probes.
    pub keepalive: Option<Duration>,
}

impl ListenOptions {
    /// Options for `address` with the defaults of `echoloop serve`: [`DEFAULT_BACKLOG`], [`SocketBuffer::Bounded`], no
    /// shared port, no keepalive.
    #[must_use]
    pub fn new(address: SocketAddr) -> ListenOptions {
        ListenOptions {
            address,
            backlog: DEFAULT_BACKLOG,
            reuse_port: false,
            socket_buffer: SocketBuffer::Bounded,
            keepalive: None,
        }
    }
}

/// The backlog in force for a requested one: the kernel caps it at `net.core.somaxconn` (listen(2)).
#[must_use]
pub fn backlog_in_force(requested: u32) -> u32 {
    let cap = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    let cap = cap.ok().and_then(|text| text.trim().parse().ok());
    requested.min(cap.unwrap_or(requested))
}

/// Opens a non-blocking TCP socket for an address of the family of `address`, with the options of every connection.
pub(super) fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // With Nagle's algorithm an echo larger than a segment waits for the peer's delayed ACK: 23 messages of 64 KiB per
    // second, not 15,000.
    socket.set_tcp_nodelay(true)?;
    // Urgent data stays at its position in the stream and is echoed like other input (RFC 6093, section 3).
    socket.set_out_of_band_inline(true)?;
    Ok(socket)
}

/// Opens a non-blocking listening socket.
///
/// Accepted sockets inherit the options, which saves system calls per connection.
pub(super) fn open(options: &ListenOptions) -> io::Result<TcpListener> {
    let address = options.address;
    let socket = tcp_socket(address)?;
    // A restarted server must not wait for connections in TIME_WAIT (socket(7)).
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` accepts IPv4 too, independent of net.ipv6.bindv6only (ipv6(7)).
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    set_inherited_options(&socket, options)?;
    socket.bind(&SockAddr::from(address))?;
    // listen(2) takes an int; the kernel caps the value at somaxconn.
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn set_inherited_options(socket: &Socket, options: &ListenOptions) -> io::Result<()> {
    // Bytes in flight do not count, so the rate is not limited even at a long round trip (`tcp_notsent_lowat` in the
    // kernel's ip-sysctl).
    socket.set_tcp_notsent_lowat(MAX_UNSENT)?;
    if let Some(idle) = options.keepalive {
        // This also sets SO_KEEPALIVE.
        socket.set_tcp_keepalive(&keepalive(idle))?;
    }
    let buffers = match options.socket_buffer {
        SocketBuffer::Bounded => Some((BOUNDED_RECEIVE_BUFFER, BOUNDED_SEND_BUFFER)),
        SocketBuffer::Kernel => None,
        SocketBuffer::Size(size) => Some((size, size)),
    };
    if let Some((receive, send)) = buffers {
        // Before listen: the receive buffer decides the window scale that the handshake offers (tcp(7)).
        socket.set_recv_buffer_size(receive)?;
        socket.set_send_buffer_size(send)?;
    }
    Ok(())
}

/// Keepalive probes that start after `idle` without a segment. Without a reply the kernel closes the connection within
/// twice `idle`, or 3 s if that is longer.
///
/// The kernel closes one interval after the last probe. Its timers may be late by an eighth, hence `idle` / 4 and not
/// `idle` / 3. Two probes are the minimum, so that one lost packet closes no connection. The kernel counts whole
/// seconds.
fn keepalive(idle: Duration) -> TcpKeepalive {
    let interval = Duration::from_secs((idle.as_secs() / 4).max(1));
    let probes = if idle.as_secs() < 4 { 2 } else { 3 };
    TcpKeepalive::new()
        .with_time(idle)
        .with_interval(interval)
        .with_retries(probes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::Ipv4Addr;

    #[test]
    fn unanswered_keepalive_closes_within_twice_idle_or_3_s() {
        for idle in (1..=100).chain([1_000, 32_767]) {
            let mut options = ListenOptions::new(([127, 0, 0, 1], 0).into());
            options.keepalive = Some(Duration::from_secs(idle));
            let listener = open(&options).unwrap();
            let socket = SockRef::from(&listener);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), idle);
            let interval = socket.tcp_keepalive_interval().unwrap().as_secs();
            let probes = u64::from(socket.tcp_keepalive_retries().unwrap());
            assert!(probes >= 2, "one lost packet closes: {idle} s");
            let closes = idle + probes * interval;
            assert!(closes <= (2 * idle).max(3), "{idle} s: {closes}");
            let with_late_timers = closes + closes / 8;
            let in_time = idle < 3 || with_late_timers <= 2 * idle;
            assert!(in_time, "{idle} s: {with_late_timers}");
        }
    }

    /// The receive and the send buffer of a listener, as the kernel counts them.
    fn buffers(socket_buffer: SocketBuffer) -> (usize, usize) {
        let mut options = ListenOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        options.socket_buffer = socket_buffer;
        let listener = open(&options).unwrap();
        let socket = SockRef::from(&listener);
        let receive = socket.recv_buffer_size().unwrap();
        (receive, socket.send_buffer_size().unwrap())
    }

    #[test]
    fn bounded_buffers_are_set_and_fit_into_512_kib() {
        let (receive, send) = buffers(SocketBuffer::default());
        // Less if net.core.rmem_max or wmem_max is smaller than the default.
        assert!(receive <= 256 << 10 && send <= 160 << 10);
        let one_write = 66 << 10;
        assert!(receive + send + one_write <= 512 << 10);
    }

    #[test]
    fn kernel_mode_sets_neither_buffer() {
        let fresh = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let receive = fresh.recv_buffer_size().unwrap();
        let send = fresh.send_buffer_size().unwrap();
        assert_eq!(buffers(SocketBuffer::Kernel), (receive, send));
    }

    #[test]
    fn size_sets_both_buffers() {
        let size = 16 << 10;
        assert_eq!(buffers(SocketBuffer::Size(size)), (2 * size, 2 * size));
    }
}
