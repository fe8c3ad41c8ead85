//! Two selectors with the same socket, as during an upgrade (`two_processes.rs`): what the kernel reports to each, and
//! when it closes the connection.

use echoloop::net::{Ending, Key, MioNet, Net, Readiness, Ready};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const KEY: Key = Key { slot: 3, serial: 9 };

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    (stream, peer)
}

/// Waits until this readiness is reported.
fn expect(net: &mut MioNet, readiness: Readiness) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut ready = Vec::new();
    let is_reported = |event: &Ready| event.key == KEY && event.readiness.contains(readiness);
    while !ready.iter().any(is_reported) {
        assert!(Instant::now() < deadline, "{readiness:?} is not reported");
        net.wait(Some(Duration::from_millis(1)), &mut ready)
            .unwrap();
    }
}

#[test]
fn second_selector_reports_what_is_ready_at_registration() {
    let (stream, mut peer) = pair();
    let [mut old, mut new] = [(); 2].map(|()| MioNet::new().unwrap());
    old.register(&stream, KEY, false).unwrap();
    peer.write_all(b"a").unwrap();
    expect(&mut old, Readiness::READABLE);
    let duplicate = stream.try_clone().unwrap();
    new.register(&duplicate, KEY, true).unwrap();
    expect(&mut new, Readiness::READABLE | Readiness::WRITABLE);
}

#[test]
fn both_selectors_report_an_edge() {
    let (stream, mut peer) = pair();
    let [mut old, mut new] = [(); 2].map(|()| MioNet::new().unwrap());
    old.register(&stream, KEY, false).unwrap();
    let duplicate = stream.try_clone().unwrap();
    new.register(&duplicate, KEY, false).unwrap();
    peer.write_all(b"a").unwrap();
    expect(&mut new, Readiness::READABLE);
    expect(&mut old, Readiness::READABLE);
    peer.shutdown(Shutdown::Write).unwrap();
    expect(&mut old, Readiness::READABLE | Readiness::DRAIN);
    expect(&mut new, Readiness::READABLE | Readiness::DRAIN);
}

#[test]
fn fin_follows_the_close_of_the_last_descriptor() {
    let (stream, mut peer) = pair();
    let mut net = MioNet::new().unwrap();
    let mut duplicate = stream.try_clone().unwrap();
    net.register(&duplicate, KEY, false).unwrap();
    drop(stream);
    duplicate.write_all(b"open").unwrap();
    let mut received = [0; 4];
    peer.read_exact(&mut received).unwrap();
    peer.set_nonblocking(true).unwrap();
    let error = peer.read(&mut received).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "FIN has arrived");
    net.close(duplicate, Ending::Fin);
    peer.set_nonblocking(false).unwrap();
    assert_eq!(peer.read(&mut received).unwrap(), 0);
}
