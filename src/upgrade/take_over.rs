//! The new process: takes over the listeners and connections of its parent.

use super::channel::{Channel, Kind, Received};
use super::program::TAKE_OVER;
use super::{
    AnyServer, Begin, FORMATS, Failure, Hello, MAGIC, Total, UpgradeCounts, counted,
    decode_connections, encode_connections, json, parse,
};
use crate::net::{Key, MioNet};
use rustix::stdio::dup2_stdin;
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Memory for the keys of connections is reserved for this many from the start, 256 KiB: an allocation of that size is a
/// mapping that returns to the kernel when it is freed (mallopt(3), `M_MMAP_THRESHOLD`), while a smaller one would be left
/// between those of the connections for the life of the process. Pages without a key cost nothing.
const KEYS: usize = 32 * 1024;

/// The channel to the process that is taken over.
#[derive(Debug)]
pub struct TakeOver {
    channel: Channel,
    /// What was restored.
    total: Total,
}

/// A takeover for which the old process has stopped its event loop.
#[derive(Debug)]
pub struct Begun {
    take_over: TakeOver,
    begin: Begin,
    listeners: Vec<OwnedFd>,
}

impl TakeOver {
    /// The channel, if this process was started to take over the connections of its parent.
    ///
    /// # Errors
    /// Standard input cannot be used.
    pub fn requested() -> io::Result<Option<TakeOver>> {
        if std::env::var_os(TAKE_OVER).is_none() {
            return Ok(None);
        }
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        // The channel is closed when this process ends or has taken over.
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(Some(TakeOver {
            channel: Channel::new(UnixStream::from(stdin)),
            total: Total::default(),
        }))
    }

    /// Has the parent stop its event loop. The server is to be created on `net` after that, since its clock continues
    /// that of the parent.
    ///
    /// # Errors
    /// Why this process cannot take over; the parent continues then.
    pub fn begin(
        mut self,
        net: &mut MioNet,
        protocol: &str,
        max_fds: u64,
    ) -> Result<Begun, Failure> {
        match self.prepare(net, protocol, max_fds) {
            Ok((begin, listeners)) => Ok(Begun {
                take_over: self,
                begin,
                listeners,
            }),
            Err(reason) => Err(self.fail(reason)),
        }
    }

    fn prepare(
        &mut self,
        net: &mut MioNet,
        protocol: &str,
        max_fds: u64,
    ) -> Result<(Begin, Vec<OwnedFd>), Failure> {
        let hello = Hello {
            magic: MAGIC.to_owned(),
            oldest_format: FORMATS.0,
            newest_format: FORMATS.1,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: protocol.to_owned(),
            max_fds,
        };
        self.send(Kind::Hello, &json(&hello)?)?;
        let rehearsal = self.receive_kind(Kind::Rehearsal)?.payload;
        let connections = decode_connections(&rehearsal)?;
        self.send(Kind::Rehearsed, &encode_connections(&connections)?)?;

        let received = self.receive_kind(Kind::Begin)?;
        let begin: Begin = parse(&received.payload)?;
        let mut fds = received.fds;
        let queries = fds.split_off(fds.len().min(begin.listeners.into()));
        net.set_origin(begin.origin);
        for socket in queries {
            net.adopt_sock_diag(socket);
        }
        Ok((begin, fds))
    }

    /// Reports the failure to the parent.
    fn fail(&self, reason: Failure) -> Failure {
        // If that fails, the parent still notices that this process ends.
        let _ = self.channel.send(Kind::Failed, reason.as_bytes(), &[]);
        reason
    }

    fn restore(
        &mut self,
        server: &mut dyn AnyServer,
        begin: &Begin,
        listeners: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        for socket in listeners {
            let restored = server.restore_listener(socket);
            restored.map_err(|error| format!("cannot watch a listener: {error}"))?;
        }
        let mut keys = self.receive_connections(server)?;
        let restored = server.restore(&begin.server, &keys);
        restored.map_err(|error| format!("the state of the server is unusable: {error}"))?;
        let count = keys.len();
        // See KEYS: freed as it is, it would raise the size from which allocations return to the kernel.
        keys.clear();
        keys.shrink_to(1);
        self.send(Kind::Taken, &json(&self.total)?)?;
        self.receive_kind(Kind::Commit)?;
        self.send(Kind::Serving, b"")?;
        log::info!(
            "took over {} and {} from PID {}",
            counted(begin.listeners.into(), "listener"),
            counted(count, "connection"),
            begin.pid
        );
        Ok(())
    }

    /// Restores connections up to the end of the list. Returns their keys in order.
    fn receive_connections(&mut self, server: &mut dyn AnyServer) -> Result<Vec<Key>, Failure> {
        let mut keys = Vec::new();
        reserve(&mut keys, KEYS)?;
        let mut digest = crc32fast::Hasher::new();
        loop {
            let Received { kind, payload, fds } = self.receive()?;
            match kind {
                Kind::Connections => {}
                Kind::End => break,
                kind => return Err(unexpected(kind)),
            }
            // The descriptors are no longer in flight.
            self.send(Kind::Received, b"")?;
            digest.update(&payload);
            let connections = decode_connections(&payload)?;
            if connections.len() != fds.len() {
                return Err(format!(
                    "{} connections with {} sockets",
                    connections.len(),
                    fds.len()
                ));
            }
            reserve(&mut keys, connections.len())?;
            for (connection, fd) in connections.iter().zip(fds) {
                let restored = server.restore_connection(TcpStream::from(fd), connection);
                let key =
                    restored.map_err(|error| format!("cannot restore a connection: {error}"))?;
                keys.push(key);
            }
        }
        self.total = Total {
            connections: u32::try_from(keys.len()).map_err(|error| error.to_string())?,
            digest: digest.finalize(),
        };
        Ok(keys)
    }

    fn send(&self, kind: Kind, payload: &[u8]) -> Result<(), Failure> {
        let sent = self.channel.send(kind, payload, &[]);
        sent.map_err(|error| format!("cannot send to the old process: {error}"))
    }

    fn receive(&mut self) -> Result<Received, Failure> {
        let received = self.channel.receive();
        received.map_err(|error| format!("cannot receive from the old process: {error}"))
    }

    fn receive_kind(&mut self, kind: Kind) -> Result<Received, Failure> {
        let received = self.receive()?;
        if received.kind == kind {
            Ok(received)
        } else {
            Err(unexpected(received.kind))
        }
    }
}

impl Begun {
    /// The upgrades of the parent and the processes before it, with this one.
    #[must_use]
    pub fn upgrades(&self) -> UpgradeCounts {
        let before = self.begin.upgrades;
        UpgradeCounts {
            done: before.done.saturating_add(1),
            ..before
        }
    }

    /// Does not take over, for a reason: the parent continues.
    #[must_use]
    pub fn refuse(self, reason: String) -> Failure {
        self.take_over.fail(reason)
    }

    /// Takes over all listeners and connections of the parent, and begins to serve.
    ///
    /// # Errors
    /// Why this process cannot take over; the parent continues then.
    pub fn complete(self, server: &mut dyn AnyServer) -> Result<(), Failure> {
        let Begun {
            mut take_over,
            begin,
            listeners,
        } = self;
        let restored = take_over.restore(server, &begin, listeners);
        restored.map_err(|reason| take_over.fail(reason))
    }
}

/// Reserves memory for the keys of more connections.
fn reserve(keys: &mut Vec<Key>, more: usize) -> Result<(), Failure> {
    let reserved = keys.try_reserve(more);
    reserved.map_err(|error| format!("no memory for the connections: {error}"))
}

fn unexpected(kind: Kind) -> Failure {
    format!("the old process sent the message {kind:?} out of order")
}
