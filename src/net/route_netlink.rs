//! Addresses, routes and interfaces of the network namespace of this process, over netlink (rtnetlink(7)).

use super::sock_diag::{attribute as find_attribute, u16_at, u32_at};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE_EXCL: u16 = 0x600;
const HEADER: usize = 16;

// linux/rtnetlink.h, linux/if_addr.h, linux/if.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTMGRP_LINK: u32 = 1;
const RTMGRP_IPV6_ROUTE: u32 = 0x400;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
/// The size of `struct rtmsg`.
const ROUTE_MESSAGE: usize = 12;

// linux/socket.h
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The loopback interface is the first one of every network namespace.
pub(super) const LOOPBACK_INDEX: u32 = 1;

/// The kernel fills no datagram of a list beyond this (`NLMSG_GOODSIZE`, and 32 KiB since Linux 4.9 on request).
const MAX_DATAGRAM: usize = 32 * 1024;

/// A network: an address and the number of leading bits that count.
pub(super) type Prefix = (IpAddr, u8);

/// A netlink socket to the routing tables.
pub(super) struct RouteSocket {
    socket: OwnedFd,
    sequence: u32,
}

impl RouteSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// See socket(2) and bind(2).
    pub(super) fn open() -> io::Result<RouteSocket> {
        Ok(RouteSocket {
            socket: netlink_socket(0)?,
            sequence: 0,
        })
    }

    /// The number of an interface.
    ///
    /// # Errors
    /// See netdevice(7).
    pub(super) fn index_of(&self, name: &str) -> io::Result<u32> {
        Ok(name_to_index(&self.socket, name)?)
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_ADMIN`.
    pub(super) fn set_up(&mut self, interface: u32) -> io::Result<()> {
        let up = IFF_UP.to_ne_bytes();
        let body = [&[AF_UNSPEC, 0, 0, 0], &interface.to_ne_bytes(), &up, &up];
        self.request(RTM_NEWLINK, 0, &body.map(<[u8; 4]>::as_slice))
    }

    /// Adds an address to an interface, as a network of this one address.
    ///
    /// # Errors
    /// See rtnetlink(7): `AlreadyExists`, or `PermissionDenied` also if IPv6 is disabled.
    pub(super) fn add_address(&mut self, interface: u32, address: IpAddr) -> io::Result<()> {
        let octets = octets(address);
        let body: [&[u8]; 4] = [
            &[family(address), bits(address), IFA_F_NODAD, 0],
            &interface.to_ne_bytes(),
            &attribute(IFA_LOCAL, &octets),
            &attribute(IFA_ADDRESS, &octets),
        ];
        self.request(RTM_NEWADDR, NLM_F_CREATE_EXCL, &body)
    }

    /// Routes a network to an interface; packets of this machine to it come from `source`.
    ///
    /// # Errors
    /// See rtnetlink(7): `AlreadyExists` if there is such a route.
    pub(super) fn add_route(
        &mut self,
        (network, length): Prefix,
        interface: u32,
        source: IpAddr,
    ) -> io::Result<()> {
        let of_table = [RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST];
        let body: [&[u8]; 6] = [
            &[family(network), length, 0, 0],
            &of_table,
            &[0; 4],
            &attribute(RTA_DST, &octets(network)),
            &attribute(RTA_OIF, &interface.to_ne_bytes()),
            &attribute(RTA_PREFSRC, &octets(source)),
        ];
        self.request(RTM_NEWROUTE, NLM_F_CREATE_EXCL, &body)
    }

    /// The first route or address of this machine because of which packets to `prefix`, or to a part of it, would not take
    /// a new route for `prefix`; as text. The longest network applies, and the table of local addresses comes first.
    ///
    /// # Errors
    /// See rtnetlink(7).
    pub(super) fn overlap(&mut self, prefix: Prefix) -> io::Result<Option<String>> {
        let found = self.find_route(prefix.0, &|table, network| match table {
            RT_TABLE_MAIN => contains(prefix, network),
            RT_TABLE_LOCAL => contains(prefix, network) || contains(network, prefix),
            _ => false,
        })?;
        Ok(found.map(|((network, length), interface)| {
            let name = interface.and_then(|index| index_to_name(&self.socket, index).ok());
            let interface = name.map_or_else(String::new, |name| format!(" dev {name}"));
            format!("{network}/{length}{interface}")
        }))
    }

    /// Whether packets to this address are for this machine. The kernel adds the route for a new IPv6 address later.
    ///
    /// # Errors
    /// See rtnetlink(7).
    pub(super) fn is_local(&mut self, address: IpAddr) -> io::Result<bool> {
        let own = (address, bits(address));
        let found = self.find_route(address, &|table, network| {
            table == RT_TABLE_LOCAL && network == own
        })?;
        Ok(found.is_some())
    }

    /// The first route in the address family of `any`, and its interface, that the function selects by table and network.
    #[cold]
    fn find_route(
        &mut self,
        any: IpAddr,
        is_wanted: &dyn Fn(u8, Prefix) -> bool,
    ) -> io::Result<Option<(Prefix, Option<u32>)>> {
        let mut body = [0; ROUTE_MESSAGE];
        body[0] = family(any);
        self.send(RTM_GETROUTE, NLM_F_DUMP, &[&body])?;
        let mut found = None;
        // The list is read to its end: the rest would be taken for the reply to the next request.
        self.receive(&mut |message| {
            if let Some((table, network, interface)) = parse_route(message)
                && found.is_none()
                && is_wanted(table, network)
            {
                found = Some((network, interface));
            }
        })?;
        Ok(found)
    }

    #[cold]
    fn request(&mut self, kind: u16, flags: u16, body: &[&[u8]]) -> io::Result<()> {
        self.send(kind, NLM_F_ACK | flags, body)?;
        self.receive(&mut |_| ())
    }

    #[cold]
    fn send(&mut self, kind: u16, flags: u16, body: &[&[u8]]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let body = body.concat();
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let message: [&[u8]; 6] = [
            &length.to_ne_bytes(),
            &kind.to_ne_bytes(),
            &(NLM_F_REQUEST | flags).to_ne_bytes(),
            &self.sequence.to_ne_bytes(),
            &[0; 4],
            &body,
        ];
        let message = message.concat();
        retry_on_intr(|| send(&self.socket, &message, SendFlags::empty()))?;
        Ok(())
    }

    /// Receives the reply to the last request up to its end. The kernel replies during the `send`, and continues a list
    /// during each `recv`, so this never blocks.
    fn receive(&mut self, on_message: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let (length, _) =
                retry_on_intr(|| recv(&self.socket, &mut buffer[..], RecvFlags::empty()))?;
            let mut datagram = buffer.get(..length).unwrap_or_default();
            while let Some((kind, body, rest)) = split_message(datagram) {
                datagram = rest;
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return result(body),
                    _ => on_message(body),
                }
            }
        }
    }
}

/// Reports changes of interfaces, and of the routes that the kernel adds for IPv6 addresses.
pub(super) struct Changes {
    socket: OwnedFd,
}

impl Changes {
    /// Reports those from now on.
    ///
    /// # Errors
    /// See socket(2) and bind(2).
    pub(super) fn open() -> io::Result<Changes> {
        let socket = netlink_socket(RTMGRP_LINK | RTMGRP_IPV6_ROUTE)?;
        Ok(Changes { socket })
    }

    /// Waits for a change, for at most this time.
    ///
    /// # Errors
    /// See poll(2).
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        retry_on_intr(|| poll(&mut fds, Some(&timeout)))?;
        // What changed does not matter, nor whether the socket has lost a report.
        let mut buffer = [0; 1024];
        while recv(&self.socket, &mut buffer[..], RecvFlags::empty()).is_ok() {}
        Ok(())
    }
}

fn netlink_socket(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Without a protocol: NETLINK_ROUTE is 0.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// The kind and the body of the first message, and the messages after it.
fn split_message(datagram: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
    let body = datagram.get(HEADER..length)?;
    let rest = datagram.get(length.next_multiple_of(4)..);
    Some((u16_at(datagram, 4)?, body, rest.unwrap_or_default()))
}

/// The result in a message of the kind `NLMSG_ERROR`.
fn result(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).map(u32::cast_signed) {
        Some(error @ ..0) => Err(Errno::from_raw_os_error(error.saturating_neg()).into()),
        _ => Ok(()),
    }
}

/// The table, the network and the interface of the route in a message.
fn parse_route(message: &[u8]) -> Option<(u8, Prefix, Option<u32>)> {
    let (family, length, table) = (*message.first()?, *message.get(1)?, *message.get(4)?);
    let attributes = message.get(ROUTE_MESSAGE..)?;
    // A default route has no destination.
    let network = match find_attribute(attributes, RTA_DST) {
        Some(bytes) => address(bytes)?,
        None if family == AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let interface = find_attribute(attributes, RTA_OIF).and_then(|bytes| u32_at(bytes, 0));
    Some((table, (network, length), interface))
}

/// Whether the first network contains the second one.
fn contains((outer, outer_length): Prefix, (inner, inner_length): Prefix) -> bool {
    let number = |address| match address {
        IpAddr::V4(v4) => u128::from(Ipv4Addr::to_bits(v4)) << 96,
        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(outer_length.min(128)));
    let mask = mask.unwrap_or(0);
    outer.is_ipv4() == inner.is_ipv4()
        && outer_length <= inner_length
        && (number(outer) ^ number(inner)) & mask == 0
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// An attribute whose value needs no padding (netlink(7), `struct nlattr`).
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

#[cfg(test)]
mod tests;
