//! Wall-clock times as text: RFC 3339, in UTC.

use ::time::OffsetDateTime;
use ::time::format_description::{StaticFormatDescription, well_known::Rfc3339};
use ::time::macros::{datetime, format_description};
use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

const MILLISECONDS: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The last time with a year of four digits, as RFC 3339 requires.
const LAST: OffsetDateTime = datetime!(9999-12-31 23:59:59.999 UTC);

/// A wall-clock time: the duration since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub Duration);

impl WallTime {
    /// The duration from `earlier` to this time; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: WallTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus a number of nanoseconds, which may be negative; at the limits, the limit.
    #[must_use]
    pub fn shifted(self, nanoseconds: i64) -> WallTime {
        let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
        if nanoseconds < 0 {
            WallTime(self.0.saturating_sub(distance))
        } else {
            self + distance
        }
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
        let since_1970 = ::time::Duration::try_from(self.0).ok();
        let time = since_1970.and_then(|since| OffsetDateTime::UNIX_EPOCH.checked_add(since));
        // Every log line starts with a time: format it without an allocation.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        time.unwrap_or(LAST)
            .format_into(&mut text.as_mut_slice(), MILLISECONDS)
            .map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for WallTime {
    type Err = String;

    /// Parses an RFC 3339 time from 1970 on, with any UTC offset.
    fn from_str(text: &str) -> Result<WallTime, String> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok();
        time.and_then(|time| Duration::try_from(time - OffsetDateTime::UNIX_EPOCH).ok())
            .map(WallTime)
            .ok_or_else(|| "not an RFC 3339 time such as 2026-11-20T12:00:00Z".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn well_known_times_are_formatted_in_utc_with_milliseconds() {
        let text = |milliseconds| WallTime(Duration::from_millis(milliseconds)).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_234_567_890_000), "2009-02-13T23:31:30.000Z");
        assert_eq!(text(4_107_542_399_000), "2100-02-28T23:59:59.000Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(text(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn sub_millisecond_digits_are_cut_off() {
        let time = WallTime(Duration::from_nanos(1_999_999));
        assert_eq!(time.to_string(), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn offsets_and_fractions_are_parsed() {
        let parsed = |text: &str| text.parse::<WallTime>().map(|time| time.0.as_millis()).ok();
        assert_eq!(parsed("2009-02-13T23:31:30Z"), Some(1_234_567_890_000));
        assert_eq!(parsed("2009-02-13 23:31:30z"), Some(1_234_567_890_000));
        assert_eq!(
            parsed("2009-02-14T01:31:30.25+02:00"),
            Some(1_234_567_890_250)
        );
        assert_eq!(parsed("2009-02-13t18:01:30-05:30"), Some(1_234_567_890_000));
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
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn formatted_time_parses_to_the_same_time(milliseconds in 0_u64..253_402_300_800_000) {
            let time = WallTime(Duration::from_millis(milliseconds));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
