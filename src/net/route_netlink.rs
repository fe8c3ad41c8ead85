//! Addresses, routes and interfaces of the network namespace of this process, over netlink (rtnetlink(7)).

use super::netlink::{
    AF_INET, AF_INET6, MAX_DATAGRAM, NLM_F_DUMP, Request, Socket, attribute, u32_at,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, bind, recv};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

// linux/netlink.h
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE_EXCL: u16 = 0x600;

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

/// The loopback interface is the first one of every network namespace.
pub(super) const LOOPBACK_INDEX: u32 = 1;

/// A network: an address and the number of leading bits that count.
pub(super) type Prefix = (IpAddr, u8);

/// A netlink socket to the routing tables.
pub(super) struct RouteSocket(Socket);

impl RouteSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// See socket(2) and bind(2).
    pub(super) fn open() -> io::Result<RouteSocket> {
        bound_socket(0).map(RouteSocket)
    }

    /// The number of an interface.
    ///
    /// # Errors
    /// See netdevice(7).
    pub(super) fn index_of(&self, name: &str) -> io::Result<u32> {
        Ok(name_to_index(&self.0.fd, name)?)
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_ADMIN`.
    pub(super) fn set_up(&mut self, interface: u32) -> io::Result<()> {
        let request = Request::new(RTM_NEWLINK, NLM_F_ACK)
            .with(&[AF_UNSPEC, 0, 0, 0])
            .with(&interface.to_ne_bytes())
            .with(&IFF_UP.to_ne_bytes())
            .with(&IFF_UP.to_ne_bytes());
        self.change(request)
    }

    /// Adds an address to an interface, as a network of this one address.
    ///
    /// # Errors
    /// See rtnetlink(7): `AlreadyExists`, or `PermissionDenied` also if IPv6 is disabled.
    pub(super) fn add_address(&mut self, interface: u32, address: IpAddr) -> io::Result<()> {
        let octets = octets(address);
        let request = Request::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE_EXCL)
            .with(&[family(address), bits(address), IFA_F_NODAD, 0])
            .with(&interface.to_ne_bytes())
            .with_attribute(IFA_LOCAL, &octets)
            .with_attribute(IFA_ADDRESS, &octets);
        self.change(request)
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
        let request = Request::new(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE_EXCL)
            .with(&[family(network), length, 0, 0])
            .with(&[RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST])
            .with(&[0; 4])
            .with_attribute(RTA_DST, &octets(network))
            .with_attribute(RTA_OIF, &interface.to_ne_bytes())
            .with_attribute(RTA_PREFSRC, &octets(source));
        self.change(request)
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
            let name = interface.and_then(|index| index_to_name(&self.0.fd, index).ok());
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
        let request = Request::new(RTM_GETROUTE, NLM_F_DUMP).with_reply(RTM_NEWROUTE);
        let request = request.with(&[family(any)]).with(&[0; ROUTE_MESSAGE - 1]);
        let mut found = None;
        // The list is read to its end: the rest would be taken for the reply to the next request.
        self.0
            .request(request, &mut [0; MAX_DATAGRAM], &mut |message| {
                if let Some((table, network, interface)) = parse_route(message)
                    && found.is_none()
                    && is_wanted(table, network)
                {
                    found = Some((network, interface));
                }
            })?;
        Ok(found)
    }

    /// Requests a change.
    #[cold]
    fn change(&mut self, request: Request) -> io::Result<()> {
        self.0.request(request, &mut [0; MAX_DATAGRAM], &mut |_| ())
    }
}

/// Reports changes of interfaces, and of the routes that the kernel adds for IPv6 addresses.
pub(super) struct Changes(Socket);

impl Changes {
    /// Reports those from now on.
    ///
    /// # Errors
    /// See socket(2) and bind(2).
    pub(super) fn open() -> io::Result<Changes> {
        bound_socket(RTMGRP_LINK | RTMGRP_IPV6_ROUTE).map(Changes)
    }

    /// Waits for a change, for at most this time.
    ///
    /// # Errors
    /// See poll(2).
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&self.0.fd, PollFlags::IN)];
        retry_on_intr(|| poll(&mut fds, Some(&timeout)))?;
        // What changed does not matter, nor whether the socket has lost a report.
        let mut buffer = [0; 1024];
        while recv(&self.0.fd, &mut buffer[..], RecvFlags::empty()).is_ok() {}
        Ok(())
    }
}

fn bound_socket(groups: u32) -> io::Result<Socket> {
    let socket = Socket::open(None)?;
    bind(&socket.fd, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// The table, the network and the interface of the route in a message.
fn parse_route(message: &[u8]) -> Option<(u8, Prefix, Option<u32>)> {
    let (family, length, table) = (*message.first()?, *message.get(1)?, *message.get(4)?);
    let attributes = message.get(ROUTE_MESSAGE..)?;
    // A default route has no destination.
    let network = match attribute(attributes, RTA_DST) {
        Some(bytes) => address(bytes)?,
        None if family == AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let interface = attribute(attributes, RTA_OIF).and_then(|bytes| u32_at(bytes, 0));
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

#[cfg(test)]
mod tests;
