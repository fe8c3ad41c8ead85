//! The report of a bench: one line per figure, with its bar if it has one.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

/// Prints each figure when it is measured, and collects the missed bars.
pub(crate) struct Report {
    pub(crate) quick: bool,
    part: &'static str,
    missed: Vec<String>,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Report {
        Report {
            quick,
            part: "",
            missed: Vec::new(),
        }
    }

    /// Begins a part.
    pub(crate) fn part(&mut self, name: &'static str, what: &str) {
        self.part = name;
        println!("\n{name}: {what}");
        println!("  {:<46} {:>16}   bar", "", "measured");
    }

    /// A figure without a bar.
    #[expect(
        clippy::unused_self,
        reason = "all figures are reported in the same way"
    )]
    pub(crate) fn figure(&self, name: &str, value: impl Display) {
        println!("  {name:<46} {value:>16}");
    }

    /// A figure with a bar that always counts.
    pub(crate) fn bar(&mut self, name: &str, value: impl Display, bar: &str, met: bool) {
        let verdict = if met { "" } else { "   MISSED" };
        println!("  {name:<46} {value:>16}   {bar}{verdict}");
        if !met {
            self.missed
                .push(format!("{}: {name}: {value} ({bar})", self.part));
        }
    }

    /// A figure with a bar on a time, which does not count in a quick run.
    pub(crate) fn time_bar(&mut self, name: &str, value: impl Display, bar: &str, met: bool) {
        if met || !self.quick {
            self.bar(name, value, bar, met);
        } else {
            println!("  {name:<46} {value:>16}   {bar}   missed (does not count in --quick)");
        }
    }

    /// Prints the missed bars, and returns the exit code of the bench.
    pub(crate) fn verdict(&self) -> ExitCode {
        if self.missed.is_empty() {
            println!("\nall bars are met");
            return ExitCode::SUCCESS;
        }
        println!("\nmissed:");
        for missed in &self.missed {
            println!("  {missed}");
        }
        ExitCode::FAILURE
    }
}

/// Latencies or delays, and their quantiles.
pub(crate) struct Distribution {
    sorted: Vec<Duration>,
}

impl Distribution {
    pub(crate) fn new(mut samples: Vec<Duration>) -> Distribution {
        samples.sort_unstable();
        Distribution { sorted: samples }
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest sample that at least `per_mille` of all samples do not exceed; zero if there are none.
    pub(crate) fn quantile(&self, per_mille: usize) -> Duration {
        let rank = (self.sorted.len() * per_mille).div_ceil(1000).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn p50(&self) -> Duration {
        self.quantile(500)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.quantile(990)
    }

    pub(crate) fn least(&self) -> Duration {
        self.sorted.first().copied().unwrap_or_default()
    }

    pub(crate) fn most(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }
}

/// A duration, formatted in milliseconds.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// A size or a difference of sizes, formatted in MiB.
pub(crate) fn mib(bytes: i64) -> String {
    format!("{:.2} MiB", as_f64(bytes) / 1024.0 / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn as_f64(count: i64) -> f64 {
    count as f64
}

/// The median of ratios; NaN if there are none.
pub(crate) fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}
