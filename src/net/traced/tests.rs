//! Tests of the recording network, on the kernel's sockets.

use super::super::{MioNet, Readiness, Stream};
use super::*;
use std::net::{TcpListener, TcpStream};

/// A network with a listener, a connection that it has accepted, and the client.
struct Fixture {
    net: Traced<MioNet>,
    listener: <MioNet as Net>::Listener,
    client: TcpStream,
}

const SOURCE: Source = Source::listener(0);

impl Fixture {
    fn new() -> Fixture {
        let mut net = Traced::new(MioNet::new().unwrap());
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = net.listen(&ListenOptions::new(any_port), SOURCE).unwrap();
        let client = TcpStream::connect(net.local_addr(&listener).unwrap()).unwrap();
        Fixture {
            net,
            listener,
            client,
        }
    }

    fn start(&mut self, capacity: usize) {
        let clock = self.net.inner().clock();
        self.net.start(capacity, clock);
    }

    /// Waits for the listener, accepts, and registers with this serial number.
    fn accept(&mut self, serial: u32) -> TracedStream<TcpStream> {
        let mut ready = Vec::new();
        while ready.is_empty() {
            self.net.wait(None, &mut ready).unwrap();
        }
        let stream = self.net.accept(&self.listener).unwrap();
        let key = Key { slot: 0, serial };
        self.net.register(&stream, key, false).unwrap();
        stream
    }

    fn kinds(&self) -> Vec<TraceKind> {
        let ring = self.net.ring().unwrap();
        ring.events().map(|event| event.kind).collect()
    }
}

#[test]
fn calls_are_recorded_in_order_with_the_peer() {
    use std::io::Write;
    let mut fixture = Fixture::new();
    fixture.start(100);
    let mut stream = fixture.accept(7);
    let mut buffer = [0; 16];
    fixture.client.write_all(b"abc").unwrap();
    // The kernel delivers on loopback within the write.
    assert_eq!(stream.read(&mut buffer).unwrap(), 3);
    assert!(stream.read(&mut buffer).is_err());
    assert_eq!(stream.write(b"abcd").unwrap(), 4);
    let key = Key { slot: 0, serial: 7 };
    fixture.net.note(key, Note::BudgetUsed);
    stream.shutdown_write().unwrap();
    fixture.net.close(stream, Ending::Fin);
    assert_eq!(
        fixture.kinds(),
        [
            TraceKind::Wait(u32::MAX),
            TraceKind::Woke(1),
            TraceKind::Ready {
                readiness: Readiness::READABLE,
                source: SOURCE.0
            },
            TraceKind::Opened(Opening::Accepted),
            TraceKind::Read(3),
            TraceKind::ReadFailed(io::ErrorKind::WouldBlock),
            TraceKind::Write(4),
            TraceKind::Note(Note::BudgetUsed),
            TraceKind::FinSent,
            TraceKind::Closed(Ending::Fin),
        ]
    );
    let ring = fixture.net.ring().unwrap();
    assert_eq!(ring.peer(7), Some(fixture.client.local_addr().unwrap()));
    assert_eq!(ring.dropped(), 0);
    let times: Vec<Time> = ring.events().map(|event| event.time).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn full_ring_drops_the_oldest_events_and_counts_them() {
    let mut fixture = Fixture::new();
    fixture.start(4);
    for count in 0..10 {
        let key = Key {
            slot: 0,
            serial: count,
        };
        fixture.net.note(key, Note::Resumed);
    }
    let ring = fixture.net.ring().unwrap();
    assert_eq!(ring.dropped(), 6);
    let serials: Vec<u32> = ring.events().map(|event| event.serial).collect();
    assert_eq!(serials, [6, 7, 8, 9]);
}

#[test]
fn empty_polls_are_joined() {
    let mut fixture = Fixture::new();
    let _stream = fixture.accept(1);
    fixture.start(100);
    let mut ready = Vec::new();
    for _ in 0..5 {
        fixture.net.wait(Some(Duration::ZERO), &mut ready).unwrap();
    }
    assert_eq!(fixture.kinds(), [TraceKind::Wait(0), TraceKind::Woke(0)]);
}

#[test]
fn nothing_is_recorded_before_the_start_and_after_the_stop() {
    use std::io::Write;
    let mut fixture = Fixture::new();
    assert!(fixture.net.ring().is_none());
    let mut stream = fixture.accept(1);
    fixture.start(100);
    // It was registered before, so its number is unknown.
    assert!(stream.write(b"x").is_ok());
    assert_eq!(fixture.kinds(), []);
    fixture.net.stop();
    assert!(fixture.net.ring().is_none());
    fixture.client.write_all(b"x").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1);
}

#[test]
fn streams_of_another_network_are_not_recorded() {
    let mut fixture = Fixture::new();
    fixture.start(100);
    let _stream = fixture.accept(1);
    let before = fixture.kinds().len();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(TracedStream::new(other).write(b"x").unwrap(), 1);
    assert_eq!(fixture.kinds().len(), before);
}

#[test]
fn refused_connection_and_empty_queue_are_events_of_the_loop() {
    let mut fixture = Fixture::new();
    fixture.start(100);
    let mut ready = Vec::new();
    while ready.is_empty() {
        fixture.net.wait(None, &mut ready).unwrap();
    }
    let stream = fixture.net.accept(&fixture.listener).unwrap();
    fixture.net.close(stream, Ending::Empty);
    assert!(fixture.net.accept(&fixture.listener).is_err());
    let kinds = fixture.kinds();
    assert_eq!(kinds[3..], [TraceKind::Refused, TraceKind::AcceptEmpty]);
}

#[test]
fn durations_of_two_seconds_and_more_are_kept_in_microseconds() {
    let kept = |nanos| {
        let duration = Duration::from_nanos(nanos);
        let event = TraceEvent::new(Time::ZERO, duration, 0, TraceKind::Eof);
        event.duration().as_nanos()
    };
    assert_eq!(kept(0), 0);
    assert_eq!(kept(2_147_483_647), 2_147_483_647);
    assert_eq!(kept(5_000_000_000), 5_000_000_000 >> 10 << 10);
    assert_eq!(
        kept(u64::MAX),
        u128::from(u32::MAX >> 1) << 10,
        "36 minutes"
    );
}
