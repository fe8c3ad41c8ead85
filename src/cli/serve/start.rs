//! What precedes the event loop of `serve`: it opens files, the network and the listeners, or takes them over.

use super::Flags;
use super::admin::AdminListener;
use super::connection_limit::ConnectionLimit;
use super::records::RecordOutput;
use super::reporting::Reports;
use super::trace::Trace;
use crate::cli::connecting::cannot_start;
use crate::cli::protocol::ProtocolArg;
use crate::cli::{Failure, end_with_parent, raise_fd_limit};
use crate::net::{MioNet, Traced};
use crate::server::Config;
use crate::upgrade::{AnyServer, Begun, Handover, TakeOver};
use std::fmt::Display;

/// What the server starts with.
pub(super) struct Start {
    /// `Some` if it takes over the connections of another process.
    begun: Option<Begun>,
    handover: Handover,
    records: Option<RecordOutput>,
    limit: ConnectionLimit,
    admin: AdminListener,
}

impl Flags {
    /// All that precedes the server.
    pub(super) fn prepare(
        &self,
        protocol: &str,
    ) -> Result<(Traced<MioNet>, Config, Trace, Start), Failure> {
        if self.end_with_parent {
            end_with_parent(nix::sys::signal::Signal::SIGTERM)?;
        }
        let take_over = TakeOver::requested().map_err(|error| cannot_start(&error))?;
        let refusal = self.end_with_parent.then(|| {
            "it was started with --end-with-parent, and would end with its parent, which it does not have after an upgrade"
                .to_owned()
        });
        let refusal = refusal.or_else(|| self.tls.refusal_to_upgrade());
        let handover = self.upgrade.handover(refusal);
        let file = self.trace.open(take_over.is_some())?;
        let max_fds = raise_fd_limit();
        let reserved = self.listen.len() + self.admin.reserved_fds();
        let limit = ConnectionLimit::new(self.max_connections, max_fds, reserved);
        limit.warn();
        let config = self.config(&limit);
        let mut net = self.net()?;
        let records = self.records(&mut net)?;
        let has_replies = self.protocol != ProtocolArg::Collect;
        let admin = self.admin.prepare(has_replies)?;
        let take = |take_over: TakeOver| take_over.begin(&mut net, protocol, max_fds);
        let begun = take_over.map(take).transpose().map_err(cannot_take_over)?;
        let start = Start {
            begun,
            handover,
            records,
            limit,
            admin,
        };
        // Its clock continues that of another process.
        let mut net = Traced::new(net);
        let trace = Trace::start(file, &mut net);
        Ok((net, config, trace, start))
    }

    /// Opens the listeners of the server, or takes over those of another process, and its connections.
    pub(super) fn start(
        &self,
        server: &mut dyn AnyServer,
        start: Start,
    ) -> Result<(Handover, AdminListener, Reports), Failure> {
        let has_taken_over = start.begun.is_some();
        let (mut handover, mut admin) = (start.handover, start.admin);
        if let Some(begun) = start.begun {
            handover.continue_counts(begun.upgrades());
            if let Err(failure) = admin.open(server) {
                return Err(cannot_take_over(begun.refuse(failure.to_string())));
            }
            begun.complete(server).map_err(cannot_take_over)?;
        } else {
            self.open_listeners(server)?;
            admin.open(server)?;
        }
        start.limit.log();
        if let Some(rules) = self.access.rules() {
            server.set_address_filter(Box::new(move |address| rules.admits(address)));
        }
        if let Some(records) = start.records {
            server.set_record_sink(Box::new(records));
        }
        if self.admin.is_on() || self.report.slow_iteration.is_some() {
            server.measure_iterations(self.report.slow_iteration);
        }
        let reports = self.report.start(server);
        let reports = reports.map_err(|error| cannot_start(&error))?;
        self.upgrade.write_pid(has_taken_over)?;
        Ok((handover, admin, reports))
    }

    fn net(&self) -> Result<MioNet, Failure> {
        let mut net = MioNet::with_signals().map_err(|error| cannot_start(&error))?;
        let caught = net.catch_requests();
        caught.map_err(|error| cannot_start(&error))?;
        net.set_orphan_timeout(self.stall_timeout);
        if let Err(error) = net.open_sock_diag() {
            log::warn!(
                "cannot open a sock_diag socket: {error}; --stall-timeout and --idle-timeout measure what the kernel \
                 accepted, not what the client acknowledged"
            );
        }
        Ok(net)
    }

    fn config(&self, limit: &ConnectionLimit) -> Config {
        if self.max_message > self.max_buffered && self.protocol != ProtocolArg::Raw {
            log::warn!(
                "--max-message {} exceeds --max-buffered {}: a client that sends a message of that size is reset",
                self.max_message,
                self.max_buffered
            );
        }
        let handshake_timeout = self.tls.handshake_timeout();
        let handshake_timeout = handshake_timeout.or(self.proxy.header_timeout());
        Config {
            max_connections: limit.connections,
            max_per_source: self.max_per_source,
            accept_rate: self.access.accept_rate,
            min_rate: self.access.min_rate,
            idle_timeout: self.idle_timeout,
            stall_timeout: Some(self.stall_timeout),
            handshake_timeout,
            max_pending: self.max_pending,
            max_buffered: self.max_buffered,
            drain_timeout: self.drain_timeout,
            spin: self.spin,
            advice: limit.advice(),
            ..Config::default()
        }
    }
}

fn cannot_take_over(reason: impl Display) -> Failure {
    Failure(format!("cannot take over: {reason}"))
}
