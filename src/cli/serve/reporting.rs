//! What `serve` reports about itself: the form of its log, its counters, and slow iterations.

use crate::admin::label;
use crate::cli::units;
use crate::cli::value::by;
use crate::connection::CloseReason;
use crate::logging::Format;
use crate::net::{MioNet, Source};
use crate::server::{Figures, Refusal};
use crate::upgrade::AnyServer;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct ReportFlags {
    /// Write log lines as text, or as JSON objects with the keys time, level and message
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    pub(super) log_format: Format,

    /// Log connections and rates every D [default: never]
    #[arg(long, value_name = "D", value_parser = by(units::positive_duration))]
    stats_interval: Option<Duration>,

    /// Log a warning when an iteration of the event loop takes longer than D [default: never]
    #[arg(long, value_name = "D", value_parser = by(units::positive_duration))]
    pub(super) slow_iteration: Option<Duration>,
}

impl ReportFlags {
    /// The reports of this server from now on.
    pub(super) fn start(&self, server: &mut dyn AnyServer) -> io::Result<Reports> {
        let timer = self
            .stats_interval
            .map(|interval| Timer::start(server.net(), interval));
        Ok(Reports {
            timer: timer.transpose()?,
            // After an upgrade, the counters are not zero.
            last: Totals::of(&server.figures()),
        })
    }
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Format] {
        &[Format::Text, Format::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Format::Text => "text",
            Format::Json => "json",
        }))
    }
}

/// The counters of a server, in its log.
#[derive(Debug)]
pub(super) struct Reports {
    timer: Option<Timer>,
    last: Totals,
}

/// The figures from which rates are computed.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    opened: u64,
    closed: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Reports {
    /// Logs the rates if the interval has passed.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is shown with one decimal"
    )]
    pub(super) fn on_timer(&mut self, server: &dyn AnyServer) {
        let Some(timer) = &self.timer else { return };
        let Some(intervals) = timer.passed() else {
            return;
        };
        let figures = server.figures();
        let seconds = timer.interval.as_secs_f64() * intervals as f64;
        let totals = Totals::of(&figures);
        log::info!("{}", rates(&figures, totals, self.last, seconds));
        self.last = totals;
    }
}

/// Logs the counters, for SIGUSR1.
pub(super) fn log_counters(server: &dyn AnyServer) {
    log::info!("{}", counters(&server.figures()));
}

impl Totals {
    fn of(figures: &Figures) -> Totals {
        Totals {
            opened: figures.counters.opened,
            closed: figures.counters.closed_in_all(),
            bytes_in: figures.bytes_in,
            bytes_out: figures.bytes_out,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with one decimal"
)]
fn rates(figures: &Figures, now: Totals, before: Totals, seconds: f64) -> String {
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    format!(
        "statistics: connections={} opened_per_s={:.1} closed_per_s={:.1} bytes_in_per_s={:.0} bytes_out_per_s={:.0} \
         buffered={}",
        figures.live,
        rate(now.opened, before.opened),
        rate(now.closed, before.closed),
        rate(now.bytes_in, before.bytes_in),
        rate(now.bytes_out, before.bytes_out),
        figures.buffered,
    )
}

/// All counters in one line.
fn counters(figures: &Figures) -> String {
    let counters = &figures.counters;
    let closed = CloseReason::ALL.map(|reason| (label(reason), counters.closed_for(reason)));
    let refused = Refusal::ALL.map(|refusal| (label(refusal), counters.refused_for(refusal)));
    format!(
        "counters: connections={} max_connections={} opened={} closed={}{} refused={}{} accept_failed={} \
         accept_paused={} accept_limited={} bytes_in={} bytes_out={} buffered={} most_buffered={} evicted={}",
        figures.live,
        figures.max_connections,
        counters.opened,
        counters.closed_in_all(),
        parts(&closed),
        counters.refused_in_all(),
        parts(&refused),
        counters.accept_failed,
        counters.accept_paused,
        counters.accept_limited,
        figures.bytes_in,
        figures.bytes_out,
        figures.buffered,
        figures.most_buffered,
        figures.evicted,
    )
}

/// The parts of a sum that are not zero, in parentheses.
fn parts(counts: &[(String, u64)]) -> String {
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let parts: Vec<_> = counts
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!(" ({})", parts.join(" "))
}

/// A timer that makes the event loop return to the program.
#[derive(Debug)]
struct Timer {
    fd: OwnedFd,
    interval: Duration,
}

impl Timer {
    fn start(net: &mut MioNet, interval: Duration) -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let time = interval.try_into().map_err(io::Error::other)?;
        let each = Itimerspec {
            it_interval: time,
            it_value: time,
        };
        timerfd_settime(&fd, TimerfdTimerFlags::empty(), &each)?;
        net.watch_fd(&fd, Source::PROGRAM, false)?;
        Ok(Timer { fd, interval })
    }

    /// How many intervals have passed since the last call, if at least one.
    fn passed(&self) -> Option<u64> {
        let mut count = [0; 8];
        rustix::io::read(&self.fd, &mut count).ok()?;
        Some(u64::from_ne_bytes(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures {
            live: 3,
            max_connections: 100,
            ..Figures::default()
        };
        figures.counters.opened = 10;
        figures.counters.closed[CloseReason::PeerClosed as usize] = 5;
        figures.counters.closed[CloseReason::TooSlow as usize] = 2;
        figures.counters.refused[Refusal::Denied as usize] = 4;
        (figures.bytes_in, figures.bytes_out) = (3000, 1000);
        figures.buffered = 7;
        figures
    }

    #[test]
    fn counters_have_the_parts_that_are_not_zero() {
        let expected = "counters: connections=3 max_connections=100 opened=10 closed=7 (peer_closed=5 too_slow=2) \
                        refused=4 (denied=4) accept_failed=0 accept_paused=0 accept_limited=0 bytes_in=3000 \
                        bytes_out=1000 buffered=7 most_buffered=0 evicted=0";
        assert_eq!(counters(&figures()), expected);
    }

    #[test]
    fn rates_are_those_since_the_last_line() {
        let figures = figures();
        let before = Totals {
            opened: 5,
            closed: 7,
            bytes_in: 1000,
            bytes_out: 0,
        };
        let text = rates(&figures, Totals::of(&figures), before, 2.0);
        let expected = "statistics: connections=3 opened_per_s=2.5 closed_per_s=0.0 bytes_in_per_s=1000 \
                        bytes_out_per_s=500 buffered=7";
        assert_eq!(text, expected);
    }
}
