//! The letters of SVG: numbers, paths, text. What is not a number is never written.

use crate::report::units::finite;
use std::fmt;

/// Text between tags, or in an attribute with double quotes, of HTML and of SVG in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Escaped<'a>(pub(in crate::report) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Also what turns the direction of writing, and could make a name look like another.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_str("\u{fffd}")?,
                '\n' => f.write_str("\n")?,
                _ if character.is_control() => f.write_str("\u{fffd}")?,
                _ => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

/// A coordinate, to a tenth of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct At(pub(super) f64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (finite(self.0) * 10.0).round();
        // Without a sign before zero.
        let tenths = if tenths == 0.0 { 0.0 } else { tenths };
        if tenths % 10.0 == 0.0 {
            write!(f, "{:.0}", tenths / 10.0)
        } else {
            write!(f, "{:.1}", tenths / 10.0)
        }
    }
}

/// Lines through points, interrupted where there is none.
pub(super) fn path(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    use fmt::Write;
    let mut path = String::new();
    let mut is_down = false;
    for point in points {
        if let Some((x, y)) = point {
            let letter = if is_down { 'L' } else { 'M' };
            let _ = write!(path, "{letter}{} {}", At(x), At(y));
        }
        is_down = point.is_some();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_html_is_written_as_text() {
        let text = Escaped("<script>\"&'\u{0}\u{202e}").to_string();
        assert_eq!(text, "&lt;script&gt;&quot;&amp;&#39;\u{fffd}\u{fffd}");
    }

    #[test]
    fn coordinates_are_short_and_always_numbers() {
        for (value, written) in [
            (1.0, "1"),
            (1.25, "1.3"),
            (-0.01, "0"),
            (f64::NAN, "0"),
            (f64::NEG_INFINITY, "0"),
        ] {
            assert_eq!(At(value).to_string(), written);
        }
    }

    #[test]
    fn a_missing_point_interrupts_the_line() {
        let points = [Some((0.0, 1.0)), Some((2.0, 3.0)), None, Some((4.0, 5.0))];
        assert_eq!(path(points.into_iter()), "M0 1L2 3M4 5");
        assert_eq!(path(std::iter::empty()), "");
    }
}
