//! An axis: from a value to a place along it, and the round numbers that are written beside it.

use crate::report::units::{self, finite};

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
    /// Per cent, by the number of nines: 90, 99 and 99.9 are equally far apart.
    Nines,
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Nines => -((100.0 - value).max(1e-9) / 100.0).log10(),
        }
    }
}

/// A round number, and how it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Tick {
    pub(in crate::report) value: f64,
    pub(in crate::report) label: String,
}

/// An axis, from its lowest to its highest value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<Tick>,
    title: String,
}

/// The most ticks that have room on an axis.
const MOST_TICKS: f64 = 6.0;

/// The most that an axis goes to, whatever a file says.
const MOST_COUNT: f64 = 1e18;

/// The longest time that an axis goes to, in microseconds: more than histograms tell apart.
const LONGEST_US: f64 = 1e8;

/// Steps of seconds that people count in.
const SECONDS: [f64; 19] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
    3600.0, 7200.0, 21_600.0, 86_400.0,
];

impl Axis {
    /// Counts from zero to a round number that is not below `most`.
    pub(in crate::report) fn counts(title: &str, most: f64) -> Axis {
        let most = finite(most).clamp(1.0, MOST_COUNT);
        let step = round_step(most / (MOST_TICKS - 1.0)).max(1.0);
        let steps = (most / step).ceil();
        let values = (0..=units::whole(steps)).map(|index| units::as_f64(index) * step);
        let ticks = values.map(|value| Tick {
            value,
            label: units::short_beside(value, steps * step),
        });
        Axis::new(Scale::Linear, title, 0.0, steps * step, ticks.collect())
    }

    /// Seconds since a beginning.
    pub(in crate::report) fn seconds(title: &str, most: f64) -> Axis {
        let most = finite(most).clamp(0.1, MOST_COUNT);
        // Minutes and what is longer than they have longer labels.
        let steps = |step: f64| MOST_TICKS - if step < 60.0 { 0.0 } else { 1.0 };
        let fitting = SECONDS.iter().find(|step| most / **step <= steps(**step));
        let longest = round_step(most / 86_400.0 / (MOST_TICKS - 1.0)) * 86_400.0;
        let step = fitting.copied().unwrap_or(longest);
        let count = units::whole((most / step).floor());
        let ticks = (0..=count).map(|index| {
            let value = units::as_f64(index) * step;
            let label = clock(value, step);
            Tick { value, label }
        });
        Axis::new(Scale::Linear, title, 0.0, most, ticks.collect())
    }

    /// Times in microseconds, by powers of ten.
    pub(in crate::report) fn times(title: &str, least: f64, most: f64) -> Axis {
        let least = finite(least).clamp(1.0, LONGEST_US);
        let most = finite(most).clamp(least, LONGEST_US);
        let low = least.log10().floor();
        let high = most.log10().ceil().max(low + 1.0);
        let within: &[f64] = match units::whole(high - low) {
            0 | 1 => &[1.0, 2.0, 5.0],
            2 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let mut ticks = Vec::new();
        for power in 0..=units::whole(high - low) {
            for factor in within {
                let value = 10_f64.powf(low + units::as_f64(power)) * factor;
                if value.log10() <= high + 1e-9 {
                    let label = units::time(value);
                    ticks.push(Tick { value, label });
                }
            }
        }
        Axis::new(
            Scale::Log,
            title,
            10_f64.powf(low),
            10_f64.powf(high),
            ticks,
        )
    }

    /// Per cent of `count` values: as many nines as they can tell apart.
    pub(in crate::report) fn percentiles(title: &str, count: u64) -> Axis {
        let nines = units::as_f64(count.max(10)).log10().min(5.0);
        let high = 100.0 - 100.0 / 10_f64.powf(nines);
        let all = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
        let shown = all.into_iter().filter(|percent| *percent <= high + 1e-9);
        // The first half of the values takes a third of a decade, in which two labels have no room if decades are many.
        let shown = shown.filter(|percent| nines <= 3.0 || *percent > 50.0 || *percent < 50.0);
        let ticks = shown.map(|value| Tick {
            value,
            label: value.to_string(),
        });
        Axis::new(Scale::Nines, title, 0.0, high, ticks.collect())
    }

    fn new(scale: Scale, title: &str, low: f64, high: f64, ticks: Vec<Tick>) -> Axis {
        let title = title.to_owned();
        Axis {
            scale,
            low,
            high,
            ticks,
            title,
        }
    }

    /// Where a value is, from 0 at the lowest to 1 at the highest; what lies beyond is at the end.
    pub(in crate::report) fn place(&self, value: f64) -> f64 {
        let (low, high) = (self.scale.of(self.low), self.scale.of(self.high));
        let place = (self.scale.of(value) - low) / (high - low);
        finite(place).clamp(0.0, 1.0)
    }

    /// The lowest and the highest value.
    pub(in crate::report) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// What is written beside it, from the lowest.
    pub(in crate::report) fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    /// What it shows, and in what unit.
    pub(in crate::report) fn title(&self) -> &str {
        &self.title
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let mut steps = factors.map(|factor| factor * power);
    steps
        .find(|round| *round >= step * (1.0 - 1e-9))
        .unwrap_or(step)
}

/// Seconds in the unit that a step has.
fn clock(value: f64, step: f64) -> String {
    match step {
        86_400.0.. => format!("{} d", units::short(value / 86_400.0)),
        3600.0.. => format!("{} h", units::short(value / 3600.0)),
        60.0.. => format!("{} min", units::short(value / 60.0)),
        _ => units::seconds(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks()
            .iter()
            .map(|tick| tick.label.as_str())
            .collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
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
            ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"]
        );
        assert_eq!(
            labels(&Axis::times("", 120.0, 700.0)),
            ["100 µs", "200 µs", "500 µs", "1 ms"]
        );
        assert_eq!(
            labels(&Axis::percentiles("", 20_000)),
            ["0", "90", "99", "99.9", "99.99"]
        );
        assert_eq!(labels(&Axis::percentiles("", 1)), ["0", "50", "90"]);
    }

    #[test]
    fn nines_are_equally_far_apart() {
        let axis = Axis::percentiles("", 1000);
        let places = [0.0, 90.0, 99.0, 99.9].map(|percent| axis.place(percent));
        for (index, place) in places.into_iter().enumerate() {
            let expected = units::as_f64(index as u64) / 3.0;
            assert!((place - expected).abs() < 1e-6, "{places:?}");
        }
        assert!(axis.place(100.0) >= 1.0);
    }

    proptest! {
        #[test]
        fn places_are_within_the_axis_whatever_is_asked(most in any::<f64>(), least in any::<f64>(), value in any::<f64>(), count in any::<u64>()) {
            let axes = [
                Axis::counts("", most),
                Axis::seconds("", most),
                Axis::times("", least, most),
                Axis::percentiles("", count),
            ];
            for axis in axes {
                prop_assert!((0.0..=1.0).contains(&axis.place(value)), "{axis:?}");
                prop_assert!((1..=9).contains(&axis.ticks().len()), "{axis:?}");
                let mut last = -1.0;
                for tick in axis.ticks() {
                    let place = axis.place(tick.value);
                    prop_assert!(place > last, "{axis:?}");
                    last = place;
                }
            }
        }

        #[test]
        fn larger_values_lie_further_on(one in 0.0..1e7_f64, other in 0.0..1e7_f64) {
            let (less, more) = (one.min(other), one.max(other));
            for axis in [Axis::counts("", 1e7), Axis::times("", 1.0, 1e7)] {
                prop_assert!(axis.place(less) <= axis.place(more));
            }
        }
    }
}
