//! A thread per client: blocking calls, one stack each.
//!
//! The code is as simple as for one client. A thread costs about 10 KiB of memory that is used (2 MiB that is only
//! reserved), some microseconds to start, and a context switch or two per echo: the kernel wakes the thread that waits in
//! read(2), however many others wait.
//!
//! Good for: hundreds or some thousands of clients, and for code that calls blocking libraries.
//!
//! Fails when: clients are tens of thousands. Memory and start time grow with them, and the limits of threads
//! (`kernel.threads-max`, `pids.max`, two memory maps each of `vm.max_map_count`) end it. State that clients share needs locks.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Starts a thread for each client.
///
/// # Errors
/// See accept(2) and `pthread_create(3)`.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A client that resets its connection ends its own thread only.
        thread::Builder::new().spawn(move || {
            let _ = echo(stream);
        })?;
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
