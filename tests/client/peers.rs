//! Servers for one connection each, correct and faulty.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use crate::harness::PATIENCE;

/// A server in a thread of the test; it returns a result.
pub(crate) struct Peer<T> {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Peer<T> {
    /// Calls `serve` with the first connection.
    pub(crate) fn start(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> Peer<T> {
        Peer::listening_on("127.0.0.1:0", serve)
    }

    pub(crate) fn listening_on(
        address: &str,
        serve: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> Peer<T> {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            serve(stream)
        });
        Peer { address, thread }
    }

    /// The result of the server; called after the client has exited.
    #[track_caller]
    pub(crate) fn join(self) -> T {
        self.thread.join().expect("the server returned")
    }
}

/// Echoes until the client's FIN.
pub(crate) fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return,
            count => stream.write_all(&buffer[..count]).unwrap(),
        }
    }
}

/// Reads until the client's FIN without replying; returns what it read.
pub(crate) fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// Neither reads nor writes. The connection stays open until the [`Peer`] is joined or dropped.
pub(crate) fn hang(stream: TcpStream) -> TcpStream {
    stream
}

/// Closes the connection with RST.
pub(crate) fn reset(stream: TcpStream) {
    let socket = SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Writes `reply` and FIN, then reads until FIN; returns what it read.
pub(crate) fn write_then_read(reply: &'static [u8]) -> impl FnOnce(TcpStream) -> Vec<u8> {
    move |mut stream| {
        stream.write_all(reply).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(stream)
    }
}
