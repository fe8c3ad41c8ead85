//! Clients in user space, over a TUN interface: what they need, and how many connections their addresses allow.

use super::Role;
use super::capacity::{SERVER_BYTES, USERSPACE_BYTES};
use super::facts::Facts;
use super::notices::Notice;
use super::remedy::sysctl;
use crate::net::{PORTS_PER_SOURCE, PrefixAddresses};
use crate::numbers::grouped;
use ipnet::IpNet;
use serde::Serialize;

/// Clients in user space, as they were tried out on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Userspace {
    /// The network of their addresses.
    pub prefix: IpNet,
    /// They are in a network namespace together with the server.
    pub is_private: bool,
    /// The queue length of a TUN interface; or why none can be created, and what to do.
    pub queue_length: Result<u32, String>,
}

impl Userspace {
    /// The ports of all their addresses.
    pub(super) fn ports(&self) -> u64 {
        self.addresses()
            .map_or(0, |addresses| addresses.connections())
    }

    fn addresses(&self) -> Option<PrefixAddresses> {
        PrefixAddresses::of(self.prefix)
    }

    /// Why none can be created.
    pub(super) fn error(&self) -> Option<&str> {
        self.queue_length.as_ref().err().map(String::as_str)
    }

    /// What is missing, or else what they take.
    pub(super) fn notices(&self, facts: &Facts, role: Role) -> Vec<Notice> {
        if role == Role::Server {
            return Vec::new();
        }
        let possible = match &self.queue_length {
            Err(error) => Notice::problem("userspace_tcp", format!("{error}."), None),
            Ok(length) => Notice::information("userspace_tcp", self.figures(*length), None),
        };
        let mut notices = vec![possible];
        notices.extend(self.forwarding(facts, role));
        notices
    }

    fn figures(&self, queue_length: u32) -> String {
        let needed = if self.is_private {
            "a user namespace"
        } else {
            "CAP_NET_ADMIN"
        };
        format!(
            "--userspace-tcp needs /dev/net/tun and {needed}: this process has both. The interface queues {} packets. \
             {} has {} addresses for connections with {} ports each. An idle connection takes {USERSPACE_BYTES} bytes \
             here, and {} on the machine of the server.",
            grouped(queue_length.into()),
            self.prefix,
            grouped(self.addresses().map_or(0, |all| all.sources.into())),
            grouped(PORTS_PER_SOURCE.into()),
            grouped(SERVER_BYTES),
        )
    }

    /// A server on another machine is reached only if this one forwards packets.
    fn forwarding(&self, facts: &Facts, role: Role) -> Option<Notice> {
        let (setting, value) = match self.prefix {
            IpNet::V4(_) => ("net.ipv4.ip_forward", facts.ip_forward),
            IpNet::V6(_) => ("net.ipv6.conf.all.forwarding", facts.ipv6_forwarding),
        };
        let is_off = value == Some(0) && role == Role::Client && !self.is_private;
        let text = format!(
            "{setting} is 0: a server on another machine is not reached from {}. It also needs a route to that network \
             via this machine.",
            self.prefix
        );
        is_off.then(|| Notice::information("forwarding", text, Some(sysctl(facts, setting, 1))))
    }

    pub(super) fn view(&self) -> UserspaceView<'_> {
        UserspaceView {
            prefix: self.prefix.to_string(),
            private: self.is_private,
            possible: self.queue_length.is_ok(),
            error: self.error(),
            queue_length: self
                .queue_length
                .as_ref()
                .ok()
                .map(|length| (*length).into()),
            source_addresses: self.addresses().map_or(0, |all| all.sources.into()),
            ports_per_address: PORTS_PER_SOURCE.into(),
            server_bytes_per_connection: SERVER_BYTES,
            client_bytes_per_connection: USERSPACE_BYTES,
        }
    }
}

/// The form in JSON.
#[derive(Serialize)]
pub(super) struct UserspaceView<'a> {
    prefix: String,
    private: bool,
    possible: bool,
    error: Option<&'a str>,
    queue_length: Option<u64>,
    source_addresses: u64,
    ports_per_address: u64,
    server_bytes_per_connection: u64,
    client_bytes_per_connection: u64,
}
