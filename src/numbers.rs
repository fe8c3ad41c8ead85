//! Numbers for display: thousands separators, percentages and conversions.

/// Formats a number with thousands separators: `1,048,576`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `part` as a percentage of `whole`; 0 if `whole` is 0.
#[must_use]
pub fn percent(part: u64, whole: u64) -> f64 {
    100.0 * as_f64(part) / as_f64(whole.max(1))
}

/// Rounds to the nearest whole number; 0 for negative numbers and NaN.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates"
)]
pub fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// Converts a count to a float; exact up to 2^53.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_of_a_whole_and_of_zero() {
        assert!((percent(1, 3) - 33.333).abs() < 0.001);
        assert!(percent(0, 0).abs() < f64::EPSILON);
    }

    #[test]
    fn groups_of_three_digits_are_separated_by_commas() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }
}
