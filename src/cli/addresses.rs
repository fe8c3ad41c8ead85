//! The addresses that users type: to listen on, to connect to, to connect from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

const NOT_AN_ADDRESS: &str = "not an address: write HOST:PORT, [V6]:PORT or :PORT";

/// An address to listen on, as typed: `HOST:PORT`, `[V6]:PORT`, or `:PORT` for all interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenAddress(String);

impl ListenAddress {
    /// Checks the form only: resolving a name may block.
    pub(super) fn parse(text: &str) -> Result<ListenAddress, String> {
        let (host, port) = split(text)?;
        let is_host = if host.starts_with('[') {
            host.ends_with(']') && format!("{host}:0").parse::<SocketAddr>().is_ok()
        } else {
            !host.contains(|c: char| c == ':' || c == ']' || c.is_whitespace())
        };
        if !is_host {
            return Err(NOT_AN_ADDRESS.to_owned());
        }
        match port_number(port) {
            Some(_) => Ok(ListenAddress(text.to_owned())),
            None if port.is_empty() => Err(without_port(host)),
            None if is_number(port) => Err(format!("port {port} is over 65535")),
            None => Err(format!("port {port:?} is not a number: {NOT_AN_ADDRESS}")),
        }
    }

    /// All its addresses; resolves a name, which may block.
    pub(super) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let all_interfaces = if self.0.starts_with(':') { "[::]" } else { "" };
        let addresses = format!("{all_interfaces}{}", self.0).to_socket_addrs()?;
        Ok(addresses.collect())
    }

    /// As typed.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An address to connect to, as typed: `HOST:PORT`, `[V6]:PORT`, or `:PORT` for this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetAddress(String);

impl TargetAddress {
    /// As [`ListenAddress::parse`], without port 0.
    pub(super) fn parse(text: &str) -> Result<TargetAddress, String> {
        let ListenAddress(text) = ListenAddress::parse(text)?;
        let port = text.rsplit_once(':').map(|(_, port)| port_number(port));
        if port == Some(Some(0)) {
            return Err("port 0 cannot be connected to: write HOST:PORT".to_owned());
        }
        Ok(TargetAddress(text))
    }

    /// Host and port, as in a URL.
    pub(super) fn host_and_port(&self) -> String {
        let host = if self.0.starts_with(':') {
            "localhost"
        } else {
            ""
        };
        format!("{host}{}", self.0)
    }

    /// The host as a certificate names it: an address without brackets, and `localhost` for `:PORT`.
    pub(super) fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match bare.unwrap_or(host) {
            "" => "localhost",
            host => host,
        }
    }

    /// The server that `load` starts on 127.0.0.1, with a port that is not known yet.
    pub(super) fn own_server() -> TargetAddress {
        TargetAddress("127.0.0.1:0".to_owned())
    }

    /// All its addresses, in the order of the resolver; resolves a name, which may block.
    pub(super) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self.literal_addresses() {
            Some(addresses) => Ok(addresses),
            None => Ok(self.0.to_socket_addrs()?.collect()),
        }
    }

    /// All its addresses, unless it is a name; this machine's in place of the unspecified address.
    pub(super) fn literal_addresses(&self) -> Option<Vec<SocketAddr>> {
        let all_interfaces = if self.0.starts_with(':') { "[::]" } else { "" };
        let address: SocketAddr = format!("{all_interfaces}{}", self.0).parse().ok()?;
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
        Some(match (address.ip().is_unspecified(), address.is_ipv4()) {
            (false, _) => vec![address],
            (true, true) => vec![v4],
            (true, false) => vec![v4, v6],
        })
    }

    /// As typed.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An address to connect from, as typed: an IP address, with or without a port.
pub(super) fn local_address(text: &str) -> Result<SocketAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let with_port_0 = |ip: IpAddr| SocketAddr::new(ip, 0);
    text.parse()
        .or_else(|_| bare.unwrap_or(text).parse().map(with_port_0))
        .map_err(|_| "not an address: write IP or IP:PORT, such as 127.0.0.2".to_owned())
}

/// Splits an address at the colon before its port.
fn split(text: &str) -> Result<(&str, &str), String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        let remedy =
            "an IPv6 address needs brackets and a port: write [V6]:PORT, such as [::1]:8000";
        return Err(remedy.to_owned());
    }
    if text.starts_with('[') && text.ends_with(']') {
        return Err(without_port(text));
    }
    match text.rsplit_once(':') {
        Some(parts) => Ok(parts),
        None if text.is_empty() => Err(NOT_AN_ADDRESS.to_owned()),
        None if port_number(text).is_some() => Err(format!(
            "the colon is missing: write :{text} or HOST:{text}"
        )),
        None => Err(without_port(text)),
    }
}

fn without_port(host: &str) -> String {
    format!("the port is missing: write HOST:PORT, such as {host}:8000")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A port as typed: digits, and no sign.
fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| is_number(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_large_ports_are_named() {
        for (text, part) in [
            (
                "localhost",
                "the port is missing: write HOST:PORT, such as localhost:8000",
            ),
            ("127.0.0.1:", "such as 127.0.0.1:8000"),
            ("[::1]", "such as [::1]:8000"),
            ("[::1]:", "such as [::1]:8000"),
            (":", "the port is missing"),
            ("localhost:65536", "port 65536 is over 65535"),
            (
                ":99999999999999999999999",
                "port 99999999999999999999999 is over 65535",
            ),
            ("localhost:http", "port \"http\" is not a number"),
            ("localhost:+1", "port \"+1\" is not a number"),
            ("8000", "the colon is missing: write :8000 or HOST:8000"),
            ("::1", "needs brackets"),
            ("::1:8000", "needs brackets"),
            ("a b:1", "not an address"),
            ("[nonsense]:1", "not an address"),
            ("[::1:1", "not an address"),
            ("", "not an address"),
        ] {
            let listen = ListenAddress::parse(text).unwrap_err();
            assert!(listen.contains(part), "{text}: {listen}");
            assert_eq!(TargetAddress::parse(text), Err(listen));
        }
    }

    #[test]
    fn addresses_take_a_host_and_a_port() {
        for right in [
            "127.0.0.1:8000",
            "[::1]:8000",
            ":8000",
            "localhost:0",
            "*:1",
        ] {
            assert!(ListenAddress::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "nonsense",
            "8000",
            "::1:8000",
            "[::1]",
            "[nonsense]:1",
            "a b:1",
            "x:+1",
            "x:65536",
        ] {
            assert!(ListenAddress::parse(wrong).is_err(), "{wrong}");
        }
        for address in [":8000", "localhost:1", "[::1]:8000"] {
            assert!(TargetAddress::parse(address).is_ok(), "{address}");
        }
        for port_0 in ["localhost:0", "localhost:00", ":0", "[::1]:000"] {
            assert!(TargetAddress::parse(port_0).is_err(), "{port_0}");
        }
        let here = TargetAddress::parse(":7000").unwrap().resolve().unwrap();
        assert_eq!(here[0], "127.0.0.1:7000".parse().unwrap());
        for (typed, address) in [
            ("127.0.0.2", "127.0.0.2:0"),
            ("127.0.0.2:5", "127.0.0.2:5"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("[::1]:5", "[::1]:5"),
        ] {
            assert_eq!(local_address(typed), Ok(address.parse().unwrap()));
        }
        assert!(local_address("localhost").is_err());
        let all = ListenAddress::parse(":7000").unwrap().resolve().unwrap();
        assert_eq!(all, ["[::]:7000".parse().unwrap()]);
    }
}
