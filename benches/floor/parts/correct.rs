//! Whether all that is compared is correct: a peer sends more than the kernel holds before it reads anything, and
//! half-closes; every byte must come back in its place, and then FIN.

use crate::bench::Bench;
use crate::rivals::Rival;
use crate::row::{Row, Unit};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// More than both sockets and their peers hold, whatever the kernel lets them grow to (tcp(7), `tcp_wmem`, `tcp_rmem`).
const BYTES: usize = 64 << 20;

/// For how long nothing is taken any more when all buffers are full.
const STUCK: Duration = Duration::from_millis(50);

/// How long a read may wait.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(bench: &mut Bench) {
    let series = Rival::ALL.map(|rival| {
        let server = bench.start(rival);
        let begin = Instant::now();
        owed_then_half_closed(server.address);
        vec![1000.0 * begin.elapsed().as_secs_f64()]
    });
    let what = "64 MiB to a late reader, half-close";
    let row = Row::new("correct", what, Unit::Milliseconds, series);
    let bar = "every byte, then FIN:".into();
    bench.report.add(row.bar(bar, true, false));
}

/// # Panics
/// When a byte is missing or out of its place, or another end than FIN comes.
fn owed_then_half_closed(server: SocketAddr) {
    // A period that divides no power of two, so that nothing fits where it does not belong.
    let bytes: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let sent = fill(&mut stream, &bytes);
    assert!(sent < BYTES, "the kernel holds it all, so nothing is owed");
    thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let rest = &bytes[sent..];
        scope.spawn(move || {
            writer.write_all(rest).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::with_capacity(BYTES);
        stream.read_to_end(&mut back).unwrap();
        assert!(back == bytes, "what came back is not what was sent");
    });
}

/// Sends until nothing is taken any more; how much was.
fn fill(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut last = Instant::now();
    while sent < bytes.len() && last.elapsed() < STUCK {
        match stream.write(&bytes[sent..]) {
            Ok(count) => {
                sent += count;
                last = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("a connection ended: {error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}
