//! Observes a load: reads the machine, draws a progress bar, prints a line per second.

use super::output::{self, Output};
use crate::load::{
    Interval, Machine, Observer, ProbeSilence, Progress, Snapshot, Stage, SynTimers,
};
use crate::logging;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use log::LevelFilter;
use std::io::{IsTerminal, stderr};
use std::thread;
use std::time::Duration;

/// How long to wait for the server to close its connections after the load, and how often to check.
const CLOSE_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(10));

/// Redraws of the bar per second.
const REDRAWS: u8 = 10;

/// Reads the machine and shows progress.
pub(super) struct Watcher {
    machine: Machine,
    fds_before: Option<usize>,
    output: Output,
    shows_echoes: bool,
    bar: Option<(Stage, ProgressBar)>,
    shows_bar: bool,
}

impl Watcher {
    /// Watches the process `server`, if its PID is known.
    pub(super) fn new(server: Option<u32>, output: Output, shows_echoes: bool) -> Watcher {
        let mut machine = Machine::new(server);
        Watcher {
            fds_before: machine.server_fds(),
            machine,
            output,
            shows_echoes,
            bar: None,
            shows_bar: stderr().is_terminal() && shows_progress(),
        }
    }

    fn draw(&mut self, progress: Progress) {
        let stage = progress.stage;
        if self.bar.as_ref().is_none_or(|(drawn, _)| *drawn != stage) {
            self.clear();
            self.bar = bar(stage, progress.total).map(|bar| (stage, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(progress.done);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line_for(&self, interval: &Interval) -> String {
        let held = format!("{:>5.0} s  {:>8} held", interval.at, interval.held);
        let lost = format!("{} lost", interval.lost);
        if !self.shows_echoes {
            return format!("{held}  {lost}");
        }
        format!(
            "{held}  {:>8} echoes  p50 {} us  p99 {} us  max {} us  {lost}",
            interval.echoes, interval.p50_us, interval.p99_us, interval.max_us
        )
    }
}

impl Observer for Watcher {
    fn snapshot(&mut self) -> Snapshot {
        self.machine.snapshot()
    }

    fn syn_timers(&self) -> SynTimers {
        Machine::syn_timers()
    }

    fn on_all_closed(&mut self) {
        self.clear();
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
        if !self.shows_bar {
            return;
        }
        match progress.stage {
            Stage::Connecting | Stage::Probing => self.draw(progress),
            _ if self.bar.is_some() => self.clear(),
            _ => {}
        }
    }

    fn on_probe_silence(&mut self, silence: ProbeSilence) {
        if !shows_progress() {
            return;
        }
        // The bar is redrawn below the line.
        self.clear();
        logging::print_line(&format!(
            "probing: no reply for {:.1} s, {} probes unanswered; they fail {:.1} s after the last reply",
            silence.lasted.as_secs_f64(),
            silence.unanswered,
            silence.timeout.as_secs_f64()
        ));
    }

    fn on_interval(&mut self, interval: &Interval) {
        if shows_progress() {
            // If stderr does not accept the line, the result still has the interval.
            logging::print_line(&self.line_for(interval));
        }
    }

    fn interval_line(&mut self, interval: &Interval) -> Option<String> {
        let prints_lines = self.output == Output::Jsonl;
        prints_lines.then(|| output::interval_line(interval).ok())?
    }
}

/// Whether more than errors is printed.
fn shows_progress() -> bool {
    log::max_level() > LevelFilter::Error
}

/// A bar for a stage. The event loop draws it, without a thread, on a non-blocking stderr.
fn bar(stage: Stage, length: u64) -> Option<ProgressBar> {
    let is_probing = stage == Stage::Probing;
    let what = if is_probing { "probing" } else { "opening" };
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left",
    );
    let target = ProgressDrawTarget::stderr_with_hz(REDRAWS);
    let bar = ProgressBar::with_draw_target(Some(length), target);
    Some(bar.with_style(style.ok()?).with_message(what))
}
