//! Connections are opened at the pace of the server, without a byte on idle connections.

use crate::network::{counter, in_own_network, listener_with_backlog, load_command};
use crate::python::{ASYNCIO, Python};
use crate::run::Running;
use crate::tools::have_tool;
use echoloop::load::{Config, Load, LoadResult, WallTime};
use echoloop::net::{AcceptQueueReader, MioNet};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const SHORT: [&str; 2] = ["--duration", "100ms"];

fn load_of(target: SocketAddr, arguments: &[&str]) -> LoadResult {
    let arguments = [arguments, &SHORT].concat();
    Running::start(load_command(target, &arguments))
        .finish()
        .result()
}

/// All connections are established, and the kernel has dropped no SYN of any program.
#[track_caller]
fn assert_opened_without_overflow(result: &LoadResult, count: u64) {
    let connections = &result.connections;
    assert_eq!(
        (connections.opened, connections.lost),
        (count, 0),
        "{result:#?}"
    );
    assert_eq!(result.connect.retransmitted, 0, "{result:#?}");
    assert_eq!(result.connect.machine_retransmitted, Some(0), "{result:#?}");
    assert_eq!(counter("ListenOverflows"), 0, "{result:#?}");
}

/// A server that closes a connection on any byte. When stopped it returns how many bytes it has received.
struct Allergic {
    address: SocketAddr,
    is_stopping: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Allergic {
    fn start() -> Allergic {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&is_stopping);
        let thread = thread::spawn(move || {
            let (mut streams, mut bytes) = (Vec::new(), 0);
            loop {
                let is_last = stopping.load(Ordering::Relaxed);
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    streams.push(stream);
                }
                streams.retain_mut(|stream| stays_open(stream, &mut bytes));
                if is_last {
                    return bytes;
                }
                thread::yield_now();
            }
        });
        Allergic {
            address,
            is_stopping,
            thread,
        }
    }

    fn stop(self) -> usize {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn stays_open(stream: &mut TcpStream, bytes: &mut usize) -> bool {
    match stream.read(&mut [0; 1024]) {
        Ok(count) => {
            *bytes += count;
            false
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

#[test]
fn idle_connections_receive_no_byte_with_probe_off() {
    let server = Allergic::start();
    let result = load_of(server.address, &["--idle", "2000", "--probe", "off"]);
    let connections = &result.connections;
    assert_eq!(
        (connections.opened, connections.lost),
        (2_000, 0),
        "{result:#?}"
    );
    assert_eq!(connections.failed.total(), 0, "{result:#?}");
    assert_eq!(result.intervals.last().unwrap().held, 2_000, "{result:#?}");
    assert_eq!(server.stop(), 0, "bytes on idle connections");
}

#[test]
fn probes_of_a_server_that_closes_on_any_byte_are_dead() {
    let server = Allergic::start();
    let result = load_of(server.address, &["--idle", "100"]);
    assert_eq!(result.connections.opened, 100, "{result:#?}");
    assert_eq!(result.probe.dead, 100, "{result:#?}");
    assert_eq!(server.stop(), 100 * 128, "the probes");
}

#[test]
fn asyncio_with_its_default_backlog_opens_5000() {
    if !have_tool("python3") {
        return;
    }
    in_own_network(
        "pacing::asyncio_with_its_default_backlog_opens_5000",
        || {
            let server = Python::start(ASYNCIO, &[]);
            let result = load_of(server.address, &["--idle", "5000", "--probe", "off"]);
            assert_opened_without_overflow(&result, 5_000);
        },
    );
}

/// Accepts each connection after this time, and holds it.
fn accept_slowly(listener: TcpListener, service_time: Duration) {
    thread::spawn(move || {
        let mut held = Vec::new();
        loop {
            thread::sleep(service_time);
            held.push(listener.accept());
        }
    });
}

#[test]
fn smallest_backlogs_never_overflow() {
    in_own_network("pacing::smallest_backlogs_never_overflow", || {
        for backlog in [0, 1, 5, 60] {
            let (listener, address) = listener_with_backlog(backlog);
            accept_slowly(listener.into(), Duration::from_micros(500));
            let result = load_of(address, &["--idle", "300", "--probe", "off"]);
            assert_opened_without_overflow(&result, 300);
        }
    });
}

#[test]
fn listener_on_the_wildcard_address_is_found() {
    in_own_network("pacing::listener_on_the_wildcard_address_is_found", || {
        for wildcard in ["0.0.0.0:0", "[::]:0"] {
            let address: SocketAddr = wildcard.parse().unwrap();
            let domain = socket2::Domain::for_address(address);
            let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
            socket.bind(&address.into()).unwrap();
            socket.listen(3).unwrap();
            let port = socket.local_addr().unwrap().as_socket().unwrap().port();
            accept_slowly(socket.into(), Duration::from_micros(500));
            let target = SocketAddr::from(([127, 0, 0, 1], port));
            let result = load_of(target, &["--idle", "200", "--probe", "off"]);
            assert_opened_without_overflow(&result, 200);
            assert!(result.warnings.is_empty(), "{result:#?}");
        }
    });
}

/// Loads a server with a short accept queue twice at once; the results if its queue has overflowed.
fn overflow_of_two_loads() -> Option<[LoadResult; 2]> {
    let (listener, address) = listener_with_backlog(100);
    accept_slowly(listener.into(), Duration::from_micros(200));
    let arguments = ["--idle", "1500", "--probe", "off"];
    let before = ["ListenOverflows", "ListenDrops"].map(counter);
    let results = thread::scope(|scope| {
        let loads = [0; 2].map(|_| scope.spawn(|| load_of(address, &arguments)));
        loads.map(|load| load.join().unwrap())
    });
    for result in &results {
        let connections = &result.connections;
        let counts = (connections.opened, connections.lost);
        assert_eq!(counts, (1_500, 0), "{result:#?}");
    }
    let after = ["ListenOverflows", "ListenDrops"].map(counter);
    let retransmitted = results.iter().any(|one| one.connect.retransmitted > 0);
    (retransmitted || after != before).then_some(results)
}

#[test]
fn two_loads_at_once_do_not_overflow_a_backlog_of_100() {
    in_own_network(
        "pacing::two_loads_at_once_do_not_overflow_a_backlog_of_100",
        || {
            // A load that does not run between its reading of the queue and its connects can overflow the queue that the
            // other one has filled meanwhile. Without pacing, it overflows in every attempt.
            let attempts: Vec<_> = (0..5).map_while(|_| overflow_of_two_loads()).collect();
            assert!(attempts.len() < 5, "{attempts:#?}");
        },
    );
}

#[test]
fn fixed_window_limits_the_accept_queue() {
    let (listener, address) = listener_with_backlog(200);
    let mut reader = AcceptQueueReader::open(address).unwrap().unwrap();
    let server = thread::spawn(move || {
        let (mut held, mut longest) = (Vec::new(), 0);
        for _ in 0..300 {
            // The service time: the load refills the queue meanwhile.
            thread::sleep(Duration::from_millis(1));
            longest = longest.max(reader.read().unwrap().length);
            held.push(listener.accept().unwrap());
        }
        (longest, held)
    });
    let arguments = ["--idle", "300", "--probe", "off", "--window", "7"];
    let result = load_of(address, &arguments);
    let (longest, _) = server.join().unwrap();
    assert_eq!(result.connections.opened, 300, "{result:#?}");
    assert!((1..=7).contains(&longest), "{longest} in the accept queue");
}

/// A load in this process that does not see the accept queue, as if the server were on another machine.
fn load_from_afar(config: Config) -> LoadResult {
    let net = MioNet::new().unwrap();
    let mut load = Load::new(net, config, ());
    load.run().unwrap();
    let mut saved = load.to_saved(WallTime::default());
    load.close(&mut saved);
    saved.result
}

fn distant(address: SocketAddr, probe: u32) -> Config {
    Config {
        idle: 1_000,
        active: 0,
        duration: Duration::from_millis(100),
        warmup: Duration::ZERO,
        probe,
        ..Config::new(address)
    }
}

#[test]
fn unseen_accept_queue_is_reported_unless_probed() {
    let (listener, address) = listener_with_backlog(200);
    accept_slowly(listener.into(), Duration::from_micros(100));
    let result = load_from_afar(distant(address, 0));
    assert_eq!(result.connections.opened, 1_000, "{result:#?}");
    let unknown = |result: &LoadResult| {
        let warnings = result.warnings.iter();
        warnings
            .filter(|text| text.contains("unknown whether the server has accepted"))
            .count()
    };
    assert_eq!(unknown(&result), 1, "{result:#?}");
    assert!(result.warnings.concat().contains("1000 idle connections"));
    let server = crate::servers::serve(|_| crate::servers::Fate::Answered);
    let result = load_from_afar(distant(server, u32::MAX));
    assert_eq!(
        (result.probe.alive, unknown(&result)),
        (1_000, 0),
        "{result:#?}"
    );
}
