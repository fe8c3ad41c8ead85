//! Delivers records, one after another, without blocking the event loop.
//!
//! A connection holds its record until all of it is delivered, and closes then: FIN tells the client that. So records
//! that wait count as memory of connections, and while a slow sink fills that memory, no connection is read.

use super::Service;
use super::admission::canonical;
use crate::connection::{Connections, Owner};
use crate::net::{Key, Net, NonBlockingWriter, Stream};
use crate::protocol::Protocol;
use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;

/// How many bytes are delivered in one iteration.
const BYTES_PER_ITERATION: usize = 256 * 1024;

/// The delivery of records.
pub(super) struct Records {
    pub(super) sink: Box<dyn Write>,
    pub(super) writer: NonBlockingWriter,
    /// The budget of an iteration was used up: no event need come for the rest.
    pub(super) has_more: bool,
    /// The connection whose record is partly delivered, and how many bytes of it.
    delivered: Option<(Key, u64)>,
    /// The clients that proxies have reported, for the log.
    clients: HashMap<Key, SocketAddr>,
}

impl Records {
    pub(super) fn new() -> Self {
        Records {
            // It accepts nothing, so the first record ends the server.
            sink: Box::new(<&mut [u8]>::default()),
            writer: NonBlockingWriter::default(),
            has_more: false,
            delivered: None,
            clients: HashMap::new(),
        }
    }

    /// Keeps the client of a connection until it closes; without memory, the log does not name it.
    pub(super) fn keep_client(&mut self, key: Key, client: SocketAddr) {
        if self.clients.try_reserve(1).is_ok() {
            self.clients.insert(key, client);
        }
    }

    /// The connection whose record is partly delivered, and how many bytes of it.
    pub(super) fn delivered(&self) -> Option<(Key, u64)> {
        self.delivered
    }

    /// Continues the delivery of another process.
    pub(super) fn restore_delivered(&mut self, key: Key, bytes: u64) {
        self.delivered = Some((key, bytes));
    }

    /// A connection has closed. If its record was partly delivered, the rest is missing.
    pub(super) fn on_closed(&mut self, closed: Key) {
        if !self.clients.is_empty() {
            self.clients.remove(&closed);
        }
        if let Some((key, bytes)) = self.delivered.take_if(|(key, _)| *key == closed) {
            log::warn!("{key} closes with only {bytes} bytes of its record delivered");
        }
    }
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Delivers as much as the sink accepts now, within the budget.
    pub(super) fn deliver_records(&mut self, reactor: &mut Connections<N, P>) {
        let mut budget = BYTES_PER_ITERATION;
        self.records.has_more = false;
        while !self.records.writer.is_blocked()
            && let Some(key) = self.driver.next_record(reactor)
        {
            if budget == 0 {
                self.records.has_more = true;
                return;
            }
            let Records { sink, writer, .. } = &mut self.records;
            let taken = self.driver.take_record(reactor, key, |record| {
                let piece = &record[..record.len().min(budget)];
                writer.write(piece, |bytes| sink.write(bytes))
            });
            let (count, ended) = match taken {
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.exit = Some(Err(error));
                    return;
                }
            };
            budget -= count;
            let before = self.records.delivered.take().map_or(0, |(_, bytes)| bytes);
            let bytes = before + count as u64;
            match ended {
                None => self.records.delivered = Some((key, bytes)),
                Some(reason) => {
                    let client = self.client_of(reactor, key);
                    log_delivered(key, bytes, client);
                    self.close(reactor, key, reason);
                }
            }
        }
    }

    /// The address of a client for the log, if it is known.
    fn client_of(&mut self, reactor: &mut Connections<N, P>, key: Key) -> Option<SocketAddr> {
        match self.driver.common.protocol.proxies() {
            // The peer is not the client.
            Some(_) => self.records.clients.get(&key).copied(),
            None => reactor.find(key)?.stream.peer_addr().ok(),
        }
    }
}

#[cold]
fn log_delivered(key: Key, bytes: u64, peer: Option<SocketAddr>) {
    match peer {
        Some(peer) => log::info!("{key} collected {bytes} bytes from {}", canonical(peer)),
        // The client has reset the connection since its FIN, so the kernel no longer knows its address; or it was not
        // reported, or before an upgrade.
        None => log::info!("{key} collected {bytes} bytes"),
    }
}
