//! The world around a load that a person watches: a progress bar, a line for each second, the machine's readings.

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

/// For how long at most the server is given to notice that all connections are closed, and how often it is looked at.
const NOTICE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(10));

/// How often the bar is drawn in a second.
const DRAWINGS: u8 = 10;

/// Looks at the machine, and tells people.
pub(super) struct Watcher {
    machine: Machine,
    descriptors_before: Option<usize>,
    output: Output,
    shows_echoes: bool,
    bar: Option<(Stage, ProgressBar)>,
    shows_bar: bool,
}

impl Watcher {
    /// With the server's process in sight, if its id is known.
    pub(super) fn new(server: Option<u32>, output: Output, shows_echoes: bool) -> Watcher {
        let mut machine = Machine::new(server);
        Watcher {
            descriptors_before: machine.server_fds(),
            machine,
            output,
            shows_echoes,
            bar: None,
            shows_bar: stderr().is_terminal() && speaks(),
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

    fn in_words(&self, interval: &Interval) -> String {
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
        let Some(before) = self.descriptors_before else {
            return;
        };
        let (within, every) = NOTICE;
        for _ in 0..within.as_millis() / every.as_millis() {
            match self.machine.server_fds() {
                Some(now) if now > before => thread::sleep(every),
                _ => return,
            }
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
        if !speaks() {
            return;
        }
        // The bar is drawn anew below the line.
        self.clear();
        logging::say(&format!(
            "probing: no reply for {:.1} s, {} probes unanswered; they fail {:.1} s after the last reply",
            silence.lasted.as_secs_f64(),
            silence.unanswered,
            silence.timeout.as_secs_f64()
        ));
    }

    fn on_interval(&mut self, interval: &Interval) {
        if speaks() {
            // A second that stderr does not take is in the result all the same.
            logging::say(&self.in_words(interval));
        }
    }

    fn interval_line(&mut self, interval: &Interval) -> Option<String> {
        if self.output != Output::Jsonl {
            return None;
        }
        output::interval_line(interval).ok()
    }
}

/// Whether anything but errors is to be said.
fn speaks() -> bool {
    log::max_level() > LevelFilter::Error
}

/// A bar for a stage. Drawn from the loop, by no thread of its own, on a stderr that does not block.
fn bar(stage: Stage, length: u64) -> Option<ProgressBar> {
    let what = match stage {
        Stage::Probing => "probing",
        _ => "opening",
    };
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left",
    );
    let target = ProgressDrawTarget::stderr_with_hz(DRAWINGS);
    let bar = ProgressBar::with_draw_target(Some(length), target);
    Some(bar.with_style(style.ok()?).with_message(what))
}
