//! Days in the words of people: a policy is handed the time in Unix seconds, and says dates. UTC, in the Gregorian
//! calendar; there are no time zones and no leap seconds here.

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// `2027-01-31`, the day in which this moment lies.
pub fn date(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of the day with this number, counted from 1970-01-01.
///
/// A year begins in March here, so that the leap day is its last; 400 of them have 146,097 days, and months from March
/// on have 30.6 days on average.
pub fn civil(days: i64) -> (i64, u32, u32) {
    let since_march_of_year_0 = days + 719_468;
    let era = since_march_of_year_0.div_euclid(146_097);
    let day_of_era = since_march_of_year_0.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Both are small by construction.
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lie_in_their_days() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_801_353_600, "2027-01-31"),
            (4_107_542_400, "2100-03-01"),
            (4_107_542_399, "2100-02-28"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }

    #[test]
    fn the_days_of_eight_hundred_years_follow_each_other() {
        let (mut before, mut count) = (civil(-146_097), 0);
        for days in -146_096..=146_097 {
            let (year, month, day) = civil(days);
            let next = if day > 1 { (before.0, before.1, before.2 + 1) } else { (year, month, 1) };
            assert_eq!((year, month, day), next, "day {days}");
            if day == 1 {
                let follows = if month > 1 { (before.0, before.1 + 1) } else { (before.0 + 1, 1) };
                assert_eq!((year, month), follows, "day {days}");
                count += 1;
            }
            before = (year, month, day);
        }
        assert_eq!(count, 800 * 12);
    }
}
