//! Records on their way to standard output, one behind the other, without ever waiting for it.
//!
//! A record lies at the connection that it came from until it is written, and that connection closes then: its peer's
//! FIN is answered when its bytes have got somewhere. So records that wait count as memory held for connections, and
//! while a full pipe fills that memory, nobody is read.

use super::Service;
use crate::connection::{Connections, Owner};
use crate::net::{Key, Net, Stream};
use crate::protocol::Protocol;
use std::io::{self, ErrorKind};

/// How many bytes are written in one turn, before it is the connections' turn.
const BYTES_PER_TURN: usize = 256 * 1024;

/// The way to standard output.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// It has taken nothing the last time; an event comes when it would.
    is_blocked: bool,
    /// The budget of a turn was used up: no event need come for what is left.
    has_more: bool,
    /// Bytes that were written of the record that is under way, and whose it is.
    written: Option<(Key, u64)>,
}

impl Recording {
    /// There may be room again.
    pub(super) fn unblock(&mut self) {
        self.is_blocked = false;
    }

    /// A connection closes. If its record is under way, what was written of it stays without its end.
    pub(super) fn miss(&mut self, closing: Key) {
        if let Some((key, bytes)) = self.written.take_if(|(key, _)| *key == closing) {
            log::warn!(
                "#{} closes with only {bytes} bytes of its record on standard output",
                key.serial
            );
        }
    }

    /// Whether it wants a turn at once, even if nothing happens.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Writes as much of what waits as standard output takes now, within the budget.
    pub(super) fn write_records(&mut self, reactor: &mut Connections<N, P>) {
        let mut budget = BYTES_PER_TURN;
        self.recording.has_more = false;
        while !self.recording.is_blocked
            && let Some(key) = self.driver.next_record(reactor)
        {
            if budget == 0 {
                self.recording.has_more = true;
                return;
            }
            let written = self.driver.take_record(reactor, key, |net, record| {
                net.write_stdout(&record[..record.len().min(budget)])
            });
            match written {
                Ok((count, ended)) => {
                    budget -= count;
                    let before = self.recording.written.take().map_or(0, |(_, bytes)| bytes);
                    let bytes = before + count as u64;
                    match ended {
                        None => self.recording.written = Some((key, bytes)),
                        Some(reason) => {
                            tell::<N, P>(reactor, key, bytes);
                            self.close(reactor, key, reason);
                        }
                    }
                }
                Err(error) => self.heed_output_error(&error),
            }
        }
    }

    fn heed_output_error(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.recording.is_blocked = true,
            ErrorKind::Interrupted => {}
            _ => {
                self.recording.is_blocked = true;
                let kind = error.kind();
                let remedy = match kind {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
                    ErrorKind::BrokenPipe => "give it a reader that stays, or a file",
                    _ => "give it a file, or a pipe with a reader",
                };
                let told = format!("standard output takes no more records: {error}; {remedy}");
                self.exit = Some(Err(io::Error::new(kind, told)));
            }
        }
    }
}

/// Tells that a record is on standard output.
fn tell<N: Net, P: Protocol>(reactor: &mut Connections<N, P>, key: Key, bytes: u64) {
    let Some(slot) = reactor.find(key) else {
        return;
    };
    match slot.stream.peer_addr() {
        Ok(peer) => {
            let peer = super::accepting::canonical(peer);
            log::info!("#{} collected {bytes} bytes from {peer}", key.serial);
        }
        // It has been reset since its FIN came.
        Err(_) => log::info!("#{} collected {bytes} bytes", key.serial),
    }
}
