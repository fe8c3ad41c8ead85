//! The addresses of this machine: each is a possible source address of connections.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use std::io;
use std::net::IpAddr;

/// The IP addresses of all interfaces that are up, each with the name of its interface (getifaddrs(3)).
///
/// # Errors
/// See getifaddrs(3).
pub(super) fn interface_addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let is_up = |flags: InterfaceFlags| flags.contains(InterfaceFlags::IFF_UP);
    let interfaces = getifaddrs()?.filter(|interface| is_up(interface.flags));
    let addresses = interfaces.filter_map(|interface| {
        let address = ip(&interface.address?)?;
        Some((interface.interface_name, address))
    });
    Ok(addresses.collect())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_include_loopback() {
        let addresses = interface_addresses().unwrap();
        let has_loopback = addresses.iter().any(|(_, address)| address.is_loopback());
        assert!(has_loopback, "{addresses:?}");
    }
}
