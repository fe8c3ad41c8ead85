//! `echoloop load` as a user runs it: the real program, against correct servers and faulty ones.
//!
//! - [`run`]: starts the program and reads its output.
//! - [`servers`]: servers that corrupt, drop, stall and refuse, each in a few lines.
//! - [`faulty`]: every fault of a server is reported with exact counts.
//! - [`correct`]: the figures for a correct server.
//! - [`addresses`]: the addresses that it connects to and from.
//! - [`jobs`]: one load over several processes.
//! - [`parts`]: one load over several processes that are started from outside.
//! - [`million`]: `benches/million/run` with few connections.
//! - [`hosts`]: loads on several hosts, in namespaces.
//! - [`forking`]: servers of several processes.
//! - [`limits`]: a limit is named, and the result covers what was reached.
//! - [`ending`]: signals, the end of the child process, exit codes.
//! - [`exit_codes`]: what fails a load without `--expect`.
//! - [`overload`]: servers that cannot keep up, stall, or never reply.
//! - [`output`]: stdout is written in time, and a slow reader never blocks the load.
//! - [`closing`]: the result is written before the connections are closed.
//! - [`screen`]: a terminal whose output is rendered.
//! - [`terminal`]: the progress bars on a terminal.
//! - [`block`]: the block that is updated in place during the measured part.
//! - [`usage`]: flags, their units, and errors about them.
//! - [`names`]: names with several addresses.
//! - [`hosts_file`]: a hosts file for one program.
//! - [`schema`]: the JSON conforms to its schema.
//! - [`network`]: a network namespace per test.
//! - [`find`]: the search for the limit of a server.
//! - [`fixed`]: a server of a known capacity.
//! - [`clock`]: a reference clock, and hosts whose clocks differ.
//! - [`two_hosts`]: two hosts in network namespaces.
//! - [`retransmits`]: SYN retransmits, of the load and of the machine.
//! - [`pacing`]: connections are opened at the pace of the server, and idle ones receive no byte.
//! - [`probes`]: probes of a server that hangs and of one that is slow.
//! - [`python`]: a server in python3 that prints its port.
//! - [`real_servers`]: nginx, Redis, memcached, mosquitto and others, started for a test.
//! - [`scripts`]: scripts against real servers.
//! - [`scripts_idle`]: scripts on idle connections: keepalives, and connections that the server closes.
//! - [`scripted_faults`]: servers that answer wrongly to a script.
//! - [`tls`]: loads over TLS.
//! - [`tls_parts`]: one load over TLS by several processes that are started from outside.
//! - [`tls_redis`]: Redis over TLS.
//! - [`trace`]: the trace of a load.
//! - [`userspace_ended`]: servers that end connections in user space, or do not answer them.
//! - [`userspace_faults`]: connections in user space over a link that loses, reorders and repeats packets.
//! - [`userspace_held`]: thousands of connections in user space, held and reset.
//! - [`userspace_hosts`]: network namespaces for connections in user space.
//! - [`userspace_ipv6`]: connections in user space over IPv6.
//! - [`userspace_results`]: connections in user space beside active ones; saved, merged and as a page.
//! - [`userspace_scripts`]: scripts on connections in user space, against real servers.
//! - [`userspace_tun`]: the TUN interface of connections in user space.
//! - [`userspace_usage`]: wrong flags of `--userspace-tcp`, and machines that do not permit it.
//! - [`certificates`]: certificates for tests.
//! - [`scripts_usage`]: wrong scripts and contradictory flags.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

// Shared with the tests of `serve`, which use all of them.
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/tools.rs"]
mod tools;

// Shared with the tests of `serve`.
#[path = "../serve/ports.rs"]
mod ports;

// Shared with the tests of the clients.
#[path = "../client/hosts_file.rs"]
mod hosts_file;

// Shared with the tests of the clients.
#[path = "../client/certificates.rs"]
mod certificates;

mod addresses;
mod block;
mod clock;
mod closing;
mod correct;
mod ending;
mod exit_codes;
mod faulty;
mod find;
mod fixed;
mod forking;
mod hosts;
mod jobs;
mod limits;
mod million;
mod names;
mod network;
mod output;
mod overload;
mod pacing;
mod parts;
mod probes;
mod python;
mod real_servers;
mod retransmits;
mod run;
mod schema;
mod screen;
mod scripted_faults;
mod scripts;
mod scripts_idle;
mod scripts_stopped;
mod scripts_usage;
mod servers;
mod terminal;
mod tls;
mod tls_parts;
mod tls_redis;
mod trace;
mod two_hosts;
mod usage;
mod userspace_ended;
mod userspace_faults;
mod userspace_held;
mod userspace_hosts;
mod userspace_ipv6;
mod userspace_results;
mod userspace_scripts;
mod userspace_tun;
mod userspace_usage;
