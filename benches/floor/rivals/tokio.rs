//! The tokio servers: one thread, `TCP_NODELAY`, a task per connection.

use socket2::{Domain, Socket, Type};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The size of the buffer that all connections of a thread share.
const SHARED_BUFFER: usize = 65_536;

/// The size of the buffer of one connection.
const OWN_BUFFER: usize = 4096;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SHARED_BUFFER]);
}

/// Where the bytes of a connection are read into.
#[derive(Clone, Copy)]
pub(crate) enum Buffer {
    /// One buffer per thread: the least memory per idle connection.
    Shared,
    /// One buffer per connection: the usual way.
    PerConnection,
}

/// Serves until the process is killed.
pub(crate) fn serve(buffer: Buffer) {
    echoloop::doctor::raise_fd_limit().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    match buffer {
        Buffer::Shared => runtime.block_on(accept_all(echo_with_shared_buffer)),
        Buffer::PerConnection => runtime.block_on(accept_all(echo_with_own_buffer)),
    }
}

async fn accept_all<F>(echo: impl Fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::from_std(listener()).unwrap();
    eprintln!("listening on {} (tokio)", listener.local_addr().unwrap());
    loop {
        if let Ok((stream, _)) = listener.accept().await
            && stream.set_nodelay(true).is_ok()
        {
            tokio::spawn(echo(stream));
        }
    }
}

/// With the backlog of the other servers; tokio's default is 1024.
fn listener() -> std::net::TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&address.into()).unwrap();
    socket.listen(4096).unwrap();
    socket.into()
}

async fn echo_with_shared_buffer(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match BUFFER.with_borrow_mut(|buffer| echo_once(&stream, buffer)) {
            Ok(None) => return Ok(()),
            Ok(Some(unsent)) => stream.write_all(&unsent).await?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Echoes one read and returns the unsent bytes; `None` after the peer's FIN.
fn echo_once(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
    let count = stream.try_read(buffer)?;
    if count == 0 {
        return Ok(None);
    }
    let sent = match stream.try_write(&buffer[..count]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        sent => sent?,
    };
    Ok(Some(buffer[sent..count].to_vec()))
}

async fn echo_with_own_buffer(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; OWN_BUFFER];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
