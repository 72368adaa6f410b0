//! Rules on clocks that are put forward and back, rules that never come or come too often, and any
//! rule at all within its bounds.

use super::*;
use proptest::prelude::*;
use tidegate_core::event::Recurrence;

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn event(start: &str, duration_s: u32, zone: &str, rule: &str) -> Event {
    Event {
        recurrence: Some(Recurrence {
            rule: rule.into(),
            time_zone: zone.into(),
            ..Recurrence::default()
        }),
        ..Event::once(
            "shop/sale".parse().unwrap(),
            "campaign",
            at(start),
            duration_s,
        )
    }
}

/// The occurrences between two instants, as `start/end` in UTC.
fn told(event: &Event, from: &str, to: &str) -> Vec<String> {
    let show = |t: Timestamp| {
        let at = jiff::Timestamp::from_millisecond(t.0).unwrap();
        at.strftime("%m-%dT%H:%M").to_string()
    };
    let spans = expand(event, (at(from), at(to))).unwrap();
    let spans = spans.into_iter();
    spans
        .map(|(start, end)| format!("{}/{}", show(start), show(end)))
        .collect()
}

fn refused(event: &Event) -> String {
    let window = window(at("2026-06-01T00:00:00Z"));
    let (field, problem) = expand(event, window).unwrap_err();
    format!("{field}: {problem}")
}

#[test]
fn nine_in_berlin_stays_nine_when_the_clock_is_put_forward() {
    let batch = event(
        "2026-03-16T08:00:00Z",
        3600,
        "Europe/Berlin",
        "FREQ=WEEKLY;BYDAY=MO",
    );
    let march = told(&batch, "2026-03-01T00:00:00Z", "2026-04-10T00:00:00Z");
    assert_eq!(
        march,
        [
            "03-16T08:00/03-16T09:00",
            "03-23T08:00/03-23T09:00",
            "03-30T07:00/03-30T08:00",
            "04-06T07:00/04-06T08:00"
        ]
    );
}

#[test]
fn a_time_that_the_clock_leaves_out_is_read_with_the_offset_before() {
    // 02:30 does not exist in Berlin on 29 March 2026.
    let batch = event("2026-03-28T01:30:00Z", 600, "Europe/Berlin", "FREQ=DAILY");
    let days = told(&batch, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_eq!(
        days,
        [
            "03-28T01:30/03-28T01:40",
            "03-29T01:30/03-29T01:40",
            "03-30T00:30/03-30T00:40"
        ]
    );
}

#[test]
fn of_a_time_that_comes_twice_the_first_is_meant() {
    // 02:30 comes twice in Berlin on 25 October 2026.
    let batch = event(
        "2026-10-24T00:30:00Z",
        600,
        "Europe/Berlin",
        "FREQ=DAILY;COUNT=3",
    );
    let days = told(&batch, "2026-10-01T00:00:00Z", "2026-11-30T00:00:00Z");
    assert_eq!(
        days,
        [
            "10-24T00:30/10-24T00:40",
            "10-25T00:30/10-25T00:40",
            "10-26T01:30/10-26T01:40"
        ]
    );
}

#[test]
fn what_lasts_whole_days_from_midnight_ends_at_midnight() {
    let day = event(
        "2026-03-27T23:00:00Z",
        86_400,
        "Europe/Berlin",
        "FREQ=DAILY;COUNT=3",
    );
    let days = told(&day, "2026-03-01T00:00:00Z", "2026-04-30T00:00:00Z");
    assert_eq!(
        days,
        [
            "03-27T23:00/03-28T23:00",
            "03-28T23:00/03-29T22:00",
            "03-29T22:00/03-30T22:00"
        ]
    );
}

#[test]
fn an_hour_that_is_left_out_brings_no_occurrence_twice() {
    let hourly = event("2026-03-29T00:00:00Z", 60, "Europe/Berlin", "FREQ=HOURLY");
    let hours = told(&hourly, "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z");
    assert_eq!(
        hours,
        [
            "03-29T00:00/03-29T00:01",
            "03-29T01:00/03-29T01:01",
            "03-29T02:00/03-29T02:01"
        ]
    );
}

#[test]
fn exceptions_are_left_out_and_further_dates_are_added() {
    let mut sale = event(
        "2026-01-05T09:00:00Z",
        3600,
        "",
        "FREQ=WEEKLY;UNTIL=20260126",
    );
    let recurrence = sale.recurrence.as_mut().unwrap();
    recurrence.except = vec![at("2026-01-12T09:00:00Z")];
    recurrence.extra = vec![at("2026-01-07T12:00:00Z"), at("2026-01-19T09:00:00Z")];
    let days = told(&sale, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_eq!(
        days,
        [
            "01-05T09:00/01-05T10:00",
            "01-07T12:00/01-07T13:00",
            "01-19T09:00/01-19T10:00",
            "01-26T09:00/01-26T10:00"
        ]
    );
    sale.until = Some(at("2026-01-19T09:00:00Z"));
    assert_eq!(
        told(&sale, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").len(),
        2
    );
}

#[test]
fn without_a_rule_its_start_and_the_further_dates_are_all() {
    let mut sale = event("2026-01-05T09:00:00Z", 3600, "", "");
    sale.recurrence.as_mut().unwrap().extra = vec![at("2026-02-05T09:00:00Z")];
    assert_eq!(
        told(&sale, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").len(),
        2
    );
}

#[test]
fn until_in_utc_is_compared_on_the_clock_of_the_zone() {
    // 09:00 in New York is 14:00 in UTC; the last one is the one of the very instant.
    let rule = "FREQ=DAILY;UNTIL=20260107T140000Z";
    let batch = event("2026-01-05T14:00:00Z", 60, "America/New_York", rule);
    assert_eq!(
        told(&batch, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").len(),
        3
    );
    let before = rule.replace("140000Z", "135959Z");
    let batch = event("2026-01-05T14:00:00Z", 60, "America/New_York", &before);
    assert_eq!(
        told(&batch, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").len(),
        2
    );
}

#[test]
fn an_occurrence_that_began_before_the_window_and_lasts_into_it_is_one() {
    let night = event("2026-01-01T22:00:00Z", 4 * 3600, "", "FREQ=DAILY");
    let found = told(&night, "2026-02-01T01:00:00Z", "2026-02-01T03:00:00Z");
    assert_eq!(found, ["01-31T22:00/02-01T02:00"]);
}

#[test]
fn a_rule_that_is_none_is_refused_with_what_to_write() {
    let of = |rule: &str| refused(&event("2026-01-05T09:00:00Z", 3600, "", rule));
    assert_eq!(
        of("WEEKLY"),
        "rrule: `WEEKLY` is no part of a rule; parts are written KEY=VALUE, for example FREQ=WEEKLY;BYDAY=MO"
    );
    assert!(of("FREQ=WEKLY").contains("did you mean `WEEKLY`?"));
    assert!(of("FREQ=WEEKLY;BYDAYS=MO").contains("did you mean `BYDAY`?"));
    assert!(of("BYDAY=MO").contains("add FREQ="));
    assert!(of("FREQ=MINUTELY;INTERVAL=10").contains("`every: 10m`"));
    assert!(of("FREQ=DAILY;COUNT=2;UNTIL=20270101").contains("remove one of them"));
    assert!(of("FREQ=DAILY;UNTIL=soon").contains("UNTIL=20261231"));
    assert!(of("FREQ=DAILY;UNTIL=20250101").contains("before its start"));
    assert!(of("FREQ=WEEKLY;BYDAY=XX").starts_with("rrule: it is no rule of RFC 5545"));
    assert!(of("FREQ=DAILY;INTERVAL=0").contains("INTERVAL=2"));
    let zone = refused(&event(
        "2026-01-05T09:00:00Z",
        3600,
        "Europe/Atlantis",
        "FREQ=DAILY",
    ));
    assert!(zone.starts_with("time_zone: `Europe/Atlantis`"), "{zone}");
}

#[test]
fn a_rule_without_end_is_expanded_in_a_window_alone() {
    let daily = event("1990-01-01T00:00:00Z", 60, "Europe/Berlin", "FREQ=DAILY");
    let window = window(at("2026-06-01T00:00:00Z"));
    let days = (window.1.since_ms(window.0) / DAY_MS) as usize;
    assert!(expand(&daily, window).unwrap().len().abs_diff(days) <= 1);
    let dense = "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13";
    let problem = refused(&event("2020-01-01T00:00:00Z", 60, "", dense));
    assert!(problem.contains("comes more than 8000 times"), "{problem}");
}

#[test]
fn a_rule_that_never_fits_ends() {
    let never = event(
        "2026-01-01T00:00:00Z",
        60,
        "",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    );
    assert_eq!(
        told(&never, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        [""; 0]
    );
}

#[test]
fn the_window_moves_with_the_present_and_always_holds_it() {
    for day in 0..100 {
        let now = Timestamp(at("2026-01-01T00:00:00Z").0 + day * DAY_MS);
        let (from, to) = window(now);
        assert!(now.since_ms(from) >= BACK_DAYS * DAY_MS);
        assert!(to.since_ms(now) >= AHEAD_DAYS * DAY_MS);
    }
    let ends = [i64::MIN, i64::MAX].map(|t| window(Timestamp(t)));
    assert!(ends.iter().all(|(from, to)| from <= to));
}

fn any_rule() -> impl Strategy<Value = String> {
    let freq = prop_oneof![
        Just("HOURLY"),
        Just("DAILY"),
        Just("WEEKLY"),
        Just("MONTHLY"),
        Just("YEARLY")
    ];
    let by = prop::collection::vec(
        prop_oneof![
            Just("BYDAY=MO,WE".to_owned()),
            (1_i32..32).prop_map(|d| format!("BYMONTHDAY={d}")),
            (1_u8..13).prop_map(|m| format!("BYMONTH={m}")),
            (0_u8..24).prop_map(|h| format!("BYHOUR={h}")),
            (-3_i32..4).prop_map(|p| format!("BYSETPOS={p}")),
            (1_u32..9).prop_map(|n| format!("INTERVAL={n}")),
            (1_u32..50).prop_map(|n| format!("COUNT={n}")),
            "[A-Z]{1,8}=[A-Z0-9,]{0,6}",
        ],
        0..4,
    );
    (freq, by).prop_map(|(freq, by)| {
        let parts: Vec<String> = std::iter::once(format!("FREQ={freq}")).chain(by).collect();
        parts.join(";")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_rule_is_refused_or_gives_rising_spans_within_bounds(
        rule in any_rule(),
        day in 0_i64..20_000,
        hours in 1_u32..60,
    ) {
        let event = Event {
            start: Timestamp(day * DAY_MS + 3_600_000),
            ..event("2026-01-01T00:00:00Z", hours * 3600, "America/New_York", &rule)
        };
        let window = window(at("2026-06-01T00:00:00Z"));
        if let Ok(spans) = expand(&event, window) {
            prop_assert!(spans.len() <= MOST_SPANS);
            prop_assert!(spans.windows(2).all(|w| w[0].0 < w[1].0));
            for (start, end) in spans {
                prop_assert!(event.start <= start && start < end);
                prop_assert!(start < window.1 && end > window.0);
            }
        }
    }

    #[test]
    fn a_window_in_two_halves_holds_what_the_whole_holds(
        rule in any_rule(),
        cut in 1_i64..300,
    ) {
        let event = event("2025-03-01T06:00:00Z", 7200, "Europe/Berlin", &rule);
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
        let middle = from.plus_ms(cut * DAY_MS);
        if let Ok(whole) = expand(&event, (from, to)) {
            let mut halves: BTreeSet<Span> = expand(&event, (from, middle)).unwrap().into_iter().collect();
            halves.extend(expand(&event, (middle, to)).unwrap());
            prop_assert_eq!(whole, halves.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
        let _ = text.parse::<Rule>();
    }
}
