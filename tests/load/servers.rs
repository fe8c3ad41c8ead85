//! Servers with a thread per connection, among them faulty ones, which apply a fault to each message.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// The size of all messages in these tests.
pub(crate) const SIZE: usize = 128;

/// A received message.
pub(crate) struct Message<'a> {
    /// Its connection, numbered from 0 in the order of accepting.
    pub(crate) connection: usize,
    /// Its number on that connection, from 0.
    pub(crate) number: u64,
    /// Its bytes; after the call, those of the reply.
    pub(crate) bytes: &'a mut [u8; SIZE],
}

/// What the server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Sends the bytes back.
    Answered,
    /// Sends nothing, and reads no further message on this connection.
    Ignored,
}

/// A server that applies `treat` to each message. Its threads end with the test process.
pub(crate) fn serve(treat: impl Fn(Message<'_>) -> Fate + Send + Sync + 'static) -> SocketAddr {
    serve_some(usize::MAX, treat)
}

/// As [`serve`], but it closes its listener after this many connections.
pub(crate) fn serve_some(
    most: usize,
    treat: impl Fn(Message<'_>) -> Fate + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    serve_on(listener, most, treat)
}

/// As [`serve_some`], on this listener.
pub(crate) fn serve_on(
    listener: TcpListener,
    most: usize,
    treat: impl Fn(Message<'_>) -> Fate + Send + Sync + 'static,
) -> SocketAddr {
    serve_each(listener, most, move |connection, stream| {
        converse(connection, stream, &treat);
    })
}

/// A server that calls `converse` for each connection.
pub(crate) fn serve_streams(converse: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    serve_each(listener, usize::MAX, move |_, stream| converse(stream)).to_string()
}

/// Reads until the peer closes the connection, and answers nothing.
pub(crate) fn ignore(mut reader: impl Read) {
    while reader.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
}

/// Calls `converse` for each of the first `most` connections, numbered from 0, in a thread of its own.
fn serve_each(
    listener: TcpListener,
    most: usize,
    converse: impl Fn(usize, TcpStream) + Send + Sync + 'static,
) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let converse = Arc::new(converse);
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate().take(most) {
            let (stream, converse) = (stream.unwrap(), Arc::clone(&converse));
            let thread = thread::Builder::new().stack_size(64 * 1024);
            thread.spawn(move || converse(connection, stream)).unwrap();
        }
    });
    address
}

fn converse(connection: usize, mut stream: TcpStream, treat: &dyn Fn(Message<'_>) -> Fate) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = [0; SIZE];
    for number in 0.. {
        if stream.read_exact(&mut bytes).is_err() {
            // The load has closed the connection.
            return;
        }
        let message = Message {
            connection,
            number,
            bytes: &mut bytes,
        };
        if treat(message) == Fate::Ignored {
            // Until the peer closes: closing here would be an answer too.
            let _ = stream.read(&mut [0; SIZE]);
            return;
        }
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}
