//! Times in headers: seconds since 1970, shown and read as UTC dates.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const DAYS_400_YEARS: u64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;
/// The last year that is written with four digits.
const LAST_YEAR: u64 = 9_999;

/// Now; 0 on a machine whose clock is before 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `2024-07-19T04:09:00Z`; the bare number where the year has more than four digits.
pub fn format(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY);
    if year > LAST_YEAR {
        return seconds.to_string();
    }
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads `YYYY-MM-DD` (the start of that day, UTC) or seconds since 1970.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is neither YYYY-MM-DD nor seconds since 1970");
    let parts: Vec<&str> = text.split('-').collect();
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    match parts[..] {
        [seconds] => number(seconds),
        [year, month, day] => {
            let (year, month, day) = (number(year)?, number(month)?, number(day)?);
            if !(1970..=LAST_YEAR).contains(&year) || !(1..=12).contains(&month) {
                return Err(wrong());
            }
            let days = days(year, month, day);
            if date(days) != (year, month, day) {
                return Err(format!("`{text}` is no date"));
            }
            Ok(days * DAY)
        }
        _ => Err(wrong()),
    }
}

/// A time of a log in a form that sorts, if it is one in UTC: `2024-07-19T04:09:00.123Z`, with a space
/// for the `T` and without the `Z` as Sysmon writes it.
pub fn sortable(text: &str) -> Option<String> {
    const FORM: &[u8; 19] = b"0000-00-00 00:00:00";
    let text = text.strip_suffix('Z').unwrap_or(text).replacen('T', " ", 1);
    let (whole, fraction) = text.as_bytes().split_at_checked(FORM.len())?;
    let fits = |(found, wanted): (&u8, &u8)| match wanted {
        b'0' => found.is_ascii_digit(),
        _ => found == wanted,
    };
    let fraction_fits = match fraction {
        [] => true,
        [b'.', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (whole.iter().zip(FORM).all(fits) && fraction_fits).then_some(text)
}

/// Year, month and day of a day since 1970. Years are counted from March, so that the day that
/// leap years add is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / DAYS_400_YEARS, days % DAYS_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// The day since 1970 of a date whose year is 1970 or later.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let day = (153 * month + 2) / 5 + day;
    (365 * year + year / 4 - year / 100 + year / 400 + day).saturating_sub(DAYS_TO_1970 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        assert_eq!(format(0), "1970-01-01T00:00:00Z");
        assert_eq!(format(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(format(1_721_362_140), "2024-07-19T04:09:00Z");
        assert_eq!(format(u64::MAX), u64::MAX.to_string());
        assert_eq!(parse("2024-07-19"), Ok(1_721_347_200));
        assert_eq!(parse("1970-01-01"), Ok(0));
        assert_eq!(parse("17"), Ok(17));
        for wrong in ["", "2023-02-29", "2024-13-01", "2024-00-01", "x", "2024-1", "1960-01-01"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_of_logs_that_sort() {
        let sysmon = sortable("2024-07-19 04:09:00.123").unwrap();
        assert_eq!(sortable("2024-07-19T04:09:00.123Z").unwrap(), sysmon);
        assert!(sortable("2024-07-19T04:09:00Z").unwrap() < sysmon);
        assert!(sortable("2024-07-19T04:09:00.1234567Z").unwrap() > sysmon);
        for wrong in ["", "1721362140", "2024-07-19", "2024-07-19T04:09:00+02:00", "19 July 2024é"]
        {
            assert_eq!(sortable(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_of_a_thousand_years_comes_back() {
        for day in 0..365_242 {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }
}
