//! A fixed number of threads behind a queue of accepted connections.
//!
//! One thread accepts and puts each connection into a queue; the others take connections from it and serve each to its end.
//! The number of threads bounds memory and context switches.
//!
//! Good for: short requests, one per connection, that use the CPU or a disk.
//!
//! Fails when: as many clients are idle as there are threads. All others wait in the queue and get no reply, although the
//! server accepts every connection: to a monitor that only connects, it is healthy. A queue without a bound, as here,
//! also hides the overload; a bounded one moves the wait to the accept queue, where clients see it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Serves at most `threads` clients at a time.
///
/// # Errors
/// See accept(2) and `pthread_create(3)`.
pub fn serve(listener: TcpListener, threads: usize) -> io::Result<()> {
    let (queue, accepted) = channel();
    let accepted = Arc::new(Mutex::new(accepted));
    for _ in 0..threads {
        let accepted = Arc::clone(&accepted);
        thread::Builder::new().spawn(move || while serve_next(&accepted) {})?;
    }
    loop {
        let (stream, _) = listener.accept()?;
        queue.send(stream).map_err(io::Error::other)?;
    }
}

/// Serves the next connection of the queue; false if the server has ended.
fn serve_next(accepted: &Mutex<Receiver<TcpStream>>) -> bool {
    // The lock is released at the end of the statement, before the client is served.
    let next = accepted
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv();
    // A client that resets its connection ends its own service only.
    next.map(echo).is_ok()
}

/// Echoes until the client's FIN. Dropping the stream then sends FIN.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}
