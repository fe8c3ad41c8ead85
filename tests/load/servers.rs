//! Servers that lie: a thread for each connection, and what it does with a message.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// The size of all messages in these tests.
pub(crate) const SIZE: usize = 128;

/// One message that has come.
pub(crate) struct Message<'a> {
    /// Which connection it came on, counted from 0 in the order of accepting.
    pub(crate) connection: usize,
    /// Its number on that connection, from 0.
    pub(crate) number: u64,
    /// Its bytes, and after the call those of the reply.
    pub(crate) bytes: &'a mut [u8; SIZE],
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The bytes, as they are now, are sent back.
    Answered,
    /// Nothing is sent back, and nothing more is heard on this connection.
    Ignored,
}

/// A server that does with each message what `treat` says. Its threads end with the test.
pub(crate) fn serve(treat: impl Fn(Message<'_>) -> Fate + Send + Sync + 'static) -> SocketAddr {
    serve_some(usize::MAX, treat)
}

/// As [`serve`], but it stops to listen after so many connections.
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
            // The load has closed.
            return;
        }
        let message = Message {
            connection,
            number,
            bytes: &mut bytes,
        };
        if treat(message) == Fate::Ignored {
            // Until the peer closes: to close here would be an answer too.
            let _ = stream.read(&mut [0; SIZE]);
            return;
        }
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}
