//! Moments as heartbeats and canaries hold them. Readers go by the arrival of these keys, never by what they say.

use std::fmt;

/// Seconds since 1970, written like `2026-11-21T06:55:22Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, second) = (self.0 / 86_400, self.0 % 86_400);
        let mut year = 1970;
        // The calendar repeats every 400 years.
        year += days / 146_097 * 400;
        days %= 146_097;
        while days >= year_days(year) {
            days -= year_days(year);
            year += 1;
        }
        let february = year_days(year) - 337;
        let mut month = 1;
        for month_days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < month_days {
                break;
            }
            days -= month_days;
            month += 1;
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
            days + 1
        )
    }
}

fn year_days(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    365 + u64::from(leap)
}
