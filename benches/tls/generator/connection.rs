//! A blocking TLS connection.

use super::client::Client;
use super::{MESSAGE, TIMEOUT};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustls::ClientConnection;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// A connection after its handshake, of which the last flight is not yet sent.
pub(super) struct Connection {
    pub(super) tls: ClientConnection,
    socket: TcpStream,
}

impl Connection {
    /// Connects, and completes the handshake up to the client's last flight, which the next write sends.
    pub(super) fn open(client: &Client) -> io::Result<Connection> {
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let tls = ClientConnection::new(client.config.clone(), name).map_err(io::Error::other)?;
        let mut connection = Connection {
            tls,
            socket: connect(client)?,
        };
        while connection.tls.is_handshaking() {
            connection.flush()?;
            if connection.tls.is_handshaking() && connection.receive()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(connection)
    }

    /// As [`open`](Connection::open), and a message has been echoed.
    pub(super) fn open_proven(client: &Client) -> io::Result<Connection> {
        let mut connection = Connection::open(client)?;
        let (message, mut reply) = ([b'e'; MESSAGE], [0; MESSAGE]);
        connection.echo(&message, &mut reply)?;
        if message == reply {
            Ok(connection)
        } else {
            Err(io::Error::other("the echo is wrong"))
        }
    }

    /// Sends a message and receives its echo.
    pub(super) fn echo(&mut self, message: &[u8], reply: &mut [u8]) -> io::Result<()> {
        self.tls.writer().write_all(message)?;
        self.flush()?;
        let mut received = 0;
        while received < reply.len() {
            match self.tls.reader().read(&mut reply[received..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => received += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.receive()? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends `close_notify` and FIN, and waits for the end of the server's side. An error if the server has not
    /// completed the handshake: if it has sent neither a ticket nor `close_notify`.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        let sent = self
            .flush()
            .and_then(|()| self.socket.shutdown(Shutdown::Write));
        // A server that closes after the handshake may reset the connection before it has received this.
        let mut is_complete = false;
        loop {
            let received = self.receive();
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            is_complete |= state.peer_has_closed() || self.tls.tls13_tickets_received() > 0;
            match received {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        if is_complete {
            return Ok(());
        }
        sent.and(Err(io::Error::other("the handshake is not complete")))
    }

    pub(super) fn into_parts(self) -> (ClientConnection, TcpStream) {
        (self.tls, self.socket)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Reads once; returns the number of bytes, 0 at the end.
    fn receive(&mut self) -> io::Result<usize> {
        let count = self.tls.read_tls(&mut self.socket)?;
        self.tls.process_new_packets().map_err(io::Error::other)?;
        Ok(count)
    }
}

fn connect(client: &Client) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The kernel chooses the port at connect, when the target is known (IP_BIND_ADDRESS_NO_PORT, ip(7)).
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::from((client.next_source(), 0)).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(&client.target.into())?;
    Ok(socket.into())
}
