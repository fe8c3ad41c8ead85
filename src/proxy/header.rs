//! The header of the PROXY protocol, version 1 (a line of text) and version 2 (binary): bytes in, a client's address out.
//!
//! After <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. The parser is our own, since `ppp` 2.3 rejects a
//! valid line that is cut before the last port, accepts ports such as `+80`, and takes some complete lines for incomplete.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest header of version 1, with its line end.
pub const MAX_LINE: usize = 107;
/// The longest header of version 2. The format allows 64 KiB; those of proxies have some hundred bytes.
pub const MAX_BINARY: usize = 4096;

const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Up to the length.
const FIXED: usize = SIGNATURE.len() + 4;

/// The bytes of the checksum, a CRC-32C of the header in which they are zero.
const TLV_CRC32C: u8 = 3;

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its length in bytes.
    pub length: usize,
    /// The client; `None` if the proxy has opened the connection for itself, or the client has no IP address.
    pub client: Option<SocketAddr>,
}

/// Why input does not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither the line nor the signature.
    NoHeader,
    /// Longer than [`MAX_LINE`] or [`MAX_BINARY`].
    TooLong,
    /// A line that is not as specified.
    InvalidLine,
    /// Another version than 2.
    InvalidVersion(u8),
    /// Neither LOCAL nor PROXY.
    InvalidCommand(u8),
    /// An unknown address family or transport protocol.
    InvalidFamily(u8),
    /// Too short for its addresses, or for an additional value.
    InvalidLength,
    /// The checksum is wrong.
    InvalidChecksum,
}

impl Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::NoHeader => f.write_str("the input does not begin with it"),
            HeaderError::TooLong => write!(
                f,
                "longer than {MAX_LINE} bytes (version 1) or {MAX_BINARY} bytes (version 2)"
            ),
            HeaderError::InvalidLine => f.write_str("invalid line"),
            HeaderError::InvalidVersion(version) => write!(f, "unknown version {version}"),
            HeaderError::InvalidCommand(command) => write!(f, "unknown command {command}"),
            HeaderError::InvalidFamily(family) => {
                write!(f, "unknown address family and protocol {family:#04x}")
            }
            HeaderError::InvalidLength => f.write_str("too short for its contents"),
            HeaderError::InvalidChecksum => f.write_str("wrong checksum"),
        }
    }
}

/// Parses the header at the begin of `input`; `None` if more input is needed to decide.
///
/// # Errors
/// Why the input does not begin with a header, whatever follows.
pub fn parse(input: &[u8]) -> Result<Option<Header>, HeaderError> {
    if begins_with(input, SIGNATURE) {
        parse_binary(input)
    } else if begins_with(input, LINE) {
        parse_line(input)
    } else {
        Err(HeaderError::NoHeader)
    }
}

/// Whether `input` begins with `signature`, as far as it has arrived.
fn begins_with(input: &[u8], signature: &[u8]) -> bool {
    let length = input.len().min(signature.len());
    input[..length] == signature[..length]
}

/// Version 1, such as `PROXY TCP4 192.0.2.1 198.51.100.1 5555 8000\r\n`.
fn parse_line(input: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(end) = input.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if input.len() < MAX_LINE {
            Ok(None)
        } else {
            Err(HeaderError::TooLong)
        };
    };
    let line = input[..end].strip_suffix(b"\r");
    let line = line.and_then(|line| str::from_utf8(line).ok());
    let line = line.ok_or(HeaderError::InvalidLine)?;
    let mut fields = line.split(' ').skip(1);
    let client = match fields.next() {
        // The rest of the line is to be ignored.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(client_of::<Ipv4Addr>(fields).ok_or(HeaderError::InvalidLine)?),
        Some("TCP6") => Some(client_of::<Ipv6Addr>(fields).ok_or(HeaderError::InvalidLine)?),
        _ => return Err(HeaderError::InvalidLine),
    };
    Ok(Some(Header {
        length: end + 1,
        client,
    }))
}

/// The address of the client, if the fields are two addresses and two ports.
fn client_of<'a, A: FromStr + Into<IpAddr>>(
    mut fields: impl Iterator<Item = &'a str>,
) -> Option<SocketAddr> {
    let mut address = || fields.next()?.parse::<A>().ok();
    let (source, _destination) = (address()?, address()?);
    let (source_port, _destination_port) = (port(fields.next()?)?, port(fields.next()?)?);
    fields
        .next()
        .is_none()
        .then(|| SocketAddr::new(source.into(), source_port))
}

/// A decimal number without sign or leading zero.
fn port(text: &str) -> Option<u16> {
    let number = text.parse::<u16>().ok()?;
    (text == "0" || text.starts_with(|first: char| ('1'..='9').contains(&first))).then_some(number)
}

/// Version 2.
fn parse_binary(input: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some((fixed, _)) = input.split_first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., version_and_command, family, high, low] = *fixed;
    let (version, command) = (version_and_command >> 4, version_and_command & 15);
    if version != 2 {
        return Err(HeaderError::InvalidVersion(version));
    }
    if command > 1 {
        return Err(HeaderError::InvalidCommand(command));
    }
    let is_local = command == 0;
    let addresses = match family {
        // The family is to be ignored.
        _ if is_local => Addresses::Ignored,
        0x11 => Addresses::V4,
        0x21 => Addresses::V6,
        // Unspecified, datagrams, and Unix sockets.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Addresses::Ignored,
        _ => return Err(HeaderError::InvalidFamily(family)),
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BINARY {
        return Err(HeaderError::TooLong);
    }
    let Some(header) = input.get(..length) else {
        return Ok(None);
    };
    let client = addresses.client(header)?;
    Ok(Some(Header { length, client }))
}

/// The addresses in a header of version 2.
#[derive(Clone, Copy)]
enum Addresses {
    V4,
    V6,
    Ignored,
}

impl Addresses {
    /// The client in a complete header, whose other contents are valid.
    fn client(self, header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
        let contents = &header[FIXED..];
        let (ip, port, size) = match self {
            Addresses::Ignored => return Ok(None),
            Addresses::V4 => {
                let ip = contents.first_chunk::<4>().copied().map(IpAddr::from);
                (ip, contents.get(8..10), 12)
            }
            Addresses::V6 => {
                let ip = contents.first_chunk::<16>().copied().map(IpAddr::from);
                (ip, contents.get(32..34), 36)
            }
        };
        if contents.len() < size {
            return Err(HeaderError::InvalidLength);
        }
        check_values(header, FIXED + size)?;
        let port = port.and_then(|port| port.try_into().ok());
        Ok(ip
            .zip(port)
            .map(|(ip, port)| SocketAddr::new(ip, u16::from_be_bytes(port))))
    }
}

/// Checks the additional values (TLV) of a header from `begin` on: their lengths, and a checksum if there is one.
fn check_values(header: &[u8], begin: usize) -> Result<(), HeaderError> {
    let mut at = begin;
    while at < header.len() {
        let Some((&[kind, high, low], rest)) = header[at..].split_first_chunk() else {
            return Err(HeaderError::InvalidLength);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(..length).ok_or(HeaderError::InvalidLength)?;
        at += 3 + length;
        if kind == TLV_CRC32C && value != checksum(header, at - length..at).to_be_bytes() {
            return Err(HeaderError::InvalidChecksum);
        }
    }
    Ok(())
}

/// The CRC-32C (RFC 3720, appendix B.4) of a header in which the bytes `zeroed` count as zero. Bit by bit: it is rare, and
/// at most 4 KiB long.
fn checksum(header: &[u8], zeroed: std::ops::Range<usize>) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let bytes = header.iter().enumerate();
    let bytes = bytes.map(|(at, byte)| if zeroed.contains(&at) { 0 } else { *byte });
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let low = crc & 1;
            (crc >> 1) ^ (POLYNOMIAL * low)
        })
    })
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
