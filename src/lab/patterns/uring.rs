//! One thread and `io_uring(7)`: completions instead of readiness.
//!
//! The program writes requests (accept, read, write) into a ring that it shares with the kernel, and later reads their
//! results from another one: one `io_uring_enter(2)` can submit and collect many of them. The crate `monoio` turns each
//! into a future, so the code reads as for one client, but all clients share one thread.
//!
//! Good for: many requests per system call, and files, for which readiness does not exist.
//!
//! Fails when: the system does not permit it (containers and `kernel.io_uring_disabled` often do not). A pending read owns
//! its buffer, so idle clients cost memory: 4 KiB each here, where a readiness loop has one buffer for all.

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use std::io;

/// Serves all clients on this thread.
///
/// # Errors
/// See `io_uring_setup(2)` and accept(2).
pub fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(1024)
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A client that resets its connection ends its own task only.
            monoio::spawn(echo(stream));
        }
    })
}

/// Echoes until the client's FIN. Dropping the stream then sends FIN.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        // The kernel writes into the buffer later, so the request takes it, and its result returns it.
        let (length, filled) = stream.read(buffer).await;
        if length? == 0 {
            return Ok(());
        }
        let (written, mut used) = stream.write_all(filled).await;
        written?;
        used.clear();
        buffer = used;
    }
}
