//! A TUN interface: the kernel routes the packets for a network prefix to this process (Documentation/networking/tuntap
//! of the kernel).
//!
//! In: the prefix. Out: IP packets, as a [`PacketLink`]. The interface is created and its queue set by ioctls of `tun-rs`;
//! its address and route are set over netlink.

mod prefix;

pub use prefix::{PORTS_PER_SOURCE, PrefixAddresses};

use super::PacketLink;
use super::route_netlink::{Changes, RouteSocket};
use ipnet::IpNet;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The device node of the driver.
const NODE: &str = "/dev/net/tun";

/// The kernel replaces `%d` by the first free number.
const NAME: &str = "echoloop%d";

/// The packets that the queue of the interface should hold. With the default, 500, the kernel drops packets when a few
/// hundred connections are answered at once.
const QUEUE_LENGTH: u32 = 65_536;

/// The kernel's default queue length.
const MIN_QUEUE_LENGTH: u32 = 500;

/// As of Ethernet, so that no packet is too large for the way to another machine.
const MTU: u16 = 1500;

/// The interface is running within milliseconds, also on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait between checks whether it is running, should a report of a change be lost.
const START_CHECK: Duration = Duration::from_millis(200);

/// A TUN interface with a prefix routed to it. The kernel removes the interface when this value is dropped.
pub struct Tun {
    device: SyncDevice,
    name: String,
    address: IpAddr,
    queue_length: u32,
}

/// Why a TUN interface cannot be opened.
pub enum TunError {
    /// There is no device node, or no driver behind it.
    NoDevice(io::Error),
    /// The process may not open the device node.
    NodeNotPermitted(io::Error),
    /// The process lacks `CAP_NET_ADMIN` in its network namespace.
    NotPermitted(io::Error),
    /// The prefix has no address for a connection.
    TooSmall,
    /// This machine has an address or a route within the prefix.
    Overlap(String),
    /// IPv6 is disabled.
    NoIpv6(io::Error),
    /// A step failed.
    Step(&'static str, io::Error),
    /// The interface has no carrier, or its address no route.
    NotRunning,
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunError::NoDevice(error) | TunError::NodeNotPermitted(error) => {
                write!(f, "cannot open {NODE}: {error}")
            }
            TunError::NotPermitted(error) => write!(f, "cannot create a TUN interface: {error}"),
            TunError::TooSmall => f.write_str("the prefix has fewer than 4 addresses"),
            TunError::Overlap(other) => write!(f, "this machine has {other}"),
            TunError::NoIpv6(error) => write!(f, "cannot set an IPv6 address: {error}"),
            TunError::Step(step, error) => write!(f, "cannot {step}: {error}"),
            TunError::NotRunning => write!(
                f,
                "the TUN interface is not running after {} s",
                START_TIMEOUT.as_secs()
            ),
        }
    }
}

// By hand: it is smaller, and as clear.
impl fmt::Debug for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for TunError {}

impl Tun {
    /// Opens an interface that the kernel names, gives it the address after the first of `prefix`, routes `prefix` to it,
    /// and waits until it is running: before that the kernel drops packets.
    ///
    /// # Errors
    /// See [`TunError`].
    #[cold]
    pub fn open(prefix: IpNet) -> Result<Tun, TunError> {
        let addresses = PrefixAddresses::of(prefix).ok_or(TunError::TooSmall)?;
        let address = addresses.interface;
        let network = (prefix.network(), prefix.prefix_len());
        let mut routes = RouteSocket::open().map_err(step("open a netlink socket"))?;
        let overlap = routes.overlap(network).map_err(step("read the routes"))?;
        if let Some(other) = overlap {
            return Err(TunError::Overlap(other));
        }
        let tun = Tun::create(address)?;
        let index = routes.index_of(&tun.name);
        let index = index.map_err(step("find the TUN interface"))?;
        let mtu = tun.device.set_mtu(MTU);
        mtu.map_err(step("set the MTU of the TUN interface"))?;
        let changes = Changes::open().map_err(step("open a netlink socket"))?;
        let added = routes.add_address(index, address);
        added.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied if address.is_ipv6() => TunError::NoIpv6(error),
            _ => TunError::Step("set the address of the TUN interface", error),
        })?;
        let up = routes.set_up(index);
        up.map_err(step("bring the TUN interface up"))?;
        let added = routes.add_route(network, index, address);
        added.map_err(step("route the prefix to the TUN interface"))?;
        tun.wait_until_running(&mut routes, &changes)?;
        // The kernel shows a carrier before it sends packets. This call takes a lock that it holds until then.
        let up = routes.set_up(index);
        up.map_err(step("bring the TUN interface up"))?;
        Ok(tun)
    }

    /// The queue length that the kernel accepts for a TUN interface. It creates one for a moment, which stays down.
    ///
    /// # Errors
    /// See [`TunError`].
    pub fn try_out() -> Result<u32, TunError> {
        let tun = Tun::create(IpAddr::from([0; 4]))?;
        Ok(tun.queue_length)
    }

    /// Creates the interface, with its queue.
    #[cold]
    fn create(address: IpAddr) -> Result<Tun, TunError> {
        // Opened twice: `tun-rs` would create a missing node, and does not report which step failed.
        let node = OpenOptions::new().read(true).write(true).open(NODE);
        node.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => TunError::NodeNotPermitted(error),
            _ => TunError::NoDevice(error),
        })?;
        let builder = DeviceBuilder::new().name(NAME).inherit_enable_state();
        let device = builder.build_sync().map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => TunError::NotPermitted(error),
            _ => TunError::Step("create a TUN interface", error),
        })?;
        let blocking = device.set_nonblocking(true);
        blocking.map_err(step("make the TUN device non-blocking"))?;
        Ok(Tun {
            name: device.name().map_err(step("name the TUN interface"))?,
            queue_length: lengthen_queue(&device),
            address,
            device,
        })
    }

    /// Waits for what the kernel does in the background after the interface is up: it sets the carrier, and adds the route
    /// for an IPv6 address.
    #[cold]
    fn wait_until_running(
        &self,
        routes: &mut RouteSocket,
        changes: &Changes,
    ) -> Result<(), TunError> {
        let begun = Instant::now();
        let mut is_running = || Ok(self.device.is_running()? && routes.is_local(self.address)?);
        let wait = step("wait for the TUN interface");
        while !is_running().map_err(&wait)? {
            if begun.elapsed() > START_TIMEOUT {
                return Err(TunError::NotRunning);
            }
            changes.wait(START_CHECK).map_err(&wait)?;
        }
        Ok(())
    }

    /// The name of the interface.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the interface, so of this machine: address 1 of the prefix.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of packets from the kernel that the interface queues; it drops further ones.
    #[must_use]
    pub fn queue_length(&self) -> u32 {
        self.queue_length
    }
}

/// Lets the queue hold as many packets as the kernel permits, and returns how many. Some kernels refuse more than 16,384.
#[cold]
fn lengthen_queue(device: &SyncDevice) -> u32 {
    let mut length = QUEUE_LENGTH;
    while length > MIN_QUEUE_LENGTH {
        if device.set_tx_queue_len(length).is_ok() {
            return length;
        }
        length /= 2;
    }
    device.tx_queue_len().unwrap_or(MIN_QUEUE_LENGTH)
}

fn step(what: &'static str) -> impl Fn(io::Error) -> TunError {
    move |error| TunError::Step(what, error)
}

impl fmt::Debug for Tun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tun({}, {})", self.name, self.address)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl PacketLink for Tun {
    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.device, buffer)?)
    }

    #[inline]
    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.device, packet)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_with_an_address_of_this_machine_is_refused() {
        let error = Tun::open("127.0.0.0/8".parse().unwrap()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, TunError::Overlap(_)), "{text}");
        assert!(text.contains("127.") && text.contains("dev lo"), "{text}");
    }
}
