//! Delivers records, one after another, without blocking the event loop.
//!
//! A connection holds its record until all of it is delivered, and closes then: FIN tells the client that. So records
//! that wait count as memory of connections, and while a slow sink fills that memory, no connection is read.

use super::Service;
use super::accepting::canonical;
use crate::connection::{Connections, Owner};
use crate::net::{Key, Net, NonBlockingWriter, Stream};
use crate::protocol::Protocol;
use std::io::{self, ErrorKind};

/// How many bytes are delivered in one iteration.
const BYTES_PER_ITERATION: usize = 256 * 1024;

/// Takes some bytes of a record without blocking, and returns how many.
///
/// The bytes of a record arrive in order, and the next record follows only after all of them. After `WouldBlock` the
/// sink is called again when [`Source::STDOUT`](crate::net::Source::STDOUT) is ready. Another error ends the server.
pub type RecordSink<N> = fn(&mut N, &[u8]) -> io::Result<usize>;

/// The delivery of records.
#[derive(Debug)]
pub(super) struct Records<N> {
    pub(super) sink: RecordSink<N>,
    pub(super) writer: NonBlockingWriter,
    /// The budget of an iteration was used up: no event need come for the rest.
    pub(super) has_more: bool,
    /// The connection whose record is partly delivered, and how many bytes of it.
    delivered: Option<(Key, u64)>,
}

impl<N> Records<N> {
    pub(super) fn new() -> Self {
        Records {
            sink: |_, _| Err(ErrorKind::NotConnected.into()),
            writer: NonBlockingWriter::default(),
            has_more: false,
            delivered: None,
        }
    }

    /// A connection has closed. If its record was partly delivered, the rest is missing.
    pub(super) fn on_closed(&mut self, closed: Key) {
        if let Some((key, bytes)) = self.delivered.take_if(|(key, _)| *key == closed) {
            log::warn!(
                "#{} closes with only {bytes} bytes of its record delivered",
                key.serial
            );
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
            let taken = self.driver.take_record(reactor, key, |net, record| {
                writer.write(&record[..record.len().min(budget)], |bytes| {
                    sink(net, bytes)
                })
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
                    log_delivered::<N, P>(reactor, key, bytes);
                    self.close(reactor, key, reason);
                }
            }
        }
    }
}

fn log_delivered<N: Net, P: Protocol>(reactor: &mut Connections<N, P>, key: Key, bytes: u64) {
    let slot = reactor.find(key);
    match slot.and_then(|slot| slot.stream.peer_addr().ok()) {
        Some(peer) => {
            let peer = canonical(peer);
            log::info!("#{} collected {bytes} bytes from {peer}", key.serial);
        }
        // The client has reset the connection since its FIN, so the kernel no longer knows its address.
        None => log::info!("#{} collected {bytes} bytes", key.serial),
    }
}
