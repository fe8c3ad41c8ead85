use super::super::netlink::HEADER;
use super::*;

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    (address.parse().unwrap(), length.parse().unwrap())
}

fn route(table: u8, network: &str, interface: u32) -> Vec<u8> {
    let (address, length) = prefix(network);
    let mut message = Request::new(RTM_NEWROUTE, 0)
        .with(&[family(address), length, 0, 0])
        .with(&[table, RTPROT_STATIC, 0, RTN_UNICAST, 0, 0, 0, 0]);
    if length > 0 {
        message = message.with_attribute(RTA_DST, &octets(address));
    }
    message = message.with_attribute(RTA_OIF, &interface.to_ne_bytes());
    message.bytes()[HEADER..].to_vec()
}

#[test]
fn networks_contain_themselves_and_smaller_ones() {
    for (outer, inner, expected) in [
        ("198.18.0.0/15", "198.18.0.0/15", true),
        ("198.18.0.0/15", "198.19.255.255/32", true),
        ("198.18.0.0/15", "198.20.0.0/32", false),
        ("198.18.0.0/15", "198.0.0.0/8", false),
        ("0.0.0.0/0", "10.0.0.0/8", true),
        ("10.0.0.1/32", "10.0.0.1/32", true),
        ("10.0.0.1/32", "10.0.0.0/32", false),
        ("fd00::/64", "fd00::7/128", true),
        ("fd00::/64", "fd00:0:0:1::/64", false),
        ("::/0", "10.0.0.0/8", false),
    ] {
        let found = contains(prefix(outer), prefix(inner));
        assert_eq!(found, expected, "{outer} contains {inner}");
    }
}

#[test]
fn routes_are_parsed_with_table_and_interface() {
    for (table, network) in [
        (RT_TABLE_MAIN, "0.0.0.0/0"),
        (RT_TABLE_MAIN, "10.64.7.0/24"),
        (RT_TABLE_LOCAL, "10.64.0.1/32"),
        (RT_TABLE_MAIN, "::/0"),
        (RT_TABLE_LOCAL, "fd00:7::1/128"),
    ] {
        let found = parse_route(&route(table, network, 7));
        assert_eq!(found, Some((table, prefix(network), Some(7))));
    }
}

#[test]
fn cut_messages_are_no_routes() {
    let message = route(RT_TABLE_MAIN, "10.64.7.0/24", 7);
    for length in 0..ROUTE_MESSAGE {
        assert_eq!(parse_route(&message[..length]), None);
    }
}

#[test]
fn addresses_of_this_machine_overlap() {
    let mut socket = RouteSocket::open().unwrap();
    // The route of 127.0.0.0/8 exists if the loopback interface is up, as tests require.
    let found = socket.overlap(prefix("127.0.0.0/8")).unwrap();
    let found = found.expect("an address of the loopback interface");
    assert!(found.starts_with("127."), "{found}");
    assert!(found.ends_with(" dev lo"), "{found}");
    assert!(socket.is_local("127.0.0.1".parse().unwrap()).unwrap());
    assert!(!socket.is_local("203.0.113.1".parse().unwrap()).unwrap());
    // TEST-NET-3 (RFC 5737) is an address of no machine; the replies to two requests are not mixed up.
    assert_eq!(socket.overlap(prefix("203.0.113.0/24")).unwrap(), None);
}
