//! Faulty servers: a thread per connection, which applies a fault to each message.

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
    let address = listener.local_addr().unwrap();
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate().take(most) {
            let stream = stream.unwrap();
            let treat = Arc::clone(&treat);
            let thread = thread::Builder::new().stack_size(64 * 1024);
            thread
                .spawn(move || converse(connection, stream, &*treat))
                .unwrap();
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
