//! The reference: a minimal closed loop over epoll, which verifies nothing and reads the clock only once per iteration,
//! to end in time.

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Echoes per second on `connections` connections with messages of `size` bytes, after a warm-up of half a second.
pub(crate) fn rate(address: SocketAddr, connections: usize, size: usize, length: Duration) -> f64 {
    let mut poll = Poll::new().unwrap();
    let mut streams: Vec<TcpStream> = (0..connections)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let message = vec![b'x'; size];
    let mut missing = vec![size; connections];
    for (index, stream) in streams.iter_mut().enumerate() {
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let fd = stream.as_raw_fd();
        let registry = poll.registry();
        registry
            .register(&mut SourceFd(&fd), Token(index), Interest::READABLE)
            .unwrap();
        stream.write_all(&message).unwrap();
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    let begin = Instant::now() + Duration::from_millis(500);
    let mut count = 0_u32;
    let mut counted_from = None;
    loop {
        poll.poll(&mut events, None).unwrap();
        for event in &events {
            let index = event.token().0;
            let stream = &mut streams[index];
            match stream.read(&mut buffer) {
                Ok(length) => missing[index] -= length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            if missing[index] == 0 {
                missing[index] = size;
                count += 1;
                // The message fits into the send buffer.
                stream.write_all(&message).unwrap();
            }
        }
        let now = Instant::now();
        match counted_from {
            None if now >= begin => {
                counted_from = Some(now);
                count = 0;
            }
            Some(from) if now >= from + length => {
                return f64::from(count) / (now - from).as_secs_f64();
            }
            _ => {}
        }
    }
}
