//! Decimals and times as people read them. Decimals stay text: no digit goes through a float.

/// The parts of plain decimal text: sign, digits before the point, digits behind it.
fn parts(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |digits: &str| digits.bytes().all(|c| c.is_ascii_digit());
    (!whole.is_empty() && plain(whole) && plain(fraction)).then_some((negative, whole, fraction))
}

/// Where a decimal stands to zero; `None` for text that is none.
pub(crate) fn sign(text: &str) -> Option<std::cmp::Ordering> {
    let (negative, whole, fraction) = parts(text)?;
    let zero = |digits: &str| digits.bytes().all(|c| c == b'0');
    Some(match (negative, zero(whole) && zero(fraction)) {
        (_, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, false) => std::cmp::Ordering::Greater,
    })
}

/// At most `places` digits behind the point, halves away from zero, without trailing zeros beyond what
/// was there. Text that is no decimal stays as it is.
pub(crate) fn rounded(text: &str, places: usize) -> String {
    let Some((negative, whole, fraction)) = parts(text) else {
        return text.to_owned();
    };
    if fraction.len() <= places {
        return text.to_owned();
    }
    let (kept, lost) = fraction.split_at(places);
    let mut digits: Vec<u8> = [b"0", whole.as_bytes(), kept.as_bytes()].concat();
    if lost.as_bytes().first() >= Some(&b'5') {
        for digit in digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
    }
    let text: String = digits.iter().map(|digit| char::from(*digit)).collect();
    let (whole, fraction) = text.split_at(text.len() - places);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let zero = whole == "0" && fraction.bytes().all(|c| c == b'0');
    let minus = if negative && !zero { "-" } else { "" };
    if places == 0 {
        format!("{minus}{whole}")
    } else {
        format!("{minus}{whole}.{fraction}")
    }
}

/// An average or an indicator: at most `count` digits that mean something, the whole part never cut.
pub(crate) fn significant(text: &str, count: usize) -> String {
    let Some((_, whole, fraction)) = parts(text) else {
        return text.to_owned();
    };
    let whole = whole.trim_start_matches('0');
    let places = if whole.is_empty() {
        count + fraction.bytes().take_while(|c| *c == b'0').count()
    } else {
        count.saturating_sub(whole.len())
    };
    rounded(text, places)
}

/// An amount of money: two digits behind the point from a hundred thousand on, four below, and more
/// where these would be nothing.
pub(crate) fn amount(text: &str) -> String {
    let Some((_, whole, _)) = parts(text) else {
        return text.to_owned();
    };
    let short = rounded(text, if whole.len() > 5 { 2 } else { 4 });
    if sign(&short) == sign(text) {
        short
    } else {
        significant(text, 2)
    }
}

/// `100` times a ratio, to two digits behind the point.
pub(crate) fn percent_of_ratio(ratio: f64) -> String {
    format!("{:.2}", ratio * 100.0)
}

/// A length of time, in two units at most.
pub(crate) fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..10 => format!("{seconds}.{} s", ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Milliseconds since the epoch as `2026-11-30 20:21:00`, UTC.
pub(crate) fn stamp(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    format!("{year}-{month:02}-{day:02} {}", &clock_of(of_day)[..8])
}

/// Milliseconds since the epoch as `20:21:00.777`, UTC.
pub(crate) fn clock(ms: i64) -> String {
    clock_of(ms.rem_euclid(86_400_000))
}

fn clock_of(ms: i64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}

/// The Gregorian date of a day since the epoch. Years are counted from March, so that the leap day is
/// the last one.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // since 0000-03-01
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_rounded_as_text() {
        for (text, places, wanted) in [
            ("60009.5326230492196879", 4, "60009.5326"),
            ("99.9999", 2, "100.00"),
            ("-0.005", 2, "-0.01"),
            ("-0.004", 2, "0.00"),
            ("0.5", 0, "1"),
            ("12.5", 4, "12.5"),
            ("7", 2, "7"),
            ("-", 2, "-"),
            ("1e-7", 2, "1e-7"),
        ] {
            assert_eq!(rounded(text, places), wanted, "{text} to {places}");
        }
        assert_eq!(significant("60009.5326230492196879", 8), "60009.533");
        assert_eq!(significant("0.0000123456", 3), "0.0000123");
        assert_eq!(significant("123456789.5", 4), "123456790");
        assert_eq!(amount("-7.1776953594"), "-7.1777");
        assert_eq!(amount("1234567.891"), "1234567.89");
        assert_eq!(amount("-0.0000012345"), "-0.0000012");
        assert_eq!(amount("0"), "0");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(stamp(1_796_070_060_777), "2026-11-30 20:21:00");
        assert_eq!(clock(1_796_070_060_777), "20:21:00.777");
        assert_eq!(stamp(0), "1970-01-01 00:00:00");
        assert_eq!(stamp(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(stamp(-1), "1969-12-31 23:59:59");
        let ages = [-5, 74, 1_250, 59_999, 183_000, 7_800_000, 273_600_000];
        assert_eq!(
            ages.map(duration),
            [
                "0 ms", "74 ms", "1.2 s", "59 s", "3 m 03 s", "2 h 10 m", "3 d 4 h"
            ]
        );
    }

    proptest! {
        #[test]
        fn rounding_is_that_of_integers(value in -10_000_000_i64..10_000_000, places in 0_usize..4) {
            // `value` has four digits behind the point.
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:04}", value.abs() / 10_000, value.abs() % 10_000);
            let unit = 10_i64.pow(u32::try_from(4 - places).expect("small"));
            let wanted = (value.abs() + unit / 2) / unit;
            let digits: String = rounded(&text, places).chars().filter(char::is_ascii_digit).collect();
            prop_assert_eq!(digits.parse::<i64>().expect("digits"), wanted);
        }

        #[test]
        fn days_follow_each_other(day in -800_000_i64..800_000) {
            let (one, next) = (date(day), date(day + 1));
            let same_month = (next.0, next.1) == (one.0, one.1) && next.2 == one.2 + 1;
            let new_month = next.2 == 1 && (28..=31).contains(&one.2)
                && (next.1 == one.1 + 1 || (one.1, next.1, next.0) == (12, 1, one.0 + 1));
            prop_assert!(same_month || new_month, "{:?} {:?}", one, next);
        }
    }
}
