//! A network namespace of this process alone (`network_namespaces(7)`).

use super::route_netlink::{LOOPBACK_INDEX, RouteSocket};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};
use std::fmt;
use std::fs;
use std::io;

/// A limit of listeners that each network namespace has for itself; a new one has the kernel's default.
const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";

/// Why no private network can be entered.
pub enum PrivateNetworkError {
    /// The machine does not permit user namespaces to this user.
    NotPermitted(io::Error),
    /// The limit of namespaces is reached, or zero.
    TooMany(io::Error),
    /// A step failed.
    Step(&'static str, io::Error),
}

impl fmt::Display for PrivateNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrivateNetworkError::NotPermitted(error) | PrivateNetworkError::TooMany(error) => {
                write!(f, "cannot create a user namespace: {error}")
            }
            PrivateNetworkError::Step(step, error) => write!(f, "cannot {step}: {error}"),
        }
    }
}

// By hand: it is smaller, and as clear.
impl fmt::Debug for PrivateNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for PrivateNetworkError {}

/// Moves this process and its future children to a new network namespace with nothing but a loopback interface. Without
/// the privilege for that, the process enters a new user namespace too, where it keeps its user and group.
///
/// The process must have one thread.
///
/// # Errors
/// See [`PrivateNetworkError`].
#[cold]
pub fn enter_private_network() -> Result<(), PrivateNetworkError> {
    let somaxconn = read_number(SOMAXCONN);
    // Root of the machine, or of a container that permits it, keeps its privileges.
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        enter_user_namespace()?;
    }
    let mut routes = RouteSocket::open().map_err(step("open a netlink socket"))?;
    let up = routes.set_up(LOOPBACK_INDEX);
    up.map_err(step("bring the loopback interface up"))?;
    if let Some(raised) = somaxconn.filter(|value| Some(*value) > read_number(SOMAXCONN)) {
        // Not permitted on some kernels; the server reports the backlog in force.
        let _ = fs::write(SOMAXCONN, raised.to_string());
    }
    Ok(())
}

fn enter_user_namespace() -> Result<(), PrivateNetworkError> {
    // Read before: in the new namespace they have no number until it is mapped.
    let (user, group) = (Uid::effective(), Gid::effective());
    let both = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET;
    unshare(both).map_err(|error| {
        let error = io::Error::from(error);
        match error.kind() {
            io::ErrorKind::PermissionDenied => PrivateNetworkError::NotPermitted(error),
            io::ErrorKind::StorageFull => PrivateNetworkError::TooMany(error),
            _ => PrivateNetworkError::Step("create a user namespace", error),
        }
    })?;
    // In this order (user_namespaces(7)). A kernel before 3.19 has no `setgroups`.
    let _ = fs::write("/proc/self/setgroups", "deny");
    let map = |file, id: u32| fs::write(file, format!("{id} {id} 1\n"));
    let mapped = map("/proc/self/uid_map", user.as_raw())
        .and_then(|()| map("/proc/self/gid_map", group.as_raw()));
    mapped.map_err(step("map the user into the user namespace"))
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn step(what: &'static str) -> impl Fn(io::Error) -> PrivateNetworkError {
    move |error| PrivateNetworkError::Step(what, error)
}
