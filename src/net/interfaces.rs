//! The addresses that this machine has: each is a source from which connections can be opened.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use std::io;
use std::net::IpAddr;

/// The addresses of all interfaces that are up, each with the interface's name (getifaddrs(3)).
///
/// # Errors
/// What getifaddrs(3) says.
pub fn interface_addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let interfaces =
        getifaddrs()?.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
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
    fn the_loopback_address_is_among_them() {
        let addresses = interface_addresses().unwrap();
        let loopback = addresses.iter().any(|(_, address)| address.is_loopback());
        assert!(loopback, "{addresses:?}");
    }
}
