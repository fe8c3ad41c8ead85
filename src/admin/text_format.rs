//! The text format 0.0.4 of Prometheus (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use crate::histogram::Histogram;
use std::fmt::{Display, Write};

/// The text of a scrape. Writing to a string does not fail.
pub(super) struct Text(String);

/// The samples of one metric.
pub(super) struct Family<'t> {
    text: &'t mut String,
    name: &'static str,
}

impl Text {
    pub(super) fn new() -> Text {
        Text(String::with_capacity(16 * 1024))
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Begins a metric; its samples follow.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let text = &mut self.0;
        // Of a help text, `\` and line feeds are escaped; these have neither.
        debug_assert!(!help.contains(['\\', '\n']));
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text, name }
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, "counter", help).sample("", &[], value);
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, "gauge", help).sample("", &[], value);
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (index, (label, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    pub(super) fn labelled(&mut self, label: &str, value: &str, count: impl Display) {
        self.sample("", &[(label, value)], count);
    }

    /// The samples of a histogram; `unit` converts its values.
    pub(super) fn histogram(
        &mut self,
        histogram: &Histogram,
        bounds: (u32, u32),
        unit: fn(u64) -> String,
    ) {
        for (bound, count) in histogram.cumulative(bounds.0, bounds.1) {
            self.sample("_bucket", &[("le", &unit(bound))], count);
        }
        let count = histogram.count();
        self.sample("_bucket", &[("le", "+Inf")], count);
        self.sample("_sum", &[], unit(histogram.sum()));
        self.sample("_count", &[], count);
    }
}

/// The value of a label with `\`, `"` and line feeds escaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::new();
        let mut family = text.family("a_total", "counter", "Some help.");
        family.sample("", &[("b", "a \"quoted\" \\ name\n<b>"), ("c", "d")], 7);
        assert_eq!(
            text.into_string(),
            "# HELP a_total Some help.\n# TYPE a_total counter\n\
             a_total{b=\"a \\\"quoted\\\" \\\\ name\\n<b>\",c=\"d\"} 7\n"
        );
    }

    #[test]
    fn histogram_ends_with_its_sum_and_count() {
        let mut text = Text::new();
        let mut histogram = Histogram::default();
        histogram.record(2);
        histogram.record(9);
        let mut family = text.family("a", "histogram", "Some help.");
        family.histogram(&histogram, (1, 2), |value| value.to_string());
        let text = text.into_string();
        let samples: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                "a_bucket{le=\"2\"} 1",
                "a_bucket{le=\"4\"} 1",
                "a_bucket{le=\"+Inf\"} 2",
                "a_sum 11",
                "a_count 2"
            ]
        );
    }
}
