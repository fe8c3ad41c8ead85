//! The old process: starts the new program, passes everything to it, and exits; or continues.

use super::attempt::{Attempt, End, unexpected};
use super::channel::Kind;
use super::pid_file::PidFile;
use super::program::Program;
use super::successor::Successor;
use super::{
    AnyServer, Companion, FORMATS, Failure, Hello, MAGIC, Total, UpgradeCounts, counted, json,
    parse, state,
};
use crate::net::{Key, Net};
use crate::server::Request;
use std::io::ErrorKind;
use std::time::Duration;

/// The most connections of a rehearsal, and the bytes after which it ends: fewer than the buffer of a socket has.
const REHEARSED: usize = 1000;
const REHEARSED_BYTES: usize = 64 * 1024;

/// How the server continues after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This process serves.
    Serves,
    /// The new process serves: this one is to exit without using a connection.
    HandedOver,
    /// The new process failed after it had begun to serve: all connections are to be reset.
    Lost,
}

/// Performs upgrades.
#[derive(Debug)]
pub struct Handover {
    /// The new program, or why this process cannot be upgraded.
    program: Result<Program, String>,
    timeout: Duration,
    pid_file: Option<PidFile>,
    attempts: u32,
    attempt: Option<Attempt>,
    /// The process that has taken over, until it ends.
    successor: Option<Successor>,
    is_done: bool,
    counts: UpgradeCounts,
}

impl Handover {
    /// Upgrades to `program`, or refuses to for a reason. Each step takes at most `timeout`.
    #[must_use]
    pub fn new(
        program: Result<Program, String>,
        timeout: Duration,
        pid_file: Option<PidFile>,
    ) -> Handover {
        Handover {
            program,
            timeout,
            pid_file,
            attempts: 0,
            attempt: None,
            successor: None,
            is_done: false,
            counts: UpgradeCounts::default(),
        }
    }

    /// Whether another process has taken over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The upgrades so far.
    #[must_use]
    pub fn counts(&self) -> UpgradeCounts {
        self.counts
    }

    /// Continues the counts of the process that this one has taken over.
    pub fn continue_counts(&mut self, counts: UpgradeCounts) {
        self.counts = counts;
    }

    /// Continues the upgrade, or starts one. While a new process takes over, `companion` is closed.
    pub fn handle(
        &mut self,
        server: &mut dyn AnyServer,
        companion: &mut dyn Companion,
        request: Request,
    ) -> Progress {
        let step = match request {
            Request::Upgrade => self.start(server),
            Request::Source => {
                self.successor.take_if(Successor::has_ended);
                self.receive(server, companion)
            }
            _ => return Progress::Serves,
        };
        match step {
            Ok(progress) => progress,
            Err(reason) => {
                let progress = self.fail(&reason);
                if progress == Progress::Serves {
                    companion.reopen(server);
                }
                progress
            }
        }
    }

    /// Starts the new program.
    fn start(&mut self, server: &mut dyn AnyServer) -> Result<Progress, Failure> {
        if self.attempt.is_some() {
            log::warn!("SIGUSR2: ignored, since an upgrade is in progress");
            return Ok(Progress::Serves);
        }
        self.attempts += 1;
        if server.is_draining() {
            return Err("the drain has started".to_owned());
        }
        let program = self.program.as_ref().map_err(String::clone)?;
        let path = program.path().display();
        let (child, stream) = program.start().map_err(|error| {
            format!("cannot start {path}: {error}; install the new program there by renaming it")
        })?;
        log::info!("upgrade: started {path} as PID {}", child.id());
        let mut attempt = Attempt::new(child, stream);
        let watched = attempt.watch(server.net(), self.timeout);
        self.attempt = Some(attempt);
        watched.map_err(|error| format!("cannot watch the new process: {error}"))?;
        Ok(Progress::Serves)
    }

    /// Handles the messages that have arrived while this process serves, and the end of the timeout.
    fn receive(
        &mut self,
        server: &mut dyn AnyServer,
        companion: &mut dyn Companion,
    ) -> Result<Progress, Failure> {
        while let Some(attempt) = &mut self.attempt {
            let received = match attempt.channel.receive() {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !attempt.has_timed_out() => {
                    break;
                }
                received => attempt.check(received)?,
            };
            match (received.kind, attempt.rehearsal.take()) {
                (Kind::Hello, None) => {
                    let (_, keys) = server.save();
                    check_hello(server, keys.len(), &received.payload)?;
                    let rehearsal = rehearsal(server, keys)?;
                    attempt.send(Kind::Rehearsal, &rehearsal, &[])?;
                    attempt.rehearsal = Some(rehearsal);
                    let started = attempt.start_timer(self.timeout);
                    started.map_err(|error| format!("cannot set the timer: {error}"))?;
                }
                (Kind::Rehearsed, Some(sent)) if sent == received.payload => {
                    return self.hand_over(server, companion);
                }
                (Kind::Rehearsed, _) => {
                    return Err(
                        "the new program does not read the state of connections as it was written"
                            .to_owned(),
                    );
                }
                (kind, _) => return Err(unexpected(kind)),
            }
        }
        Ok(Progress::Serves)
    }

    /// Stops the event loop, and passes everything to the new process.
    fn hand_over(
        &mut self,
        server: &mut dyn AnyServer,
        companion: &mut dyn Companion,
    ) -> Result<Progress, Failure> {
        if server.is_draining() {
            return Err("the drain has started".to_owned());
        }
        let Some(attempt) = &mut self.attempt else {
            return Ok(Progress::Serves);
        };
        let start = server.net().now();
        let blocked = attempt.channel.block_for(self.timeout);
        blocked.map_err(|error| format!("cannot use the channel: {error}"))?;
        let (saved, keys) = server.save();
        // The new process opens its own as soon as it has received the state of the server.
        companion.close();
        attempt.send_server(server, saved, self.counts)?;
        let total = attempt.send_connections(server, &keys)?;
        attempt.send(Kind::End, &json(&total)?, &[])?;
        let taken = attempt.receive_kind(Kind::Taken)?;
        if parse::<Total>(&taken)? != total {
            return Err("the new process has received another state than was sent".to_owned());
        }
        attempt.has_committed = true;
        attempt.send(Kind::Commit, b"", &[])?;
        attempt.receive_kind(Kind::Serving)?;
        attempt.forward_signals(server.net());
        let pause = server.net().now().since(start);
        log::info!(
            "upgrade: PID {} has taken over {} within {:.1} ms",
            attempt.child.id(),
            counted(keys.len(), "connection"),
            pause.as_secs_f64() * 1000.0
        );
        // The new process is not to be killed when this value is dropped.
        let child = self.attempt.take().map(|attempt| attempt.child);
        // If the old process continues, it only serves connections that cannot be passed on.
        self.successor = child.map(|child| Successor::watch(child, server.net()));
        self.program = Err("another process accepts its connections since an upgrade".to_owned());
        self.pid_file = None;
        self.is_done = true;
        self.counts.done += 1;
        Ok(Progress::HandedOver)
    }

    /// Ends a failed upgrade.
    fn fail(&mut self, reason: &str) -> Progress {
        self.counts.failed += 1;
        let end = self.attempt.take().map_or(End::Kept, Attempt::end);
        let (progress, outcome) = match end {
            End::Kept => (Progress::Serves, "this process continues"),
            End::Lost => (Progress::Lost, "its connections are lost"),
        };
        log::error!("upgrade failed: {reason}; {outcome}");
        if let Some(file) = &self.pid_file
            && let Err(error) = file.report(self.attempts, reason)
        {
            log::warn!("cannot write the reason beside the PID file: {error}");
        }
        progress
    }
}

impl Drop for Handover {
    /// This process exits, for example after a drain, so there is nothing to take over.
    fn drop(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            let _ = attempt.child.kill();
            let _ = attempt.child.wait();
        }
    }
}

/// Checks that the new program can take over.
fn check_hello(
    server: &mut dyn AnyServer,
    connections: usize,
    payload: &[u8],
) -> Result<(), Failure> {
    let hello: Hello = parse(payload)?;
    if hello.magic != MAGIC {
        return Err("the started program is not echoloop".to_owned());
    }
    let newest = hello.newest_format.min(FORMATS.1);
    if newest < hello.oldest_format.max(FORMATS.0) {
        return Err(format!(
            "echoloop {} reads states of the formats {} to {}, this process writes {} to {}: stop and start it \
             instead",
            hello.build, hello.oldest_format, hello.newest_format, FORMATS.0, FORMATS.1
        ));
    }
    let protocol = server.protocol_name();
    if hello.protocol != protocol {
        return Err(format!(
            "the new process has the protocol {}, this process {protocol}",
            hello.protocol
        ));
    }
    let fds = (connections + server.listeners().len()) as u64;
    if hello.max_fds < fds {
        return Err(format!(
            "the new process may have {} file descriptors, and {fds} are open: raise its limit (ulimit -n)",
            hello.max_fds
        ));
    }
    Ok(())
}

/// The state of some connections.
fn rehearsal(server: &dyn AnyServer, keys: Vec<Key>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for key in keys.into_iter().take(REHEARSED) {
        let before = bytes.len();
        if let Some((saved, _)) = server.save_connection(key) {
            state::encode(&saved, &mut bytes)?;
        }
        if bytes.len() > REHEARSED_BYTES {
            bytes.truncate(before);
            break;
        }
    }
    Ok(bytes)
}
