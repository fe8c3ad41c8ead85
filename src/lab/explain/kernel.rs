//! The kernel of the scenarios: sockets with small buffers, an accept queue, file descriptors and an edge-triggered ready
//! list.
//!
//! A byte that a client sends is in the receive buffer of the server at once, if there is space. A byte that the server
//! sends is in the send buffer until the client reads it.

use crate::net::{AcceptError, Key, Readiness, Ready, Signal, Source, Time};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

/// The sizes that a scenario sets; small ones, so that the page can draw each byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The receive buffer of a connection, in bytes.
    pub(super) receive_buffer: usize,
    /// The send buffer of a connection, in bytes.
    pub(super) send_buffer: usize,
    /// The most bytes of one read, and the limit of pending output of a connection.
    pub(super) read: usize,
    /// The bytes that a connection may read in one iteration.
    pub(super) budget: usize,
    /// The file descriptors that the process may have for connections.
    pub(super) descriptors: usize,
}

/// An entry of the ready list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The connection with this index.
    Connection(usize),
    Listener,
    Signals,
}

/// One connection: the socket of the server, and what the client and its kernel hold.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about a socket, which are independent"
)]
pub(super) struct Socket {
    /// The name of the client.
    pub(super) client: &'static str,
    /// The key under which epoll reports events, once the socket is registered.
    pub(super) key: Option<Key>,
    pub(super) is_accepted: bool,
    /// The server has closed its file descriptor.
    pub(super) is_closed: bool,
    /// All bytes that the client has sent.
    pub(super) sent: Vec<u8>,
    /// Bytes in the kernel of the client: the receive buffer of the server is full.
    pub(super) held_back: VecDeque<u8>,
    pub(super) receive_buffer: VecDeque<u8>,
    pub(super) send_buffer: VecDeque<u8>,
    /// Bytes that the client has read.
    pub(super) received: Vec<u8>,
    pub(super) client_sent_fin: bool,
    pub(super) server_sent_fin: bool,
    /// The client has read the server's FIN.
    pub(super) has_read_fin: bool,
    watches_writable: bool,
    /// A write has found no space: the next space raises an edge.
    needs_space: bool,
}

impl Socket {
    /// Whether the client's FIN has arrived: FIN follows the bytes.
    pub(super) fn has_fin(&self) -> bool {
        self.client_sent_fin && self.held_back.is_empty()
    }

    /// Whether the client has read everything up to the server's FIN.
    pub(super) fn is_at_server_fin(&self) -> bool {
        self.server_sent_fin && self.send_buffer.is_empty()
    }

    /// Whether a write has found no space, and none was reported since.
    pub(super) fn wants_space(&self) -> bool {
        self.needs_space
    }

    /// Whether epoll reports space for output: a third of the send buffer is free, as in Linux
    /// (`sk_stream_is_writeable`).
    fn is_writable(&self, size: usize) -> bool {
        3 * self.send_buffer.len() <= 2 * size
    }
}

/// The sockets, the ready list and the clock.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) sizes: Sizes,
    pub(super) now: Time,
    pub(super) sockets: Vec<Socket>,
    /// The connections that no accept has returned.
    pub(super) accept_queue: VecDeque<usize>,
    pub(super) is_listening: bool,
    ready_list: Vec<Item>,
    pub(super) signals: VecDeque<Signal>,
}

impl Kernel {
    pub(super) fn new(sizes: Sizes) -> Kernel {
        Kernel {
            sizes,
            now: Time::ZERO,
            sockets: Vec::new(),
            accept_queue: VecDeque::new(),
            is_listening: false,
            ready_list: Vec::new(),
            signals: VecDeque::new(),
        }
    }

    /// Adds an entry to the ready list, unless it is there already.
    fn raise(&mut self, item: Item) {
        if !self.ready_list.contains(&item) {
            self.ready_list.push(item);
        }
    }

    fn raise_connection(&mut self, id: usize) {
        let socket = &self.sockets[id];
        if socket.key.is_some() && !socket.is_closed {
            self.raise(Item::Connection(id));
        }
    }

    /// The entries of the ready list, as the next wait would report them.
    pub(super) fn ready_list(&self) -> Vec<(Item, Ready)> {
        let items = self.ready_list.iter();
        let ready = items.filter_map(|item| self.event_of(*item).map(|event| (*item, event)));
        ready.collect()
    }

    /// Removes all entries from the ready list and returns them: an edge is reported once.
    pub(super) fn take_ready(&mut self) -> Vec<(Item, Ready)> {
        let ready = self.ready_list();
        self.ready_list.clear();
        ready
    }

    /// The event of an entry; `None` if the socket is no longer ready.
    fn event_of(&self, item: Item) -> Option<Ready> {
        let (key, readiness) = match item {
            Item::Listener => (Key::of_source(Source::listener(0)), Readiness::READABLE),
            Item::Signals => (Key::of_source(Source::SIGNALS), Readiness::READABLE),
            Item::Connection(id) => (self.sockets[id].key?, self.readiness(id)),
        };
        (readiness != Readiness::NONE).then_some(Ready { key, readiness })
    }

    /// What a connection is ready for now.
    fn readiness(&self, id: usize) -> Readiness {
        let socket = &self.sockets[id];
        let has_fin = socket.has_fin();
        let has_space = socket.is_writable(self.sizes.send_buffer);
        Readiness::READABLE.when(has_fin || !socket.receive_buffer.is_empty())
            | Readiness::WRITABLE.when(socket.watches_writable && has_space)
            | Readiness::DRAIN.when(has_fin)
    }

    // What clients do.

    pub(super) fn connect(&mut self, client: &'static str) {
        self.accept_queue.push_back(self.sockets.len());
        self.sockets.push(Socket {
            client,
            ..Socket::default()
        });
        self.raise(Item::Listener);
    }

    pub(super) fn send(&mut self, id: usize, bytes: &[u8]) {
        let socket = &mut self.sockets[id];
        socket.sent.extend(bytes);
        socket.held_back.extend(bytes);
        self.transmit(id);
    }

    pub(super) fn send_fin(&mut self, id: usize) {
        self.sockets[id].client_sent_fin = true;
        self.raise_connection(id);
    }

    /// The client reads up to `count` bytes from its socket; returns how many.
    pub(super) fn receive(&mut self, id: usize, count: usize) -> usize {
        let size = self.sizes.send_buffer;
        let socket = &mut self.sockets[id];
        let count = count.min(socket.send_buffer.len());
        socket.received.extend(socket.send_buffer.drain(..count));
        socket.has_read_fin = socket.is_at_server_fin();
        if socket.needs_space && socket.is_writable(size) {
            socket.needs_space = false;
            self.raise_connection(id);
        }
        count
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push_back(signal);
        self.raise(Item::Signals);
    }

    /// Moves bytes of the client into the receive buffer, as far as there is space.
    fn transmit(&mut self, id: usize) {
        let socket = &mut self.sockets[id];
        let space = self.sizes.receive_buffer - socket.receive_buffer.len();
        let count = space.min(socket.held_back.len());
        socket
            .receive_buffer
            .extend(socket.held_back.drain(..count));
        if count > 0 {
            self.raise_connection(id);
        }
    }

    // What the server does.

    /// The number of file descriptors of connections.
    pub(super) fn descriptors_in_use(&self) -> usize {
        let open = self.sockets.iter();
        open.filter(|socket| socket.is_accepted && !socket.is_closed)
            .count()
    }

    pub(super) fn accept(&mut self) -> Result<usize, AcceptError> {
        if !self.accept_queue.is_empty() && self.descriptors_in_use() == self.sizes.descriptors {
            let error = io::Error::from(rustix::io::Errno::MFILE);
            return Err(AcceptError::from(error));
        }
        let id = self.accept_queue.pop_front().ok_or(AcceptError::Empty)?;
        self.sockets[id].is_accepted = true;
        Ok(id)
    }

    /// As `epoll_ctl(2)`: readiness that exists already is reported.
    pub(super) fn register(&mut self, id: usize, key: Key, writable: bool) {
        let socket = &mut self.sockets[id];
        socket.key = Some(key);
        socket.watches_writable = writable;
        if self.readiness(id) != Readiness::NONE {
            self.raise_connection(id);
        }
    }

    pub(super) fn read(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = &mut self.sockets[id];
        let count = buffer.len().min(socket.receive_buffer.len());
        if count == 0 && !socket.has_fin() {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (place, byte) in buffer.iter_mut().zip(socket.receive_buffer.drain(..count)) {
            *place = byte;
        }
        self.transmit(id);
        Ok(count)
    }

    pub(super) fn write(&mut self, id: usize, bytes: &[u8]) -> io::Result<usize> {
        let size = self.sizes.send_buffer;
        let socket = &mut self.sockets[id];
        let count = bytes.len().min(size - socket.send_buffer.len());
        if count == 0 {
            socket.needs_space = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        socket.send_buffer.extend(&bytes[..count]);
        Ok(count)
    }

    pub(super) fn shutdown(&mut self, id: usize) {
        self.sockets[id].server_sent_fin = true;
    }

    pub(super) fn close(&mut self, id: usize) {
        let socket = &mut self.sockets[id];
        socket.server_sent_fin = true;
        socket.is_closed = true;
        self.ready_list.retain(|item| *item != Item::Connection(id));
    }

    pub(super) fn close_listener(&mut self) {
        self.is_listening = false;
        self.ready_list.retain(|item| *item != Item::Listener);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { slot: 0, serial: 1 };

    /// A kernel with one connection, which is registered for both directions.
    fn connected() -> Kernel {
        let mut kernel = Kernel::new(Sizes {
            receive_buffer: 4,
            send_buffer: 6,
            read: 4,
            budget: 8,
            descriptors: 1,
        });
        kernel.connect("A");
        assert_eq!(kernel.take_ready().len(), 1);
        assert_eq!(kernel.accept().unwrap(), 0);
        kernel.register(0, KEY, true);
        // Existing readiness is reported: the send buffer is empty.
        assert_eq!(kernel.take_ready().len(), 1);
        kernel
    }

    fn readiness(kernel: &mut Kernel) -> Vec<Readiness> {
        let ready = kernel.take_ready().into_iter();
        ready.map(|(_, event)| event.readiness).collect()
    }

    #[test]
    fn edge_is_reported_once_and_again_for_more_input() {
        let mut kernel = connected();
        kernel.send(0, b"ab");
        let both = Readiness::READABLE | Readiness::WRITABLE;
        assert_eq!(readiness(&mut kernel), [both]);
        assert_eq!(readiness(&mut kernel), []);
        kernel.send(0, b"c");
        assert_eq!(readiness(&mut kernel), [both]);
        kernel.send_fin(0);
        assert_eq!(readiness(&mut kernel), [both | Readiness::DRAIN]);
    }

    #[test]
    fn bytes_beyond_the_receive_buffer_follow_when_it_is_read() {
        let mut kernel = connected();
        kernel.send(0, b"abcdef");
        kernel.send_fin(0);
        assert!(!kernel.sockets[0].has_fin(), "FIN is behind the bytes");
        let mut buffer = [0; 3];
        assert_eq!(kernel.read(0, &mut buffer).unwrap(), 3);
        assert_eq!(kernel.read(0, &mut buffer).unwrap(), 3);
        assert_eq!(&buffer, b"def");
        assert_eq!(kernel.read(0, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn output_space_is_an_edge_when_a_third_is_free() {
        let mut kernel = connected();
        assert_eq!(kernel.write(0, b"abcdefgh").unwrap(), 6);
        let refused = kernel.write(0, b"gh").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        kernel.receive(0, 1);
        assert_eq!(readiness(&mut kernel), []);
        kernel.receive(0, 1);
        assert_eq!(readiness(&mut kernel), [Readiness::WRITABLE]);
    }

    #[test]
    fn accept_fails_without_a_file_descriptor_until_a_close() {
        let mut kernel = connected();
        kernel.connect("B");
        assert!(matches!(kernel.accept(), Err(AcceptError::Exhausted(_))));
        kernel.close(0);
        assert_eq!(kernel.accept().unwrap(), 1);
        assert!(matches!(kernel.accept(), Err(AcceptError::Empty)));
    }
}
