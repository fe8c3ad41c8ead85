//! SVG coordinates and paths; a value that is not finite is never written.

use crate::report::units::finite;
use std::fmt::{self, Write};

/// A coordinate, rounded to a tenth of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct At(pub(super) f64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding zero turns -0 into 0.
        let tenths = (finite(self.0) * 10.0).round() + 0.0;
        let digits = usize::from(tenths % 10.0 != 0.0);
        write!(f, "{:.digits$}", tenths / 10.0)
    }
}

/// The `d` attribute of lines through the points, interrupted at each `None`.
pub(super) fn path(points: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let mut command = 'M';
    for point in points {
        if let Some((x, y)) = point {
            let _ = write!(path, "{command}{} {}", At(*x), At(*y));
        }
        command = if point.is_some() { 'L' } else { 'M' };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_finite() {
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
    fn missing_point_interrupts_the_line() {
        let points = [Some((0.0, 1.0)), Some((2.0, 3.0)), None, Some((4.0, 5.0))];
        assert_eq!(path(&points), "M0 1L2 3M4 5");
        assert_eq!(path(&[]), "");
    }
}
