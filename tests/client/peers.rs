//! Servers good and bad, each for one connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use crate::harness::PATIENCE;

/// A server in a thread of the test. What it found is asked for in the end.
pub(crate) struct Peer<T> {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Peer<T> {
    /// Does `serve` with the first connection.
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

    /// What it found; call when the client has ended.
    #[track_caller]
    pub(crate) fn found(self) -> T {
        self.thread.join().expect("the server came to its end")
    }
}

/// Echoes to the client's FIN.
pub(crate) fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return,
            count => stream.write_all(&buffer[..count]).unwrap(),
        }
    }
}

/// Takes everything to the client's FIN, says nothing, and gives back what came.
pub(crate) fn swallow(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// Takes nothing and says nothing. The connection stays open as long as the [`Peer`] is there to hold it.
pub(crate) fn hang(stream: TcpStream) -> TcpStream {
    stream
}

/// Ends the connection with RST.
pub(crate) fn reset(stream: TcpStream) {
    let socket = SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Says `words` and sends FIN, and listens on; gives back what came.
pub(crate) fn speak_then_listen(words: &'static [u8]) -> impl FnOnce(TcpStream) -> Vec<u8> {
    move |mut stream| {
        stream.write_all(words).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        swallow(stream)
    }
}
