//! To whom to connect: every address of a name, one after another, until one answers.

use super::Failure;
use crate::connection::{Closed, Connections, Driver};
use crate::net::{Key, Net};
use crate::protocol::Protocol;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// Where to connect to, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// As the user named it.
    pub name: String,
    /// What the name stands for, in the order in which they are tried.
    pub addresses: Vec<SocketAddr>,
    /// The address to connect from; `None`: the kernel's choice.
    pub local: Option<SocketAddr>,
    /// How long each address has to answer; `None`: as long as the kernel tries.
    pub connect_timeout: Option<Duration>,
}

/// The attempts to connect to a target. In come outcomes, out go keys of connections that were begun.
#[derive(Debug)]
pub struct Dialing {
    target: Target,
    left: VecDeque<SocketAddr>,
    current: Option<SocketAddr>,
    failed: Vec<(SocketAddr, io::Error)>,
}

impl Dialing {
    /// Nothing is begun yet.
    #[must_use]
    pub fn new(target: Target) -> Dialing {
        Dialing {
            left: target.addresses.iter().copied().collect(),
            target,
            current: None,
            failed: Vec::new(),
        }
    }

    /// The address that is tried, or that has answered; before the first, the name.
    #[must_use]
    pub fn peer(&self) -> String {
        match self.current {
            Some(address) => address.to_string(),
            None => self.target.name.clone(),
        }
    }

    /// Begins a connection to the next address with which that is possible.
    ///
    /// # Errors
    /// No address is left; it says why each failed.
    pub fn next<N: Net, P: Protocol>(
        &mut self,
        driver: &mut Driver<P>,
        reactor: &mut Connections<N, P>,
    ) -> Result<Key, Failure> {
        while let Some(address) = self.left.pop_front() {
            self.current = Some(address);
            log::debug!("connecting to {address}");
            match driver.connect(reactor, address, self.target.local, 0) {
                Ok(key) => return Ok(key),
                Err(error) => self.failed.push((address, error)),
            }
        }
        Err(self.failure())
    }

    /// The connection that was begun last did not come to stand.
    pub fn note_failed(&mut self, closed: Closed) {
        if let Some(address) = self.current {
            let error = closed.error.unwrap_or_else(|| ErrorKind::TimedOut.into());
            log::debug!("cannot connect to {address}: {}", plain(&error));
            self.failed.push((address, error));
        }
    }

    fn failure(&mut self) -> Failure {
        Failure::Connect {
            name: self.target.name.clone(),
            tries: std::mem::take(&mut self.failed),
            timeout: self.target.connect_timeout,
            is_bound: self.target.local.is_some(),
        }
    }
}

/// What an error says, without the number behind it.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
