//! A name with an IPv6 and an IPv4 address.

use crate::hosts_file::{Hosts, refusing};
use crate::run::{Output, Running, echoloop};
use crate::servers::{Fate, serve_on};
use crate::tools::lacking;
use std::net::TcpListener;
use std::process::Stdio;

/// Both addresses under the name `both`; none if this machine has no IPv6.
fn both() -> Option<Hosts> {
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok()
        || lacking("this machine has no IPv6 loopback address");
    has_ipv6.then(|| Hosts::new("::1 both\n127.0.0.1 both\n"))?
}

/// Runs a short load of the name with these flags.
fn load_both(hosts: &Hosts, port: u16, flags: &[&str]) -> Output {
    let target = format!("both:{port}");
    let fixed = ["load", &target, "-c", "3", "-d", "100ms", "--warmup", "0"];
    let mut command = echoloop(&fixed);
    command.args(["-o", "json"]).args(flags);
    let mut command = hosts.command(&command);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(command).finish()
}

#[test]
fn name_with_one_listening_address_of_two_is_loaded() {
    let Some(hosts) = both() else {
        return;
    };
    for (listens, refuses, flag, other) in [
        ("127.0.0.1", "[::1]", "-4", "-6"),
        ("[::1]", "127.0.0.1", "-6", "-4"),
    ] {
        // The port of one address may be in use on the other.
        let (listener, _refusing) = (0..20)
            .find_map(|_| {
                let listener = TcpListener::bind(format!("{listens}:0")).unwrap();
                let port = listener.local_addr().unwrap().port();
                Some((listener, refusing(&format!("{refuses}:{port}")).ok()?))
            })
            .unwrap();
        let server = serve_on(listener, usize::MAX, |_| Fate::Answered);
        let port = server.port();
        for flags in [&[][..], &[flag]] {
            let result = load_both(&hosts, port, flags).result();
            assert_eq!(result.target, server.to_string(), "{flags:?}");
            assert_eq!(result.connections.opened, 3, "{result:#?}");
            assert!(result.echo.received > 0, "{result:#?}");
        }
        let failed = load_both(&hosts, port, &[other]);
        assert_eq!(failed.code, Some(1), "{failed:#?}");
        let address = format!("{refuses}:{port}");
        assert!(failed.stderr.contains(&address), "{failed:#?}");
    }
}

#[test]
fn bind_selects_the_addresses_of_its_ip_version() {
    let Some(hosts) = both() else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = serve_on(listener, usize::MAX, |_| Fate::Answered);
    let result = load_both(&hosts, server.port(), &["--bind", "127.0.0.7"]).result();
    assert_eq!(result.target, server.to_string());
    assert_eq!(result.connections.opened, 3, "{result:#?}");
}
