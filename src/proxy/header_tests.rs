//! Headers of all forms, complete and cut, valid and not.

use super::*;
use proptest::prelude::*;

const V4: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 5555 8000\r\n";

fn client(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A header of version 2.
fn binary(version_and_command: u8, family: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [
        &SIGNATURE[..],
        &[version_and_command, family],
        &length,
        contents,
    ]
    .concat()
}

fn v4_addresses() -> Vec<u8> {
    let mut contents = vec![192, 0, 2, 1, 198, 51, 100, 7];
    contents.extend(5555u16.to_be_bytes());
    contents.extend(8000u16.to_be_bytes());
    contents
}

fn v6_addresses() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let mut contents = [source.octets(), Ipv6Addr::LOCALHOST.octets()].concat();
    contents.extend(5555u16.to_be_bytes());
    contents.extend(8000u16.to_be_bytes());
    contents
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], bytes].concat()
}

/// Appends a checksum to a header.
fn with_checksum(family: u8, contents: &[u8]) -> Vec<u8> {
    let mut header = binary(0x21, family, &[contents, &value(3, &[0; 4])].concat());
    let at = header.len() - 4;
    let crc = checksum(&header, at..header.len());
    header[at..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// All of `header` is a header with this client, also if more input follows, and each part of it is incomplete.
#[track_caller]
fn assert_header(header: &[u8], client: Option<SocketAddr>) {
    let length = header.len();
    for rest in [&b""[..], b"x", &[0; 5000], b"PROXY UNKNOWN\r\n"] {
        let input = [header, rest].concat();
        assert_eq!(parse(&input), Ok(Some(Header { length, client })));
    }
    for cut in 0..length {
        assert_eq!(parse(&header[..cut]), Ok(None), "{cut} of {length} bytes");
    }
}

#[track_caller]
fn assert_error(input: &[u8], expected: HeaderError) {
    assert_eq!(parse(input), Err(expected), "{}", input.escape_ascii());
    for cut in 0..input.len() {
        let parsed = parse(&input[..cut]);
        let is_possible = matches!(parsed, Ok(None)) || parsed == Err(expected);
        assert!(is_possible, "{cut} bytes: {parsed:?}");
    }
}

#[test]
fn line_has_the_address_of_the_client() {
    assert_header(V4, Some(client("192.0.2.1:5555")));
    assert_header(
        b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n",
        Some(client("[2001:db8::1]:65535")),
    );
    assert_header(
        b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 1\r\n",
        Some(client("[::ffff:192.0.2.1]:0")),
    );
}

#[test]
fn longest_lines_are_accepted() {
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let line = format!("PROXY TCP6 {full} {full} 65535 65535\r\n");
    assert_eq!(line.len(), 104);
    assert_header(line.as_bytes(), Some(client(&format!("[{full}]:65535"))));
    let line = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
    assert_eq!(line.len(), MAX_LINE);
    assert_header(line.as_bytes(), None);
}

#[test]
fn unknown_client_is_none_whatever_follows_in_the_line() {
    assert_header(b"PROXY UNKNOWN\r\n", None);
    assert_header(b"PROXY UNKNOWN a b c d e f g h\r\n", None);
    assert_header(b"PROXY UNKNOWN \r\n", None);
}

#[test]
fn invalid_lines_are_rejected() {
    for line in [
        "PROXY TCP4 ::1 ::1 1 2",
        "PROXY TCP4 192.0.2.1 ::1 1 2",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 1",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 1",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +80 1",
        "PROXY TCP4 192.0.2.1 192.0.2.2 080 1",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 00",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 ",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4\t192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2",
        "PROXY TCP6 2001:db8:::1 ::1 1 2",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2",
        "PROXY unknown",
        "PROXY UNKNOWNS",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4",
        "PROXY ",
        "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \u{664}",
    ] {
        assert_error(format!("{line}\r\n").as_bytes(), HeaderError::InvalidLine);
    }
    let bare = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n";
    assert_error(bare, HeaderError::InvalidLine);
    assert_error(b"PROXY UNKNOWN \xFF\r\n", HeaderError::InvalidLine);
}

#[test]
fn line_above_107_bytes_is_too_long() {
    for end in ["\r\n", ""] {
        let line = format!("PROXY UNKNOWN {}{end}", "x".repeat(93));
        assert_error(line.as_bytes(), HeaderError::TooLong);
    }
}

#[test]
fn other_input_is_rejected_with_its_first_wrong_byte() {
    for input in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x16\x03\x01",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY\tTCP4",
        b"PROXX",
        b"\r\n\r\n\r",
        b"\0",
    ] {
        assert_error(input, HeaderError::NoHeader);
    }
}

#[test]
fn binary_header_has_the_address_of_the_client() {
    assert_header(
        &binary(0x21, 0x11, &v4_addresses()),
        Some(client("192.0.2.1:5555")),
    );
    assert_header(
        &binary(0x21, 0x21, &v6_addresses()),
        Some(client("[2001:db8::1]:5555")),
    );
}

#[test]
fn additional_values_are_skipped() {
    for (family, addresses, expected) in [
        (0x11, v4_addresses(), "192.0.2.1:5555"),
        (0x21, v6_addresses(), "[2001:db8::1]:5555"),
    ] {
        let values = [
            value(4, b""),
            value(2, b"example.org"),
            value(0xEE, &[3; 9]),
        ]
        .concat();
        let header = binary(0x21, family, &[addresses, values].concat());
        assert_header(&header, Some(client(expected)));
    }
}

#[test]
fn header_without_client_address_is_accepted() {
    // LOCAL: neither family nor contents count.
    for family in [0x00, 0x11, 0x21, 0xFF] {
        assert_header(&binary(0x20, family, &[]), None);
        assert_header(&binary(0x20, family, &[7; 20]), None);
    }
    for (family, size) in [(0x00, 0), (0x00, 5), (0x12, 12), (0x22, 36), (0x31, 216)] {
        assert_header(&binary(0x21, family, &vec![1; size]), None);
    }
}

#[test]
fn unknown_version_command_or_family_is_rejected() {
    let with = |version_and_command, family| binary(version_and_command, family, &v4_addresses());
    for version in (0..16).filter(|version| *version != 2) {
        let header = with(version << 4 | 1, 0x11);
        assert_error(&header, HeaderError::InvalidVersion(version));
    }
    for command in 2..16 {
        let header = with(0x20 | command, 0x11);
        assert_error(&header, HeaderError::InvalidCommand(command));
    }
    let known = [0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32];
    for family in (0..=255).filter(|family| !known.contains(family)) {
        let header = with(0x21, family);
        assert_error(&header, HeaderError::InvalidFamily(family));
    }
}

#[test]
fn contents_shorter_than_declared_are_rejected() {
    for (family, addresses) in [(0x11, v4_addresses()), (0x21, v6_addresses())] {
        for size in 0..addresses.len() {
            let header = binary(0x21, family, &addresses[..size]);
            assert_error(&header, HeaderError::InvalidLength);
        }
        for values in [&[1][..], &[1, 0], &[1, 0, 1], &[1, 0, 0, 2, 1, 0, 0]] {
            let header = binary(0x21, family, &[&addresses, values].concat());
            assert_error(&header, HeaderError::InvalidLength);
        }
    }
}

#[test]
fn binary_header_above_4096_bytes_is_too_long() {
    let of_size = |size: usize| {
        let addresses = v4_addresses();
        let padding = value(4, &vec![0; size - FIXED - addresses.len() - 3]);
        binary(0x21, 0x11, &[addresses, padding].concat())
    };
    let longest = of_size(MAX_BINARY);
    assert_eq!(longest.len(), MAX_BINARY);
    let parsed = parse(&longest).unwrap();
    assert_eq!(parsed.map(|header| header.length), Some(MAX_BINARY));
    let longer = of_size(MAX_BINARY + 1);
    // The declared length decides.
    assert_error(&longer[..FIXED], HeaderError::TooLong);
    assert_error(
        &binary(0x20, 0, &vec![0; 0xFFFF])[..20],
        HeaderError::TooLong,
    );
}

#[test]
fn checksum_is_that_of_the_rfc() {
    // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and of increasing values.
    let increasing: Vec<u8> = (0..32).collect();
    assert_eq!(checksum(&[0; 32], 0..0), 0x8A91_36AA);
    assert_eq!(checksum(&[0xFF; 32], 0..0), 0x62A8_AB43);
    assert_eq!(checksum(&increasing, 0..0), 0x46DD_794E);
    assert_eq!(checksum(&[1; 32], 0..32), 0x8A91_36AA);
}

#[test]
fn wrong_checksum_is_rejected() {
    for (family, addresses, expected) in [
        (0x11, v4_addresses(), "192.0.2.1:5555"),
        (0x21, v6_addresses(), "[2001:db8::1]:5555"),
    ] {
        let header = with_checksum(family, &addresses);
        assert_header(&header, Some(client(expected)));
        for byte in FIXED..header.len() - 7 {
            let mut changed = header.clone();
            changed[byte] ^= 1;
            assert_error(&changed, HeaderError::InvalidChecksum);
        }
        let short = binary(0x21, family, &[addresses, value(3, &[0; 3])].concat());
        assert_error(&short, HeaderError::InvalidChecksum);
    }
}

#[test]
fn every_error_has_a_distinct_text() {
    let texts = [
        HeaderError::NoHeader,
        HeaderError::TooLong,
        HeaderError::InvalidLine,
        HeaderError::InvalidVersion(1),
        HeaderError::InvalidCommand(2),
        HeaderError::InvalidFamily(0x41),
        HeaderError::InvalidLength,
        HeaderError::InvalidChecksum,
    ]
    .map(|error| error.to_string());
    for (index, text) in texts.iter().enumerate() {
        assert!(!texts[..index].contains(text), "{text}");
    }
    assert_eq!(texts[5], "unknown address family and protocol 0x41");
}

/// Input near that of a header: some header with some bytes changed, or any bytes.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let headers = prop_oneof![
        Just(V4.to_vec()),
        Just(b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n".to_vec()),
        Just(b"PROXY UNKNOWN\r\n".to_vec()),
        Just(binary(0x21, 0x11, &v4_addresses())),
        Just(binary(0x20, 0, &[])),
        Just(with_checksum(0x21, &v6_addresses())),
        Just(Vec::new()),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let rest = prop::collection::vec(any::<u8>(), 0..200);
    (headers, changes, rest).prop_map(|(mut input, changes, rest)| {
        for (index, byte) in changes {
            if !input.is_empty() {
                let at = index.index(input.len());
                input[at] = byte;
            }
        }
        input.extend(rest);
        input
    })
}

proptest! {
    /// More input does not change a result, and a header does not depend on what follows.
    #[test]
    fn decision_is_final(input in inputs()) {
        let mut decided = None;
        for cut in 0..=input.len() {
            match (parse(&input[..cut]), decided) {
                (Ok(None), decision) => prop_assert_eq!(decision, None),
                (result, None) => {
                    if let Ok(Some(header)) = result {
                        prop_assert_eq!(header.length, cut);
                    }
                    decided = Some(result);
                }
                (result, Some(decision)) => prop_assert_eq!(result.is_err(), decision.is_err()),
            }
        }
        if let Some(Ok(header)) = decided {
            prop_assert_eq!(parse(&input), Ok(header));
        }
        prop_assert!(decided.is_some() || input.len() < MAX_BINARY);
    }

    /// What is written by the specification is read.
    #[test]
    fn any_address_is_read_in_both_versions(source: std::net::SocketAddr, target: std::net::SocketAddr) {
        prop_assume!(source.is_ipv4() == target.is_ipv4());
        let client = SocketAddr::new(source.ip(), source.port());
        let (name, family) = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
        let line = format!(
            "PROXY {name} {} {} {} {}\r\n",
            source.ip(), target.ip(), source.port(), target.port()
        );
        let length = line.len();
        prop_assert_eq!(parse(line.as_bytes()), Ok(Some(Header { length, client: Some(client) })));
        let mut contents = Vec::new();
        for address in [source.ip(), target.ip()] {
            match address {
                IpAddr::V4(address) => contents.extend(address.octets()),
                IpAddr::V6(address) => contents.extend(address.octets()),
            }
        }
        contents.extend(source.port().to_be_bytes());
        contents.extend(target.port().to_be_bytes());
        let header = binary(0x21, family, &contents);
        let length = header.len();
        prop_assert_eq!(parse(&header), Ok(Some(Header { length, client: Some(client) })));
    }
}
