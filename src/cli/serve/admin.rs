//! The admin listener of `serve`: its flag, and the figures that it serves.

use super::listening::listen_on_all;
use crate::admin::{Admin, MAX_ADMIN_CONNECTIONS, Messages, Process, Snapshot};
use crate::cli::addresses::ListenAddress;
use crate::cli::value::by;
use crate::cli::{Failure, unresolved};
use crate::doctor::{Limit, hint};
use crate::logging;
use crate::net::time_of_day;
use crate::tls::HandshakeStats;
use crate::upgrade::{AnyServer, Companion, UpgradeCounts};
use clap::Args;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// File descriptors beside the connections: listeners of both address families, an epoll instance and a timer.
const OTHER_FDS: usize = 4;

#[derive(Debug, Args)]
pub(super) struct AdminFlags {
    /// Serve the figures over HTTP on ADDR: /metrics, /healthz, /status.json, a live page at / [default: off]
    #[arg(long, value_name = "ADDR", value_parser = by(ListenAddress::parse))]
    admin: Option<ListenAddress>,
}

impl AdminFlags {
    /// Checks the flag against the listeners.
    pub(super) fn check(&self, listeners: &[ListenAddress]) -> Result<(), String> {
        match &self.admin {
            Some(admin) if listeners.contains(admin) && !admin.as_str().ends_with(":0") => {
                Err(format!(
                    "--admin and --listen are both {}: give them different ports",
                    admin.as_str()
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is an admin listener.
    pub(super) fn is_on(&self) -> bool {
        self.admin.is_some()
    }

    /// File descriptors that are not for clients.
    pub(super) fn reserved_fds(&self) -> usize {
        let count = MAX_ADMIN_CONNECTIONS + OTHER_FDS;
        self.admin.as_ref().map_or(0, |_| count)
    }

    /// The listener, not open yet. Its name is resolved now, because that blocks. `has_replies`: the protocol replies to each
    /// message.
    pub(super) fn prepare(&self, has_replies: bool) -> Result<AdminListener, Failure> {
        let typed = self.admin.clone();
        let addresses = typed.as_ref().map(|typed| {
            let addresses = typed.resolve();
            addresses.map_err(|error| unresolved("serve admin on", typed.as_str(), error))
        });
        Ok(AdminListener {
            typed,
            addresses: addresses.transpose()?.unwrap_or_default(),
            process: Process::started_now(),
            has_replies,
            open: None,
            is_closed_for_upgrade: false,
        })
    }
}

/// The admin listener of this process, if it has one.
#[derive(Debug)]
pub(super) struct AdminListener {
    typed: Option<ListenAddress>,
    addresses: Vec<SocketAddr>,
    process: Process,
    has_replies: bool,
    open: Option<Admin>,
    is_closed_for_upgrade: bool,
}

impl AdminListener {
    /// Opens the listener.
    pub(super) fn open(&mut self, server: &mut dyn AnyServer) -> Result<(), Failure> {
        let Some(typed) = &self.typed else {
            return Ok(());
        };
        let what = format!("cannot serve admin on {}", typed.as_str());
        let opened = self.listen(server);
        opened.map_err(|error| Failure::new(what, &error, remedy(&error)))?;
        for address in self.open.iter().flat_map(Admin::addresses) {
            log::info!("admin on http://{address}/");
            if !address.ip().to_canonical().is_loopback() {
                log::warn!(
                    "the admin address {address} is not a loopback address: any client that reaches it reads the figures"
                );
            }
        }
        Ok(())
    }

    fn listen(&mut self, server: &mut dyn AnyServer) -> io::Result<()> {
        let mut admin = Admin::new(server.net())?;
        listen_on_all(&self.addresses, &mut |address| admin.listen(address))?;
        // If the kernel has chosen the port, it is kept when the listener is opened again.
        self.addresses = admin.addresses().to_vec();
        self.open = Some(admin);
        Ok(())
    }

    /// Runs one iteration, for an event of the listener or of its connections.
    #[cold]
    #[inline(never)]
    pub(super) fn run(
        &mut self,
        server: &mut dyn AnyServer,
        upgrades: UpgradeCounts,
        handshakes: Option<&HandshakeStats>,
    ) {
        let Some(mut admin) = self.open.take() else {
            return;
        };
        let mut snapshot = || self.snapshot(server, upgrades, handshakes.cloned());
        match admin.run(server.is_draining(), &mut snapshot) {
            Ok(()) => self.open = Some(admin),
            Err(error) => log::error!("the admin listener failed, and is closed: {error}"),
        }
    }

    /// All figures now.
    fn snapshot(
        &self,
        server: &dyn AnyServer,
        upgrades: UpgradeCounts,
        handshakes: Option<HandshakeStats>,
    ) -> Snapshot {
        let figures = server.figures();
        Snapshot {
            protocol: server.protocol_name().to_owned(),
            time: time_of_day(),
            process: self.process.figures(figures.live),
            messages: figures.messages_received.map(|received| Messages {
                received,
                sent: if self.has_replies { received } else { 0 },
            }),
            server: figures,
            handshakes,
            upgrades,
            log_lines_dropped: logging::dropped_lines(),
        }
    }
}

impl Companion for AdminListener {
    fn close(&mut self) {
        self.is_closed_for_upgrade = self.open.take().is_some();
    }

    fn reopen(&mut self, server: &mut dyn AnyServer) {
        if !std::mem::take(&mut self.is_closed_for_upgrade) {
            return;
        }
        if let Err(error) = self.listen(server) {
            log::error!("the admin listener cannot be opened again: {error}");
        }
    }
}

/// What to do about an admin listener that cannot be opened.
fn remedy(error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "something listens there already (ss -ltnp shows what): choose another port with --admin"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher port with --admin"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address (ip addr shows them)"
        }
        _ => {
            let other = || "try another address with --admin".to_owned();
            return Limit::behind(error).map_or_else(other, hint);
        }
    };
    remedy.to_owned()
}
