//! How a listener is opened, with every option that its connections are to inherit.

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// How many connections may wait to be accepted, unless said otherwise.
pub const DEFAULT_BACKLOG: u32 = 4096;

/// How many bytes that are not on their way yet the kernel takes for one connection; it would take megabytes for a peer that
/// does not read, and of these nobody could make others room. As much as is written at once fits twice.
const MOST_UNSENT: u32 = 128 * 1024;

/// Receive and send buffer of a connection where no size is given, in bytes. The kernel doubles both for its overhead and
/// exceeds the second by one write: 256 + 160 + 66 KiB for a peer that does not read or has vanished. Left to itself it
/// lets them grow to several megabytes. Measured: one 64 KiB echo at a time, on 1 and on 50 connections, is as fast as
/// with 4 MiB. Below `net.core.rmem_max` and `wmem_max` of a Linux that nobody has tuned (208 KiB).
const BOUNDED_RECEIVE_BUFFER: usize = 128 * 1024;
const BOUNDED_SEND_BUFFER: usize = 80 * 1024;

/// Size of each connection's send and receive buffer in the kernel (`SO_SNDBUF` and `SO_RCVBUF`, socket(7)).
///
/// A connection carries at most one buffer each round trip: at 128 KiB and 50 ms that is 2.6 MB a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketBuffer {
    /// As large as fits into 512 KiB of kernel memory for each connection, whatever its peer does.
    #[default]
    Bounded,
    /// The kernel lets both grow with the rate of a connection, up to `net.ipv4.tcp_rmem` and `tcp_wmem` (tcp(7)).
    Kernel,
    /// This many bytes for each; the kernel doubles it.
    Size(usize),
}

impl SocketBuffer {
    /// The receive and the send buffer to set, if any is set.
    fn sizes(self) -> Option<(usize, usize)> {
        match self {
            SocketBuffer::Bounded => Some((BOUNDED_RECEIVE_BUFFER, BOUNDED_SEND_BUFFER)),
            SocketBuffer::Kernel => None,
            SocketBuffer::Size(size) => Some((size, size)),
        }
    }
}

/// What is asked of a listener and, by inheritance, of the connections it accepts.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Where to listen; port 0 lets the kernel pick one.
    pub address: SocketAddr,
    /// How many connections may wait to be accepted; see [`backlog_in_force`].
    pub backlog: u32,
    /// Let other processes listen on the same port too (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Size of each connection's send and receive buffer in the kernel.
    pub socket_buffer: SocketBuffer,
    /// After how much silence to probe whether the peer still exists; `None`: never.
    pub keepalive: Option<Duration>,
}

impl ListenOptions {
    /// Listening on `address` with everything else as `echoloop serve` has it by default.
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

/// The backlog that the kernel really grants: `net.core.somaxconn` caps it (listen(2)).
#[must_use]
pub fn backlog_in_force(asked: u32) -> u32 {
    let cap = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    let cap = cap.ok().and_then(|text| text.trim().parse().ok());
    asked.min(cap.unwrap_or(asked))
}

/// Opens a listening socket that does not block.
///
/// Options are set here once, because accepted sockets inherit them: a call per listener in place of one per connection.
pub(super) fn open(options: &ListenOptions) -> io::Result<TcpListener> {
    let address = options.address;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for the TIME_WAIT of its predecessor's connections (socket(7)).
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` serves IPv4 too, whatever net.ipv6.bindv6only says (ipv6(7)).
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    inherited(&socket, options)?;
    socket.bind(&SockAddr::from(address))?;
    // listen(2) takes an int; anything above somaxconn is capped anyway.
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn inherited(socket: &Socket, options: &ListenOptions) -> io::Result<()> {
    // An echo larger than a segment would wait for the peer's delayed ACK: 23 messages of 64 KiB a second, not 15,000.
    socket.set_tcp_nodelay(true)?;
    // Urgent data stays in its place in the stream and is echoed like the rest (RFC 6093, section 3).
    socket.set_out_of_band_inline(true)?;
    // What is on its way does not count, so the rate is not limited, however long the way (`tcp_notsent_lowat` in the
    // kernel's ip-sysctl).
    socket.set_tcp_notsent_lowat(MOST_UNSENT)?;
    if let Some(silence) = options.keepalive {
        socket.set_keepalive(true)?;
        socket.set_tcp_keepalive(&keepalive_of(silence))?;
    }
    if let Some((receive, send)) = options.socket_buffer.sizes() {
        // Before listen: the receive buffer decides the window scale that the handshake offers (tcp(7)).
        socket.set_recv_buffer_size(receive)?;
        socket.set_send_buffer_size(send)?;
    }
    Ok(())
}

/// Probes that start after this much silence and end, unanswered, within twice that, or 3 s if that is more.
///
/// The kernel gives up one interval after the last probe. Its timers may be an eighth late, hence D/4 in place of D/3. At
/// least two probes, so that one lost packet closes no connection; the kernel counts in whole seconds.
fn keepalive_of(silence: Duration) -> TcpKeepalive {
    let interval = Duration::from_secs((silence.as_secs() / 4).max(1));
    let probes = if silence.as_secs() < 4 { 2 } else { 3 };
    TcpKeepalive::new()
        .with_time(silence)
        .with_interval(interval)
        .with_retries(probes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{getsockopt, sockopt};
    use socket2::SockRef;
    use std::net::Ipv4Addr;

    #[test]
    fn keepalive_gives_up_within_2_d_or_3_s() {
        for silence in (1..=100).chain([1_000, 32_767]) {
            let mut options = ListenOptions::new(([127, 0, 0, 1], 0).into());
            options.keepalive = Some(Duration::from_secs(silence));
            let listener = open(&options).unwrap();
            let value = |value: Result<u32, _>| u64::from(value.unwrap());
            let idle = value(getsockopt(&listener, sockopt::TcpKeepIdle));
            let interval = value(getsockopt(&listener, sockopt::TcpKeepInterval));
            let probes = value(getsockopt(&listener, sockopt::TcpKeepCount));
            assert_eq!(idle, silence);
            assert!(probes >= 2, "one lost packet closes: {silence} s");
            let gives_up = idle + probes * interval;
            assert!(gives_up <= (2 * silence).max(3), "{silence} s: {gives_up}");
            let with_late_timers = gives_up + gives_up / 8;
            let in_time = silence < 3 || with_late_timers <= 2 * silence;
            assert!(in_time, "{silence} s: {with_late_timers}");
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
        // Less where net.core.rmem_max or wmem_max is smaller than Linux has it.
        assert!(receive <= 256 << 10 && send <= 160 << 10);
        let one_write = 66 << 10;
        assert!(receive + send + one_write <= 512 << 10);
    }

    #[test]
    fn kernel_leaves_both_buffers_to_autotuning() {
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
