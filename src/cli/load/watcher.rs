//! Observes a load: reads the machine; updates a block on a terminal, or prints a line per second.

use super::block::Block;
use super::interval_line::interval_line;
use super::output::{self, Output};
use crate::cli::output::{is_dumb_terminal, shows_unicode};
use crate::load::{
    Counts, Interval, Machine, Observer, ProbeSilence, Progress, ReplySilence, Snapshot, Stage,
    SynTimers,
};
use crate::logging;
use crate::net::{AcceptQueue, AcceptQueueReader};
use log::LevelFilter;
use std::io::{IsTerminal, stderr, stdout};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// How long to wait for the server to close its connections after the load, and how often to check.
const CLOSE_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(10));

/// Reads the machine and shows progress.
pub(super) struct Watcher {
    machine: Machine,
    accept_queue: Option<AcceptQueueReader>,
    fds_before: Option<usize>,
    output: Output,
    shows_echoes: bool,
    display: Display,
}

/// How progress is shown.
enum Display {
    None,
    /// A line per second.
    Lines,
    /// A block that is updated in place.
    Block(Box<Block>),
}

impl Watcher {
    /// Watches the process `server`, if its PID is known, and the accept queue of `target`, if it is on this machine.
    pub(super) fn new(
        server: Option<u32>,
        target: SocketAddr,
        output: Output,
        shows_echoes: bool,
    ) -> Watcher {
        let mut machine = Machine::new(server);
        let accept_queue = AcceptQueueReader::open(target);
        if let Err(error) = &accept_queue {
            log::info!(
                "cannot read the accept queue of {target}: {error}; connects are paced without it"
            );
        }
        Watcher {
            fds_before: machine.server_fds(),
            machine,
            accept_queue: accept_queue.ok().flatten(),
            output,
            shows_echoes,
            display: Display::new(output, shows_echoes),
        }
    }
}

impl Display {
    fn new(output: Output, shows_echoes: bool) -> Display {
        // Lines that are written to the same terminal during the load would be overwritten by a block.
        let writes_lines = output == Output::Jsonl && stdout().is_terminal();
        if !shows_progress() {
            Display::None
        } else if !stderr().is_terminal() || is_dumb_terminal() || writes_lines {
            Display::Lines
        } else {
            Display::Block(Box::new(Block::new(shows_echoes, shows_unicode())))
        }
    }
}

impl Observer for Watcher {
    fn snapshot(&mut self) -> Snapshot {
        self.machine.snapshot()
    }

    fn quick_snapshot(&mut self) -> Snapshot {
        self.machine.quick_snapshot()
    }

    fn syn_timers(&self) -> SynTimers {
        Machine::syn_timers()
    }

    fn accept_queue(&mut self) -> Option<AcceptQueue> {
        self.accept_queue.as_mut()?.read()
    }

    fn on_all_closed(&mut self) {
        let (within, every) = CLOSE_WAIT;
        for _ in 0..within.as_millis() / every.as_millis() {
            // `None`, without a server, is less than any number.
            if self.machine.server_fds() <= self.fds_before {
                return;
            }
            thread::sleep(every);
        }
    }

    fn on_progress(&mut self, progress: Progress) {
        let Display::Block(block) = &mut self.display else {
            return;
        };
        block.on_progress(progress);
        // The result on the same terminal has all that the block has.
        if progress.stage == Stage::Done && !stdout().is_terminal() {
            for line in block.final_lines().into_iter().flatten() {
                logging::print_line(&line);
            }
        }
    }

    fn on_accept_silence(&mut self, lasted: Duration) {
        if shows_progress() {
            logging::print_line(&format!(
                "the server has accepted no connection for {:.1} s; some wait in its queue",
                lasted.as_secs_f64()
            ));
        }
    }

    fn on_probe_silence(&mut self, silence: ProbeSilence) {
        if shows_progress() {
            logging::print_line(&format!(
                "probing: no reply for {:.1} s to {} probes; they fail after {:.1} s",
                silence.lasted.as_secs_f64(),
                silence.unanswered,
                silence.timeout.as_secs_f64()
            ));
        }
    }

    fn on_reply_silence(&mut self, silence: ReplySilence) {
        if shows_progress() {
            logging::print_line(&format!(
                "no reply for {:.1} s: {} messages are unanswered",
                silence.lasted.as_secs_f64(),
                silence.unanswered
            ));
        }
    }

    fn on_interval(&mut self, interval: &Interval) {
        match &mut self.display {
            Display::None => {}
            // If stderr does not accept the line, the result still has the interval.
            Display::Lines => {
                logging::print_line(&interval_line(interval, self.shows_echoes));
            }
            Display::Block(block) => block.on_interval(interval),
        }
    }

    fn interval_line(&mut self, interval: &Interval, _: &Counts) -> Option<String> {
        let prints_lines = self.output == Output::Jsonl;
        prints_lines.then(|| output::interval_line(interval).ok())?
    }
}

/// Whether more than errors is printed.
pub(super) fn shows_progress() -> bool {
    log::max_level() > LevelFilter::Error
}
