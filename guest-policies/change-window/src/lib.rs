//! The policy `change-window`: plans run in certain hours, and not in times of freeze. The time comes from the host, to
//! the minute. Hours are UTC or at a fixed distance from it: daylight saving time needs data that a policy does not have.

use rolewright_policy::calendar::{DAY, civil};
#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{
    Catalog, Context, Finding, Info, Label, Policy, Review, Reviewed, Risk, Step, Verdict, matches,
};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct ChangeWindow;

/// What stands under `settings:` in the chain.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// When plans may run; none: always, but for the freezes.
    pub windows: Vec<Window>,
    /// Days on which no plan runs, whatever the windows say.
    pub freezes: Vec<Freeze>,
    /// How far the clocks on the wall are ahead of UTC, such as `+01:00`; none: they show UTC.
    #[cfg_attr(test, schemars(regex(pattern = r"^[+-][0-9]{2}:[0-9]{2}$")))]
    pub utc_offset: Option<String>,
    /// From which risk on a plan waits: one with only harmless steps may always run with `disruptive`.
    pub from_risk: FromRisk,
    /// What becomes of a plan outside of the hours.
    pub outside: Outside,
    /// A label of the server that opens the window at any time, for emergencies: `TARGET_LABELS` of the controller.
    pub bypass: Option<Bypass>,
}

/// Hours of some weekdays.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days of the week; none: every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// The time of day at which it opens, such as `09:00`.
    #[cfg_attr(test, schemars(regex(pattern = r"^[0-9]{2}:[0-9]{2}$")))]
    pub from: String,
    /// The time at which it closes, such as `17:00`, not included; `24:00` is the end of the day. Not later than `from`:
    /// on the next day.
    #[cfg_attr(test, schemars(regex(pattern = r"^[0-9]{2}:[0-9]{2}$")))]
    pub to: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Days on which nothing is changed.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The first day, such as `2026-12-20`.
    #[cfg_attr(test, schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), extend("format" = "date")))]
    pub from: String,
    /// The last day, included.
    #[cfg_attr(test, schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), extend("format" = "date")))]
    pub to: String,
    /// Why, for those who read the plan.
    #[serde(default)]
    pub reason: String,
}

/// The risk from which on a plan waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum FromRisk {
    #[default]
    Safe,
    Disruptive,
    Destructive,
}

/// What becomes of a plan outside of the hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(rename_all = "lowercase")]
pub enum Outside {
    /// It waits: for the window, or for somebody who approves it.
    #[default]
    Hold,
    /// It waits for the window, and no approval helps.
    Deny,
}

/// A label that opens the window.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields)]
pub struct Bypass {
    /// Its key.
    pub label: String,
    /// Its value, `*` standing for any text.
    pub value: String,
}

const DAYS: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

/// Minutes after midnight.
fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    // Numbers that are parsed may have a sign; those on a clock have none.
    let digits = |text: &&str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text| Some(text).filter(digits)?.parse::<i64>().ok();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
}

/// Minutes ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    minutes(rest).filter(|minutes| *minutes <= 14 * 60).map(|minutes| sign * minutes)
}

/// A date that there is, as numbers that compare like dates.
fn day(text: &str) -> Option<(i64, u32, u32)> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    let (year, month, day) = (year.parse::<i64>().ok()?, month.parse::<u32>().ok()?, day.parse::<u32>().ok()?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    (1..=last).contains(&day).then_some((year, month, day))
}

impl Policy for ChangeWindow {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("change-window", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
            .clock_step_seconds(60)
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut wrong = |path: String, text: &str, wanted: &str| {
            let message = format!("{text:?} is not {wanted}");
            findings.push(Finding::error("invalid-time", path, message));
        };
        for (index, window) in settings.windows.iter().enumerate() {
            for (key, text) in [("from", &window.from), ("to", &window.to)] {
                if minutes(text).is_none() {
                    wrong(format!("/windows/{index}/{key}"), text, "a time of day such as 09:00");
                }
            }
        }
        for (index, freeze) in settings.freezes.iter().enumerate() {
            for (key, text) in [("from", &freeze.from), ("to", &freeze.to)] {
                if day(text).is_none() {
                    wrong(format!("/freezes/{index}/{key}"), text, "a date such as 2026-12-20");
                }
            }
            if day(&freeze.from).zip(day(&freeze.to)).is_some_and(|(from, to)| to < from) {
                wrong(format!("/freezes/{index}/to"), &freeze.to, "a day after the first of the freeze");
            }
        }
        if let Some(text) = settings.utc_offset.as_ref().filter(|text| offset(text).is_none()) {
            wrong("/utc-offset".to_owned(), text, "a distance from UTC such as +01:00");
        }
        if settings.windows.is_empty() && settings.freezes.is_empty() {
            let message = "there are neither windows nor freezes, so this policy never says anything";
            findings.push(Finding::warning("always-open", "", message));
        }
        findings
    }
}

impl Window {
    /// Whether it is open on this day, so many minutes after midnight. What goes past midnight belongs to the day
    /// on which it began.
    fn is_open(&self, weekday: usize, minute: i64) -> bool {
        let on = |weekday: usize| self.days.is_empty() || self.days.contains(&DAYS[weekday % 7]);
        let (Some(from), Some(to)) = (minutes(&self.from), minutes(&self.to)) else { return false };
        if from < to {
            return on(weekday) && (from..to).contains(&minute);
        }
        (on(weekday) && minute >= from) || (on(weekday + 6) && minute < to)
    }
}

impl Settings {
    /// Why a plan does not run at this moment.
    fn closed(&self, now: i64) -> Option<String> {
        let local = now + self.utc_offset.as_deref().and_then(offset).unwrap_or(0) * 60;
        let days = local.div_euclid(DAY);
        let today = civil(days);
        let freeze = self.freezes.iter().find(|freeze| {
            day(&freeze.from).zip(day(&freeze.to)).is_some_and(|(from, to)| from <= today && today <= to)
        });
        if let Some(freeze) = freeze {
            let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
            return Some(format!("changes are frozen from {} to {}{reason}", freeze.from, freeze.to));
        }
        // The first day of 1970 was a Thursday.
        let weekday = usize::try_from((days + 3).rem_euclid(7)).unwrap_or_default();
        let minute = local.rem_euclid(DAY) / 60;
        if self.windows.is_empty() || self.windows.iter().any(|window| window.is_open(weekday, minute)) {
            return None;
        }
        let zone = self.utc_offset.as_deref().map_or("UTC".to_owned(), |offset| format!("UTC{offset}"));
        let (hour, minute) = (minute / 60, minute % 60);
        Some(format!("it is {:?} {hour:02}:{minute:02} {zone}, and no window for changes is open", DAYS[weekday]))
    }

    fn waits(&self, step: &Step) -> bool {
        match self.from_risk {
            FromRisk::Safe => true,
            FromRisk::Disruptive => step.risk != Risk::Safe,
            FromRisk::Destructive => step.risk == Risk::Destructive,
        }
    }

    fn is_bypassed(&self, labels: &[Label]) -> bool {
        let opens = |bypass: &Bypass| {
            labels.iter().any(|label| label.key == bypass.label && matches(&bypass.value, &label.value))
        };
        self.bypass.as_ref().is_some_and(opens)
    }
}

impl Review for ChangeWindow {
    fn review(context: &Context, settings: &Settings, _: &Catalog, steps: &[Step]) -> Result<Reviewed, String> {
        let now = context.now.ok_or("the host gives no time, and without one no window is open")?;
        if !steps.iter().any(|step| settings.waits(step)) {
            return Ok(Reviewed::allow());
        }
        let Some(why) = settings.closed(now) else { return Ok(Reviewed::allow()) };
        if settings.is_bypassed(&context.labels) {
            let finding = Finding::warning("window-bypassed", "", format!("{why}; the label of the server opens it"));
            return Ok(Reviewed { verdict: Verdict::Allow, findings: vec![finding] });
        }
        let finding = Finding::warning("window-closed", "", why);
        Ok(match settings.outside {
            Outside::Hold => Reviewed::hold(vec![finding.help("it runs when a window opens, or when it is approved")]),
            Outside::Deny => Reviewed::deny(vec![finding.help("it runs when a window opens")]),
        })
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(ChangeWindow: review);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rolewright_policy::Change;
    use rolewright_policy::calendar::date;

    use super::*;

    /// 2026-11-24 was a Tuesday.
    const TUESDAY: i64 = 1_795_478_400;

    fn at(day: i64, time: &str) -> i64 {
        TUESDAY + day * DAY + minutes(time).unwrap() * 60
    }

    fn settings(text: &str) -> Settings {
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert!(ChangeWindow::check_settings(&settings).is_empty());
        settings
    }

    fn verdict(settings: &Settings, now: i64, change: Change, labels: &[(&str, &str)]) -> Verdict {
        let label = |(key, value): &(&str, &str)| Label { key: (*key).into(), value: (*value).into() };
        let context = Context { now: Some(now), labels: labels.iter().map(label).collect(), ..Context::new(180_000) };
        let actual = Catalog { roles: Vec::new(), databases: Vec::new() };
        let steps = [Step::new(change, "because", "")];
        ChangeWindow::review(&context, settings, &actual, &steps).unwrap().verdict
    }

    fn harmful(settings: &Settings, now: i64) -> Verdict {
        verdict(settings, now, Change::SetPassword("alice".to_owned()), &[])
    }

    const OFFICE: &str =
        r#"{"windows": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00"}]}"#;

    #[test]
    fn plans_run_in_the_hours_of_the_weekdays() {
        let office = settings(OFFICE);
        for (day, time, verdict) in [
            (0, "08:59", Verdict::Hold),
            (0, "09:00", Verdict::Allow),
            (0, "16:59", Verdict::Allow),
            (0, "17:00", Verdict::Hold),
            (3, "12:00", Verdict::Allow),
            (4, "12:00", Verdict::Hold),
            (5, "12:00", Verdict::Hold),
            (6, "12:00", Verdict::Allow),
        ] {
            assert_eq!(harmful(&office, at(day, time)), verdict, "day {day} {time}");
        }
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_on_which_it_began() {
        let night = settings(r#"{"windows": [{"days": ["fri"], "from": "22:00", "to": "04:00"}]}"#);
        for (day, time, verdict) in [
            (3, "21:59", Verdict::Hold),
            (3, "22:00", Verdict::Allow),
            (4, "03:59", Verdict::Allow),
            (4, "04:00", Verdict::Hold),
            (4, "22:00", Verdict::Hold),
            (3, "03:00", Verdict::Hold),
        ] {
            assert_eq!(harmful(&night, at(day, time)), verdict, "day {day} {time}");
        }
    }

    #[test]
    fn the_clock_on_the_wall_may_be_ahead_of_utc() {
        let east = settings(&OFFICE.replace("{\"windows\"", "{\"utc-offset\": \"+09:00\", \"windows\""));
        assert_eq!(harmful(&east, at(-1, "23:30")), Verdict::Hold);
        assert_eq!(harmful(&east, at(0, "00:00")), Verdict::Allow);
        assert_eq!(harmful(&east, at(0, "08:00")), Verdict::Hold);
    }

    #[test]
    fn nothing_runs_in_a_freeze_first_and_last_day_included() {
        let freeze = settings(r#"{"freezes": [{"from": "2026-12-20", "to": "2027-01-02", "reason": "holidays"}]}"#);
        for (day, verdict) in [(25, Verdict::Allow), (26, Verdict::Hold), (39, Verdict::Hold), (40, Verdict::Allow)] {
            assert_eq!(harmful(&freeze, at(day, "12:00")), verdict, "day {day}");
        }
        assert!(freeze.closed(at(26, "12:00")).unwrap().contains("holidays"));
    }

    #[test]
    fn harmless_plans_may_run_at_any_time_if_asked_for_and_emergencies_have_a_key() {
        let text = OFFICE.replace(
            "{\"windows\"",
            r#"{"from-risk": "disruptive", "outside": "deny", "bypass": {"label": "emergency", "value": "INC-*"}, "windows""#,
        );
        let office = settings(&text);
        let harmless = Change::CreateRole(rolewright_policy::Role::user("alice"));
        assert_eq!(verdict(&office, at(4, "12:00"), harmless, &[]), Verdict::Allow);
        assert_eq!(harmful(&office, at(4, "12:00")), Verdict::Deny);
        let change = || Change::SetPassword("alice".to_owned());
        assert_eq!(verdict(&office, at(4, "12:00"), change(), &[("emergency", "INC-7")]), Verdict::Allow);
        assert_eq!(verdict(&office, at(4, "12:00"), change(), &[("emergency", "no")]), Verdict::Deny);
    }

    #[test]
    fn times_that_there_are_not_are_refused_with_their_place() {
        let text = r#"{"windows": [{"from": "9:00", "to": "24:01"}], "utc-offset": "CET",
            "freezes": [{"from": "2026-02-29", "to": "soon"}, {"from": "2026-03-02", "to": "2026-03-01"}]}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        let paths: Vec<String> = ChangeWindow::check_settings(&settings).into_iter().map(|it| it.path).collect();
        let expected =
            ["/windows/0/from", "/windows/0/to", "/freezes/0/from", "/freezes/0/to", "/freezes/1/to", "/utc-offset"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_sign_is_no_digit() {
        assert_eq!((minutes("+9:00"), minutes("09:+5"), minutes("09:05")), (None, None, Some(545)));
        assert_eq!((offset("++1:00"), offset("-03:30")), (None, Some(-210)));
        assert_eq!((day("+026-12-20"), day("2026-+2-20"), day("2026-02-20")), (None, None, Some((2026, 2, 20))));
    }

    #[test]
    fn without_a_clock_there_is_no_answer() {
        let actual = Catalog { roles: Vec::new(), databases: Vec::new() };
        assert!(ChangeWindow::review(&Context::new(180_000), &Settings::default(), &actual, &[]).is_err());
    }

    /// Whether a minute, counted from 1970 by the clock on the wall, is in one of these windows, looked for minute by
    /// minute: each window is opened on each day around, and waited for until it closes.
    fn is_in_a_window(minute: i64, windows: &[(Vec<Day>, i64, i64)]) -> bool {
        let today = minute.div_euclid(24 * 60);
        let around = today - 2..=today + 2;
        windows.is_empty()
            || around.into_iter().any(|day| {
                // 2000-01-01, a Saturday, was day 10,957.
                let weekday = DAYS[usize::try_from((day - 10_957 + 5).rem_euclid(7)).unwrap()];
                let days_windows = windows.iter().filter(|(days, ..)| days.is_empty() || days.contains(&weekday));
                days_windows.into_iter().any(|(_, from, to)| {
                    let mut open = day * 24 * 60 + from;
                    let close = day * 24 * 60 + if to > from { *to } else { to + 24 * 60 };
                    while open < close {
                        if open == minute {
                            return true;
                        }
                        open += 1;
                    }
                    false
                })
            })
    }

    fn clock(minutes: i64) -> String {
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    }

    fn time() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), Just(24 * 60), 0..=24 * 60i64]
    }

    fn days() -> impl Strategy<Value = Vec<Day>> {
        proptest::sample::subsequence(DAYS.to_vec(), 0..=3)
    }

    const RISKS: [Risk; 3] = [Risk::Safe, Risk::Disruptive, Risk::Destructive];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The law: a plan runs exactly if nothing in it waits by its risk, or if a window is open and nothing frozen, or
        /// if the server has the label; else it becomes what `outside` says.
        #[test]
        fn a_plan_runs_in_its_windows_and_at_no_other_time(
            second in 0..60 * DAY,
            edge in proptest::option::of((proptest::bool::ANY, -1..=0i64)),
            windows in proptest::collection::vec((days(), time(), time()), 0..3),
            freezes in proptest::collection::vec((0..60i64, 0..10i64), 0..2),
            (sign, ahead) in (prop_oneof![Just(1), Just(-1)], 0..=14 * 60i64),
            (from_risk, risks) in (0..3usize, proptest::collection::vec(0..3usize, 0..3)),
            (bypass, label) in (proptest::bool::ANY, proptest::sample::select(vec!["", "INC-7", "no"])),
            deny in proptest::bool::ANY,
        ) {
            let text = |day: i64| date(TUESDAY + day * DAY);
            let settings = Settings {
                windows: windows
                    .iter()
                    .map(|(days, from, to)| Window { days: days.clone(), from: clock(*from), to: clock(*to) })
                    .collect(),
                freezes: freezes
                    .iter()
                    .map(|(from, days)| Freeze { from: text(*from), to: text(from + days), reason: String::new() })
                    .collect(),
                utc_offset: Some(format!("{}{}", if sign > 0 { '+' } else { '-' }, clock(ahead))),
                from_risk: [FromRisk::Safe, FromRisk::Disruptive, FromRisk::Destructive][from_risk],
                outside: if deny { Outside::Deny } else { Outside::Hold },
                bypass: bypass.then(|| Bypass { label: "emergency".to_owned(), value: "INC-*".to_owned() }),
            };
            prop_assert!(ChangeWindow::check_settings(&settings).iter().all(|it| it.code == "always-open"));
            // Half of the moments are those about the opening or the close of a window.
            let now = match (edge, windows.first()) {
                (Some((begins, later)), Some((_, from, to))) => {
                    let minute = if begins { from } else { to } - sign * ahead;
                    TUESDAY + second / DAY * DAY + minute * 60 + later
                }
                _ => TUESDAY + second,
            };
            let mut context = Context { now: Some(now), ..Context::new(180_000) };
            if !label.is_empty() {
                context.labels = vec![Label { key: "emergency".to_owned(), value: label.to_owned() }];
            }
            let step = |risk: &usize| {
                let change = Change::SetPassword("alice".to_owned());
                Step { change, risk: RISKS[*risk], reason: String::new(), path: String::new() }
            };
            let steps: Vec<Step> = risks.iter().map(step).collect();
            let actual = Catalog { roles: Vec::new(), databases: Vec::new() };
            let told = ChangeWindow::review(&context, &settings, &actual, &steps).unwrap();

            let local = now + sign * ahead * 60;
            // Dates as they are written compare as what they say.
            let frozen = settings.freezes.iter().any(|it| (it.from.clone()..=it.to.clone()).contains(&date(local)));
            let open = !frozen && is_in_a_window(local.div_euclid(60), &windows);
            let bypassed = bypass && label == "INC-7";
            let runs = risks.iter().all(|risk| *risk < from_risk) || open || bypassed;
            let otherwise = if deny { Verdict::Deny } else { Verdict::Hold };
            prop_assert_eq!(told.verdict, if runs { Verdict::Allow } else { otherwise }, "{}", date(local));
            let silent = risks.iter().all(|risk| *risk < from_risk) || open;
            prop_assert_eq!(told.findings.is_empty(), silent);
        }
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<ChangeWindow>();
    }
}
