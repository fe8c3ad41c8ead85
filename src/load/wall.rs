//! Times of day as RFC 3339, in UTC.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime};

/// A time of day: the time since the beginning of 1970 in UTC, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub Duration);

impl WallTime {
    /// The time since `earlier`; zero if that is later.
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
        let seconds = i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX);
        let time = OffsetDateTime::from_unix_timestamp(seconds);
        let time = time.unwrap_or(PrimitiveDateTime::MAX.assume_utc());
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second) = time.to_hms();
        // Every log line begins with a time: writing the digits takes a tenth of the time of padded formatting.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0..4, year.unsigned_abs()),
            (5..7, u8::from(month).into()),
            (8..10, day.into()),
            (11..13, hour.into()),
            (14..16, minute.into()),
            (17..19, second.into()),
            (20..23, self.0.subsec_millis()),
        ];
        for (place, number) in fields {
            put_digits(&mut text[place], number);
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// Writes a number with leading zeros.
fn put_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

impl FromStr for WallTime {
    type Err = String;

    /// Any time of RFC 3339 from 1970 on, with an offset or `Z`.
    fn from_str(text: &str) -> Result<WallTime, String> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok();
        // RFC 3339 permits any separator; only the usual ones are accepted.
        let time = time.filter(|_| matches!(text.as_bytes()[10], b'T' | b't' | b' '));
        let since = time.and_then(|time| (time - OffsetDateTime::UNIX_EPOCH).try_into().ok());
        since
            .map(WallTime)
            .ok_or_else(|| "not a time: write 2026-11-20T12:00:00Z".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times_are_formatted_as_rfc_3339() {
        let written = |milliseconds| WallTime(Duration::from_millis(milliseconds)).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(written(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(written(1_234_567_890_000), "2009-02-13T23:31:30.000Z");
        assert_eq!(written(4_107_542_399_000), "2100-02-28T23:59:59.000Z");
        assert_eq!(written(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert!(written(u64::MAX).starts_with("9999-12-31T"));
    }

    #[test]
    fn offsets_and_fractions_are_parsed() {
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
            "2009-02-13x23:31:30Z",
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
        fn formatted_time_parses_to_the_same(milliseconds in 0_u64..250_000_000_000_000) {
            let time = WallTime(Duration::from_millis(milliseconds));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
