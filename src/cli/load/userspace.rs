//! `--userspace-tcp`: idle connections by a TCP client in user space, which has no kernel socket for each.

use super::{Failure, Flags};
use crate::cli::addresses::TargetAddress;
use crate::cli::cannot_start;
use crate::load::{Config, Listening, Load, Observer};
use crate::net::{MioNet, PrefixAddresses, Source, Traced, Tun};
use crate::userspace::{Endpoints, Timers, UserspaceTcp};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections that a server must accept beside those of the load: the first one finds out whether it listens.
const FURTHER_CONNECTIONS: u32 = 100;

/// The largest message in bytes: without windows and reassembly, a message is one segment.
const MAX_MESSAGE: usize = 1_200;

/// The TUN interface, and the addresses of its prefix.
#[derive(Debug)]
pub(super) struct Userspace {
    pub(super) tun: Tun,
    pub(super) addresses: PrefixAddresses,
}

/// For how long bytes may be unacknowledged before their connection is lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

impl Userspace {
    /// Gives the idle connections to a TCP client over the interface.
    pub(super) fn attach<S: Observer>(
        self,
        load: &mut Load<Traced<MioNet>, S>,
        config: &Config,
    ) -> Result<(), Failure> {
        let PrefixAddresses {
            first_source,
            sources,
            ..
        } = self.addresses;
        let endpoints = Endpoints::new(config.target, first_source, sources);
        let endpoints = endpoints.map_err(|_| {
            Failure("the target and --prefix have different versions of IP".to_owned())
        })?;
        let timers = Timers {
            connect: config.connect_timeout,
            unacknowledged: UNACKNOWLEDGED,
        };
        // Random keys of the standard library: sequence numbers cannot be guessed.
        let secret = RandomState::new().hash_one(config.target);
        let tcp = UserspaceTcp::new(endpoints, config.idle, secret, timers);
        let tcp = tcp.map_err(|_| {
            let remedy = "give a smaller --idle";
            Failure::new("cannot hold the idle connections", "no memory", remedy)
        })?;
        let net = load.net_mut().inner_mut();
        net.watch_fd(&self.tun, Source::PACKETS, false)
            .map_err(|error| cannot_start(&error))?;
        load.use_userspace_tcp(tcp, self.tun);
        Ok(())
    }

    /// How the server of a load with this many connections listens: on an address of this machine that packets from the
    /// TUN interface reach, which a loopback address is not.
    pub(super) fn listening(&self, connections: u32) -> Listening {
        Listening {
            address: SocketAddr::new(self.addresses.interface, 0),
            max_connections: Some(connections.saturating_add(FURTHER_CONNECTIONS)),
        }
    }
}

impl Flags {
    /// Enters the private network if it is wanted, and opens the TUN interface. The process must have one thread.
    #[cold]
    pub(super) fn open_userspace(&self) -> Result<Option<Userspace>, Failure> {
        if !self.userspace.is_on() {
            return Ok(None);
        }
        let addresses = self.userspace.addresses().map_err(Failure)?;
        self.userspace.enter()?;
        let tun = self.userspace.open_tun()?;
        log::debug!(
            "{} has {}, a queue of {} packets, and the route to {}",
            tun.name(),
            tun.address(),
            tun.queue_length(),
            self.userspace.prefix()
        );
        Ok(Some(Userspace { tun, addresses }))
    }

    /// Checks the other flags against `--userspace-tcp`.
    #[cold]
    pub(super) fn check_userspace(&self) -> Result<(), String> {
        if !self.userspace.is_on() {
            return Ok(());
        }
        let idle = u64::try_from(self.idle).unwrap_or(u64::MAX);
        let excluded = [
            ("--tls", self.tls.tls.is_on(), "it has no TLS"),
            ("--jobs", self.jobs.is_several(), "one process is enough"),
            (
                "--bind",
                self.addresses.bind.is_some(),
                "its connections come from the addresses of --prefix",
            ),
            (
                "--sources",
                self.sources.is_some(),
                "its connections come from the addresses of --prefix",
            ),
            (
                "--find and --sweep",
                self.find.plan().is_some(),
                "a search opens kernel sockets",
            ),
        ];
        if let Some((flag, _, why)) = excluded.iter().find(|(_, is_given, _)| *is_given) {
            return Err(format!(
                "--userspace-tcp excludes {flag}, since {why}: leave one of them out"
            ));
        }
        if idle == 0 {
            return Err("--userspace-tcp is for idle connections: add --idle N".to_owned());
        }
        if self.size > MAX_MESSAGE {
            return Err(format!(
                "--userspace-tcp has messages of at most {MAX_MESSAGE} bytes: give a smaller --size"
            ));
        }
        self.check_script_size()?;
        self.userspace.check_capacity(idle)?;
        self.check_private()
    }

    /// Checks that each part of a script fits into what may be unacknowledged.
    fn check_script_size(&self) -> Result<(), String> {
        let target = self.target.as_ref().map(TargetAddress::host_and_port);
        let target = target.unwrap_or_else(|| "255.255.255.255:65535".to_owned());
        let script = self.script.resolve(0, &target)?;
        let found = script.and_then(|script| {
            let (parts, bytes) = script.sends_more_than(MAX_MESSAGE)?;
            Some((script.name().to_owned(), parts, bytes))
        });
        found.map_or(Ok(()), |(name, parts, bytes)| {
            Err(format!(
                "--userspace-tcp has at most {MAX_MESSAGE} bytes unacknowledged on a connection, but {name} sends \
                 {bytes} ({parts}): shorten them"
            ))
        })
    }

    /// Checks that a private network is not left.
    fn check_private(&self) -> Result<(), String> {
        if !self.userspace.is_private() {
            return Ok(());
        }
        if let Some(target) = &self.target {
            return Err(format!(
                "--userspace-tcp=private starts a server in its own network namespace, where {} cannot be reached: leave \
                 the address or =private out",
                target.as_str()
            ));
        }
        if self.clock.is_remote() || self.server_pid.is_some() {
            return Err(
                "--userspace-tcp=private has a network namespace and a server of its own: leave --clock and \
                 --server-pid, or =private out"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Those of the target's addresses that packets from the TUN interface reach.
    #[cold]
    pub(super) fn routable(&self, mut all: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        if !self.userspace.is_on() || self.target.is_none() {
            return Ok(all);
        }
        let prefix = self.userspace.prefix();
        let own = self.userspace.addresses()?.interface;
        if all
            .iter()
            .all(|address| address.ip().to_canonical().is_loopback())
        {
            return Err(format!(
                "--userspace-tcp cannot reach a loopback address: let the server listen on 0.0.0.0 and give another \
                 address of this machine, such as {own}, or no address, and a server is started"
            ));
        }
        all.retain(|address| {
            let ip = address.ip();
            let is_reached = ip == own || !prefix.contains(&ip);
            !ip.is_loopback() && is_reached && ip.is_ipv4() == own.is_ipv4()
        });
        if all.is_empty() {
            return Err(format!(
                "--prefix {prefix} cannot reach the target: give a network of the same IP version that does not \
                 contain the target"
            ));
        }
        Ok(all)
    }
}
