//! Threads that all accept on one listener, and each serve one client at a time.
//!
//! The acceptor pool of the Erlang texts, without a process per connection: the accept queue of the kernel is the only
//! queue. The kernel wakes one of the threads that wait in accept(2) per connection, the one that waited longest.
//!
//! Good for: short requests. Overload stays visible: connections wait in the accept queue, and when it is full the
//! kernel drops SYNs, so clients notice.
//!
//! Fails when: as many clients are idle as there are threads. Nothing accepts any more; the kernel still establishes
//! 129 connections (the backlog of `std` is 128) that get no reply, and the next client's connect takes seconds.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Serves at most `threads` clients at a time.
///
/// # Errors
/// See accept(2) and `pthread_create(3)`.
pub fn serve(listener: TcpListener, threads: usize) -> io::Result<()> {
    thread::scope(|scope| {
        for _ in 1..threads {
            thread::Builder::new().spawn_scoped(scope, || serve_one_after_another(&listener))?;
        }
        // This thread is one of them.
        serve_one_after_another(&listener)
    })
}

fn serve_one_after_another(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A client that resets its connection ends its own service only.
        let _ = echo(stream);
    }
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
