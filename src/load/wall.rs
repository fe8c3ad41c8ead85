//! Times of day, as they are written: RFC 3339, in UTC.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

const DAY: u64 = 86_400;

/// A time of day: how long it is since 1970 began, in UTC and without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub Duration);

impl WallTime {
    /// How long it is from `earlier` to here; zero when that lies ahead.
    #[must_use]
    pub fn since(self, earlier: WallTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for WallTime {
    type Output = WallTime;

    fn add(self, duration: Duration) -> WallTime {
        WallTime(self.0.saturating_add(duration))
    }
}

/// With milliseconds, as in `2026-11-20T12:35:42.125Z`.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = date(seconds / DAY);
        let (hour, minute) = (seconds % DAY / 3600, seconds % 3600 / 60);
        let (second, milliseconds) = (seconds % 60, self.0.subsec_millis());
        // Each line of a log begins with it: digit by digit this takes a tenth of what padded numbers take.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0..4, year.min(9999)),
            (5..7, month),
            (8..10, day),
            (11..13, hour),
            (14..16, minute),
            (17..19, second),
            (20..23, u64::from(milliseconds)),
        ];
        for (place, number) in fields {
            put_digits(&mut text[place], number);
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// Writes a number with leading zeros.
fn put_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

impl FromStr for WallTime {
    type Err = String;

    /// Any time of RFC 3339 from 1970 on, with an offset or `Z`.
    fn from_str(text: &str) -> Result<WallTime, String> {
        parse(text).ok_or_else(|| "not a time: write 2026-11-20T12:00:00Z".to_owned())
    }
}

fn parse(text: &str) -> Option<WallTime> {
    let field = |at: usize, length: usize| -> Option<u64> {
        let digits = text.get(at..at + length)?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| all_digits)
    };
    let mark = |at: usize, marks: &[u8]| text.as_bytes().get(at).filter(|c| marks.contains(c));
    let (year, month, day) = (field(0, 4)?, field(5, 2)?, field(8, 2)?);
    let (hour, minute, second) = (field(11, 2)?, field(14, 2)?, field(17, 2)?);
    mark(4, b"-").and(mark(7, b"-")).and(mark(10, b"Tt "))?;
    mark(13, b":").and(mark(16, b":"))?;
    // 60 is a leap second; it counts as the next one.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days(year, month, day)?;
    let (fraction, offset) = split_fraction(text.get(19..)?)?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    let seconds = seconds.checked_add_signed(-offset_seconds(offset)?)?;
    Some(WallTime(Duration::new(seconds, fraction)))
}

/// Takes `.125` off the front: as nanoseconds, and what follows.
fn split_fraction(text: &str) -> Option<(u32, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = digits.split_at(end);
    let nine = format!("{:0<9}", digits.get(..digits.len().min(9))?);
    (end > 0).then_some((nine.parse().ok()?, rest))
}

/// The offset from UTC in seconds: `Z`, `+02:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two = |digits: &str| -> Option<i64> {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970 of a date in the Gregorian calendar; none if there is no such day.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    let is_day = (1..=length_of(month, year)).contains(&day);
    let before = (1..month).map(|month| length_of(month, year)).sum::<u64>();
    is_day.then(|| days_before(year) - days_before(1970) + before + day - 1)
}

/// The date of a day since 1970.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + days_before(1970);
    // 146,097 days are 400 years; the guess is at most a year too high or too low.
    let guess = days * 400 / 146_097 + 1;
    let year = (guess.saturating_sub(1)..=guess + 1)
        .rfind(|year| days_before(*year) <= days)
        .unwrap_or(guess);
    let mut rest = days - days_before(year);
    let mut month = 1;
    while rest >= length_of(month, year) {
        rest -= length_of(month, year);
        month += 1;
    }
    (year, month, rest + 1)
}

/// Days before the first of January of a year, counted from the year 1.
fn days_before(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

fn length_of(month: u64, year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn well_known_times_are_written_as_everybody_writes_them() {
        let written = |seconds| WallTime(Duration::from_millis(seconds)).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(written(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(written(1_234_567_890_000), "2009-02-13T23:31:30.000Z");
        assert_eq!(written(4_107_542_399_000), "2100-02-28T23:59:59.000Z");
        assert_eq!(written(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        let read = |text: &str| text.parse::<WallTime>().map(|time| time.0.as_millis()).ok();
        assert_eq!(read("2009-02-13T23:31:30Z"), Some(1_234_567_890_000));
        assert_eq!(
            read("2009-02-14T01:31:30.25+02:00"),
            Some(1_234_567_890_250)
        );
        assert_eq!(read("2009-02-13t18:01:30-05:30"), Some(1_234_567_890_000));
        for wrong in [
            "",
            "now",
            "2009-02-13",
            "2009-02-13T23:31:30",
            "2009-02-30T00:00:00Z",
            "2009-13-01T00:00:00Z",
            "2009-02-13T24:00:00Z",
            "2009-02-13T23:31:30.Z",
            "2009-02-13T23:31:30+2:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(milliseconds in 0_u64..250_000_000_000_000) {
            let time = WallTime(Duration::from_millis(milliseconds));
            let year_has_four_digits = milliseconds < 253_402_300_800_000;
            prop_assert!(year_has_four_digits);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
