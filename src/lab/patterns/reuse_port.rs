//! Threads with one listener each, all on the same port (`SO_REUSEPORT`, socket(7)).
//!
//! The kernel selects the listener by a hash of the client's address and port, when the SYN arrives. No queue is shared,
//! so accepting scales with the CPUs; nginx (`reuseport`) uses it with an event loop behind each listener.
//!
//! Good for: many connects per second over several event loops or processes.
//!
//! Fails when: a thread serves one client at a time, as here. The hash does not see which threads are idle: of 50 clients
//! over 64 listeners, about 15 are assigned to one that serves another client, and get no reply although others wait in
//! accept(2). A listener that closes resets the connections in its queue.

use rustix::net::sockopt::{set_socket_reuseport, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Serves on `threads` listeners. The option must be set on the given one, too, as in [`bind_shared`].
///
/// # Errors
/// See bind(2), accept(2) and `pthread_create(3)`.
pub fn serve(listener: TcpListener, threads: usize) -> io::Result<()> {
    let address = listener.local_addr()?;
    for _ in 1..threads {
        let other = bind_shared(address)?;
        thread::Builder::new().spawn(move || serve_one_after_another(&other))?;
    }
    serve_one_after_another(&listener)
}

/// A listener on an address that others may share.
///
/// # Errors
/// See socket(2), bind(2) and listen(2).
pub fn bind_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    set_socket_reuseport(&socket, true)?;
    set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 128)?;
    Ok(socket.into())
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
