//! What a process serves beside its server, and does not pass on.

use super::AnyServer;
use serde::{Deserialize, Serialize};

/// What a process serves beside its server and does not pass on to a new process, such as an admin listener: the new
/// process opens its own on the same addresses.
pub trait Companion {
    /// Closes it, with its connections: a new process is to open its own now.
    fn close(&mut self);

    /// Opens it again if it was closed, since this process continues.
    fn reopen(&mut self, server: &mut dyn AnyServer);
}

/// The upgrades that a server and the processes before it have performed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeCounts {
    /// A new process has taken over.
    pub done: u64,
    /// The old process has continued.
    pub failed: u64,
}
