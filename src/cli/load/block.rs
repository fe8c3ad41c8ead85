//! The block of lines at the end of a terminal that is updated in place: the stage with the time left, and rate and
//! p99 of the last seconds as sparklines.
//!
//! indicatif formats it, and limits how often it is drawn. [`Rows`] takes the place of indicatif's own output, which
//! pads each line to the width of the terminal: a `^C` behind it, or a narrower window, would leave a part behind.

use crate::load::{Interval, Progress, Stage};
use crate::logging;
use crate::numbers::{as_f64, grouped, whole};
use crate::report::{bars, time};
use crate::wrap::WIDTH;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle, TermLike};
use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

/// Redraws per second.
const REDRAWS: u8 = 10;

/// Seconds in a sparkline.
const SECONDS: usize = 36;

/// The width of the column of names, as in the result.
const NAMES: usize = 16;

/// The block.
pub(super) struct Block {
    bar: Option<(Stage, ProgressBar)>,
    shows_echoes: bool,
    has_sparklines: bool,
    /// What the first line shows.
    shown: Option<(Stage, u64)>,
    held: u64,
    last: Option<Interval>,
    /// Echoes per second, and p99 in microseconds.
    seconds: VecDeque<(f64, f64)>,
}

impl Block {
    /// A block that is drawn from the first progress on. `has_sparklines`: the terminal shows Unicode.
    pub(super) fn new(shows_echoes: bool, has_sparklines: bool) -> Block {
        Block {
            bar: None,
            shows_echoes,
            has_sparklines,
            shown: None,
            held: 0,
            last: None,
            seconds: VecDeque::new(),
        }
    }

    /// Redraws the block if a figure or the stage has changed. Called once per iteration of the event loop.
    pub(super) fn on_progress(&mut self, progress: Progress) {
        match progress.stage {
            Stage::Connecting | Stage::Probing => {
                self.begin(progress.stage, progress.total);
                if let Some((_, bar)) = &self.bar {
                    bar.set_position(progress.done);
                }
                self.held = progress.done.max(self.held);
            }
            Stage::Done => self.clear(),
            stage => {
                let left = progress.left.unwrap_or_default();
                let shown = (stage, seconds_of(left));
                if self.shown != Some(shown) {
                    self.shown = Some(shown);
                    self.begin(stage, 0);
                    self.show();
                }
            }
        }
    }

    /// Adds a second to the sparklines.
    pub(super) fn on_interval(&mut self, interval: &Interval) {
        let began = self.last.as_ref().map_or(0.0, |last| last.at);
        let rate = as_f64(interval.echoes) / (interval.at - began).max(f64::EPSILON);
        if self.seconds.len() == SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back((rate, as_f64(interval.p99_us)));
        self.held = interval.held;
        self.last = Some(interval.clone());
        self.show();
    }

    /// Erases the block.
    pub(super) fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// The block as it was at the end of the measured part, to be left on the terminal.
    pub(super) fn final_lines(&self) -> Option<Vec<String>> {
        let last = self.last.as_ref()?;
        let mut lines = vec![line(
            "measured",
            &format!("{:.1} s, {}", last.at, self.counts()),
        )];
        lines.extend(self.sparklines());
        Some(lines)
    }

    /// Begins a stage, unless it has begun.
    fn begin(&mut self, stage: Stage, length: u64) {
        let is_drawn = |drawn: Stage| drawn == stage || !has_bar(drawn) && !has_bar(stage);
        if self.bar.as_ref().is_some_and(|(drawn, _)| is_drawn(*drawn)) {
            return;
        }
        self.clear();
        self.bar = bar(stage, length, self.has_sparklines).map(|bar| (stage, bar));
    }

    fn show(&self) {
        if let (Some((drawn, bar)), Some((stage, left))) = (&self.bar, self.shown)
            && !has_bar(*drawn)
        {
            let (name, what) = description(stage, left);
            let mut lines = vec![line(name, &format!("{what}{}", self.counts()))];
            lines.extend(self.sparklines());
            bar.set_message(lines.join("\n"));
        }
    }

    fn counts(&self) -> String {
        let lost = self.last.as_ref().map_or(0, |last| last.lost);
        format!("{} held, {} lost", grouped(self.held), grouped(lost))
    }

    fn sparklines(&self) -> Vec<String> {
        let (Some((rate, p99)), true) = (self.seconds.back(), self.shows_echoes) else {
            return Vec::new();
        };
        let drawn = |values: &dyn Fn(&(f64, f64)) -> f64| {
            if self.has_sparklines {
                bars(self.seconds.iter().map(values)) + "  "
            } else {
                String::new()
            }
        };
        let rates = drawn(&|(rate, _)| *rate);
        let times = drawn(&|(_, p99)| *p99);
        let p99 = if *rate > 0.0 {
            time(*p99)
        } else {
            "-".to_owned()
        };
        vec![
            line(
                "rate",
                &format!("{rates}{} per second", grouped(whole(*rate))),
            ),
            line("p99", &format!("{times}{p99}")),
        ]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(name: &str, text: &str) -> String {
    format!("{name:<NAMES$}{text}")
}

/// Whole seconds, rounded up.
fn seconds_of(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

fn description(stage: Stage, left: u64) -> (&'static str, String) {
    match stage {
        Stage::Waiting => ("waiting", format!("starts in {left} s, ")),
        Stage::Warmup => ("warm-up", format!("{left} s left, ")),
        Stage::Measuring => ("measuring", format!("{left} s left, ")),
        _ => ("draining", String::new()),
    }
}

/// Whether a stage has an end that is a number of connections, and so a bar.
fn has_bar(stage: Stage) -> bool {
    matches!(stage, Stage::Connecting | Stage::Probing)
}

fn bar(stage: Stage, length: u64, has_unicode: bool) -> Option<ProgressBar> {
    let (template, what) = match stage {
        Stage::Connecting => (BAR, "opening"),
        Stage::Probing => (BAR, "probing"),
        _ => ("{msg}", ""),
    };
    let rows = Box::new(Rows::default());
    let target = ProgressDrawTarget::term_like_with_hz(rows, REDRAWS);
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style = ProgressStyle::with_template(template).ok()?;
    let style = style.progress_chars(if has_unicode { "█░" } else { "#-" });
    let bar = bar.with_finish(ProgressFinish::AndClear);
    Some(bar.with_style(style).with_message(what))
}

const BAR: &str = "{msg} {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left";

/// A terminal in memory on which indicatif draws; each of its drawings becomes the block of lines of
/// [`logging::set_block`].
#[derive(Debug, Default)]
struct Rows(Mutex<Drawing>);

#[derive(Debug, Default)]
struct Drawing {
    columns: usize,
    text: String,
}

impl Drawing {
    /// The lines, each without the spaces that pad it, and short enough that a `^C` fits behind it.
    fn lines(&self) -> Vec<String> {
        let letters: Vec<char> = self.text.chars().collect();
        let rows = letters.chunks(self.columns.max(1));
        rows.map(|row| row.iter().collect::<String>().trim_end().to_owned())
            .collect()
    }
}

/// The width of a block on a terminal of this width.
fn block_width(terminal: Option<usize>) -> usize {
    let columns = terminal.map_or(WIDTH, |columns| columns.min(WIDTH));
    columns.saturating_sub("^C".len()).max(1)
}

impl TermLike for Rows {
    fn width(&self) -> u16 {
        let columns = block_width(logging::stderr_width());
        if let Ok(mut drawing) = self.0.lock() {
            drawing.columns = columns;
        }
        u16::try_from(columns).unwrap_or(u16::MAX)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if let Ok(mut drawing) = self.0.lock() {
            drawing.text.push_str(text);
        }
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn flush(&self) -> io::Result<()> {
        if let Ok(mut drawing) = self.0.lock() {
            logging::set_block(drawing.lines());
            drawing.text.clear();
        }
        Ok(())
    }

    // The whole block is replaced, so the cursor needs no movement.

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(at: f64, echoes: u64) -> Interval {
        Interval {
            at,
            echoes,
            p99_us: 67,
            held: 10_050,
            lost: 3,
            ..Interval::default()
        }
    }

    #[test]
    fn final_lines_have_counts_and_the_last_seconds() {
        let mut block = Block::new(true, true);
        assert_eq!(block.final_lines(), None);
        block.on_interval(&interval(1.0, 20_000));
        block.on_interval(&interval(1.5, 5_000));
        let expected = [
            "measured        1.5 s, 10,050 held, 3 lost",
            "rate            █▄  10,000 per second",
            "p99             ██  67 us",
        ];
        assert_eq!(block.final_lines().unwrap(), expected);
        block.shows_echoes = false;
        assert_eq!(block.final_lines().unwrap(), expected[..1]);
    }

    #[test]
    fn drawing_is_cut_into_lines_without_padding() {
        let rows = Rows::default();
        let columns = usize::from(rows.width());
        for line in ["a", "", "b c"] {
            rows.write_str(&format!("{line:<columns$}")).unwrap();
        }
        assert_eq!(rows.0.lock().unwrap().lines(), ["a", "", "b c"]);
        assert_eq!(block_width(Some(40)), 38);
        assert_eq!(block_width(Some(200)), 78);
        assert_eq!(block_width(None), 78);
    }

    #[test]
    fn long_runs_and_large_figures_fit_80_columns() {
        let mut block = Block::new(true, true);
        for second in 1..=3600 {
            block.on_interval(&Interval {
                p99_us: 59_999_999,
                held: 4_194_303,
                lost: 4_194_303,
                ..interval(f64::from(second), 99_999_999)
            });
        }
        for line in block.final_lines().unwrap() {
            assert!(line.chars().count() <= block_width(Some(80)), "{line}");
        }
    }
}
