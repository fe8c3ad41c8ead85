//! The listeners of `serve`: all addresses of each name, and what to do if one cannot be opened.

use super::Flags;
use crate::cli::addresses::ListenAddress;
use crate::cli::{Failure, unresolved};
use crate::doctor::{Limit, hint};
use crate::net::ListenOptions;
use crate::upgrade::AnyServer;
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

impl Flags {
    pub(super) fn open_listeners(&self, server: &mut dyn AnyServer) -> Result<(), Failure> {
        // Before the loop starts, because resolving blocks.
        let resolve = |typed: &ListenAddress| match typed.resolve() {
            Ok(addresses) => Ok((typed.clone(), addresses)),
            Err(error) => Err(unresolved("listen on", typed.as_str(), error)),
        };
        let listeners: Vec<_> = self.listen.iter().map(resolve).collect::<Result<_, _>>()?;
        for (typed, addresses) in &listeners {
            self.listen(server, addresses).map_err(|error| {
                let what = format!("cannot listen on {}", typed.as_str());
                Failure::new(what, &error, listen_remedy(&error))
            })?;
        }
        Ok(())
    }

    /// Listens on all addresses of a name that this machine has, of which there must be one.
    fn listen(&self, server: &mut dyn AnyServer, addresses: &[SocketAddr]) -> io::Result<()> {
        let mut listen = |address| {
            server.listen(&ListenOptions {
                address,
                backlog: self.backlog,
                reuse_port: self.reuse_port,
                socket_buffer: self.socket_buffer.unwrap_or_default(),
                keepalive: self.keepalive,
            })
        };
        listen_on_all(addresses, &mut listen)
    }
}

/// Listens on all addresses that this machine has, of which there must be one.
pub(super) fn listen_on_all(
    addresses: &[SocketAddr],
    listen: &mut dyn FnMut(SocketAddr) -> io::Result<SocketAddr>,
) -> io::Result<()> {
    let mut is_listening = false;
    let mut absent = Ok(());
    for &address in addresses {
        let mut result = listen(address);
        let is_any_ipv6 = address.is_ipv6() && address.ip().is_unspecified();
        if is_any_ipv6 && result.as_ref().is_err_and(is_absent) {
            // IPv6 is disabled: 0.0.0.0 replaces [::].
            result = listen((Ipv4Addr::UNSPECIFIED, address.port()).into());
        }
        match result {
            Err(error) if is_absent(&error) => absent = Err(error),
            result => is_listening = result.map(|_| true)?,
        }
    }
    if is_listening { Ok(()) } else { absent }
}

/// Whether this machine does not have the address, or no address of its family.
fn is_absent(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

/// What to do about a listener that cannot be opened.
fn listen_remedy(error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "something listens there already (ss -ltnp shows what): \
             stop it, choose another port with --listen, or share the port with --reuse-port on both"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE: \
             choose a higher port with --listen, or run setcap cap_net_bind_service+ep on the program"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address (ip addr shows them)"
        }
        ErrorKind::InvalidInput => {
            "a link-local address (fe80::) needs the index of its interface, as in [fe80::1%2]:8000 \
             (ip -6 address shows both)"
        }
        _ => {
            let other = || "try another address with --listen".to_owned();
            return Limit::behind(error).map_or_else(other, hint);
        }
    };
    remedy.to_owned()
}
