//! A server of any protocol.

use crate::net::{Key, ListenOptions, MioNet, Traced, TracedStream};
use crate::protocol::Protocol;
use crate::server::{Figures, SavedConnection, SavedServer, Server};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What setup and upgrade use of a [`Server`]; the methods are those of it. Their code exists once, where the code of the
/// event loop exists once per protocol.
#[expect(missing_docs, reason = "they are those of the server")]
#[expect(clippy::missing_errors_doc, reason = "as well")]
pub trait AnyServer {
    fn listen(&mut self, options: &ListenOptions) -> io::Result<SocketAddr>;
    fn set_record_sink(&mut self, sink: Box<dyn Write>);
    fn set_address_filter(&mut self, admits: Box<dyn Fn(IpAddr) -> bool>);
    fn measure_iterations(&mut self, slow: Option<Duration>);
    fn net(&mut self) -> &mut MioNet;
    fn network(&self) -> &MioNet;
    fn protocol_name(&self) -> &str;
    fn is_draining(&self) -> bool;
    fn live(&self) -> usize;
    fn figures(&self) -> Figures;
    fn listeners(&self) -> Vec<BorrowedFd<'_>>;
    fn save(&self) -> (SavedServer, Vec<Key>);
    fn save_connection(&self, key: Key) -> Option<(SavedConnection, &TcpStream)>;
    fn restore_listener(&mut self, socket: OwnedFd) -> io::Result<SocketAddr>;
    fn restore_connection(&mut self, stream: TcpStream, saved: &SavedConnection)
    -> io::Result<Key>;
    fn restore(&mut self, saved: &SavedServer, keys: &[Key]) -> io::Result<()>;
}

impl<P: Protocol> AnyServer for Server<Traced<MioNet>, P> {
    fn listen(&mut self, options: &ListenOptions) -> io::Result<SocketAddr> {
        self.listen(options)
    }

    fn set_record_sink(&mut self, sink: Box<dyn Write>) {
        self.set_record_sink(sink);
    }

    fn set_address_filter(&mut self, admits: Box<dyn Fn(IpAddr) -> bool>) {
        self.set_address_filter(admits);
    }

    fn measure_iterations(&mut self, slow: Option<Duration>) {
        self.measure_iterations(slow);
    }

    fn net(&mut self) -> &mut MioNet {
        self.net().inner_mut()
    }

    fn network(&self) -> &MioNet {
        self.network().inner()
    }

    fn protocol_name(&self) -> &str {
        self.protocol_name()
    }

    fn is_draining(&self) -> bool {
        self.is_draining()
    }

    fn live(&self) -> usize {
        self.live()
    }

    fn figures(&self) -> Figures {
        self.figures()
    }

    fn listeners(&self) -> Vec<BorrowedFd<'_>> {
        self.listeners().map(AsFd::as_fd).collect()
    }

    fn save(&self) -> (SavedServer, Vec<Key>) {
        self.save()
    }

    fn save_connection(&self, key: Key) -> Option<(SavedConnection, &TcpStream)> {
        let (saved, stream) = self.save_connection(key)?;
        Some((saved, stream.inner()))
    }

    fn restore_listener(&mut self, socket: OwnedFd) -> io::Result<SocketAddr> {
        self.restore_listener(MioNet::listener(socket))
    }

    fn restore_connection(
        &mut self,
        stream: TcpStream,
        saved: &SavedConnection,
    ) -> io::Result<Key> {
        self.restore_connection(TracedStream::new(stream), saved)
    }

    fn restore(&mut self, saved: &SavedServer, keys: &[Key]) -> io::Result<()> {
        self.restore(saved, keys)
    }
}
