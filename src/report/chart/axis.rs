//! Chart axes: the scale from values to positions, and ticks at round numbers.

use crate::report::units::{self, as_f64, finite, whole};

/// How values map to positions on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
    /// Percentiles by their number of nines: 90, 99 and 99.9 are at equal distances.
    Nines,
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Nines => units::nines(value),
        }
    }
}

/// A labelled value on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

impl Tick {
    fn new(value: f64, label: String) -> Tick {
        Tick { value, label }
    }
}

/// An axis from `low` to `high`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    pub(super) ticks: Vec<Tick>,
    /// The quantity and its unit.
    pub(super) title: &'static str,
}

/// The largest number of ticks that fit on an axis.
const MAX_TICKS: f64 = 6.0;

/// The largest value of a linear axis: a saved result may contain any number.
const MAX_COUNT: f64 = 1e18;

/// The largest time on an axis, in microseconds: above the range of the histograms.
const MAX_US: f64 = 1e8;

/// Tick distances of a time axis, in seconds.
const SECONDS: [f64; 19] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
    3600.0, 7200.0, 21_600.0, 86_400.0,
];

impl Axis {
    /// Counts from zero to the next round number from `max` on.
    pub(crate) fn counts(title: &'static str, max: f64) -> Axis {
        let max = finite(max).clamp(1.0, MAX_COUNT);
        let step = round_step(max / (MAX_TICKS - 1.0)).max(1.0);
        let steps = (max / step).ceil();
        let high = steps * step;
        let values = (0..=whole(steps)).map(|index| as_f64(index) * step);
        let ticks = values.map(|value| Tick::new(value, units::short_beside(value, high)));
        Axis::new(Scale::Linear, title, (0.0, high), ticks.collect())
    }

    /// Seconds from zero to `max`.
    pub(crate) fn seconds(title: &'static str, max: f64) -> Axis {
        let max = finite(max).clamp(0.1, MAX_COUNT);
        // Labels in minutes and above are longer.
        let steps = |step: f64| MAX_TICKS - if step < 60.0 { 0.0 } else { 1.0 };
        let fitting = SECONDS.iter().find(|step| max / **step <= steps(**step));
        let longest = round_step(max / 86_400.0 / (MAX_TICKS - 1.0)) * 86_400.0;
        let step = fitting.copied().unwrap_or(longest);
        let values = (0..=whole((max / step).floor())).map(|index| as_f64(index) * step);
        let ticks = values.map(|value| Tick::new(value, clock(value, step)));
        Axis::new(Scale::Linear, title, (0.0, max), ticks.collect())
    }

    /// Times in microseconds on a log scale, extended to full powers of ten.
    pub(crate) fn times(title: &'static str, min: f64, max: f64) -> Axis {
        let min = finite(min).clamp(1.0, MAX_US);
        let max = finite(max).clamp(min, MAX_US);
        let low = min.log10().floor();
        let high = max.log10().ceil().max(low + 1.0);
        let factors: &[f64] = match whole(high - low) {
            0 | 1 => &[1.0, 2.0, 5.0],
            2 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let mut ticks = Vec::new();
        for power in 0..=whole(high - low) {
            let values = factors
                .iter()
                .map(|factor| factor * 10_f64.powf(low + as_f64(power)));
            let values = values.filter(|value| value.log10() <= high + 1e-9);
            ticks.extend(values.map(|value| Tick::new(value, units::time(value))));
        }
        let range = (10_f64.powf(low), 10_f64.powf(high));
        Axis::new(Scale::Log, title, range, ticks)
    }

    /// Values on a log scale with a tick at each power of ten from 10^`low` to 10^`high`. The axis continues for `room`
    /// decades, where labels have room.
    #[cfg(feature = "lab")]
    pub(crate) fn powers(
        title: &'static str,
        (low, high): (i32, i32),
        room: f64,
        label: impl Fn(f64) -> String,
    ) -> Axis {
        let (low, high) = (low.clamp(-9, 17), high.clamp(low.clamp(-9, 17) + 1, 18));
        let values = (low..=high).map(|power| 10_f64.powi(power));
        let ticks = values.map(|value| Tick::new(value, label(value)));
        let range = (
            10_f64.powi(low),
            10_f64.powf(f64::from(high) + finite(room).clamp(0.0, 9.0)),
        );
        Axis::new(Scale::Log, title, range, ticks.collect())
    }

    /// Percentiles of `count` values, up to the last one that `count` values can resolve.
    pub(crate) fn percentiles(title: &'static str, count: u64) -> Axis {
        let nines = as_f64(count.max(10)).log10().min(5.0);
        let high = 100.0 - 100.0 / 10_f64.powf(nines);
        let all = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
        // 0 and 50 are a third of a decade apart: on an axis of more than three decades their labels would overlap.
        let fits = |percent: f64| nines <= 3.0 || (percent - 50.0).abs() > 1e-9;
        let shown = all.into_iter().filter(|percent| *percent <= high + 1e-9);
        let shown = shown.filter(|percent| fits(*percent));
        let ticks = shown.map(|value| Tick::new(value, value.to_string()));
        Axis::new(Scale::Nines, title, (0.0, high), ticks.collect())
    }

    fn new(scale: Scale, title: &'static str, (low, high): (f64, f64), ticks: Vec<Tick>) -> Axis {
        Axis {
            scale,
            low,
            high,
            ticks,
            title,
        }
    }

    /// The position of a value, from 0 (lowest) to 1 (highest); values outside the range are clamped.
    pub(super) fn position(&self, value: f64) -> f64 {
        let (low, high) = (self.scale.of(self.low), self.scale.of(self.high));
        finite((self.scale.of(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The lowest and the highest value.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let mut steps = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter();
    steps
        .find(|round| *round >= step * (1.0 - 1e-9))
        .unwrap_or(step)
}

/// Formats seconds in the unit that suits the distance between ticks.
fn clock(value: f64, step: f64) -> String {
    let (unit, length) = match step {
        86_400.0.. => ("d", 86_400.0),
        3600.0.. => ("h", 3600.0),
        60.0.. => ("min", 60.0),
        _ => return units::seconds(value),
    };
    format!("{} {unit}", units::short(value / length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_at_round_numbers() {
        assert_eq!(labels(&Axis::counts("", 0.0)), ["0", "1"]);
        assert_eq!(
            labels(&Axis::counts("", 2050.0)),
            ["0", "500", "1,000", "1,500", "2,000", "2,500"]
        );
        assert_eq!(
            labels(&Axis::counts("", 76_432.0)),
            ["0", "20k", "40k", "60k", "80k"]
        );
        assert_eq!(
            labels(&Axis::counts("", 15_000.0)),
            ["0", "5k", "10k", "15k"]
        );
        assert_eq!(
            labels(&Axis::seconds("", 12.0)),
            ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s", "12 s"]
        );
        assert_eq!(
            labels(&Axis::seconds("", 3600.0)),
            ["0 min", "15 min", "30 min", "45 min", "60 min"]
        );
        assert_eq!(
            labels(&Axis::times("", 78.0, 658_943.0)),
            ["10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s"]
        );
        assert_eq!(
            labels(&Axis::times("", 120.0, 700.0)),
            ["100 us", "200 us", "500 us", "1 ms"]
        );
        assert_eq!(
            labels(&Axis::percentiles("", 20_000)),
            ["0", "90", "99", "99.9", "99.99"]
        );
        assert_eq!(labels(&Axis::percentiles("", 1)), ["0", "50", "90"]);
    }

    #[test]
    fn nines_are_at_equal_distances() {
        let axis = Axis::percentiles("", 1000);
        let positions = [0.0, 90.0, 99.0, 99.9].map(|percent| axis.position(percent));
        for (index, position) in positions.into_iter().enumerate() {
            let expected = as_f64(index as u64) / 3.0;
            assert!((position - expected).abs() < 1e-6, "{positions:?}");
        }
        assert!(axis.position(100.0) >= 1.0);
    }

    proptest! {
        #[test]
        fn positions_of_any_value_are_within_the_axis(max in any::<f64>(), min in any::<f64>(), value in any::<f64>(), count in any::<u64>()) {
            let axes = [
                Axis::counts("", max),
                Axis::seconds("", max),
                Axis::times("", min, max),
                Axis::percentiles("", count),
            ];
            for axis in axes {
                prop_assert!((0.0..=1.0).contains(&axis.position(value)), "{axis:?}");
                prop_assert!((1..=9).contains(&axis.ticks.len()), "{axis:?}");
                let mut last = -1.0;
                for tick in &axis.ticks {
                    let position = axis.position(tick.value);
                    prop_assert!(position > last, "{axis:?}");
                    last = position;
                }
            }
        }

        #[test]
        fn larger_values_have_larger_positions(a in 0.0..1e7_f64, b in 0.0..1e7_f64) {
            let (smaller, larger) = (a.min(b), a.max(b));
            for axis in [Axis::counts("", 1e7), Axis::times("", 1.0, 1e7)] {
                prop_assert!(axis.position(smaller) <= axis.position(larger));
            }
        }
    }
}
