//! What components say, from a calendar as several programs write them.

use super::super::ics;
use super::*;

const SHOP: &str = include_str!("../fixtures/shop.ics");

fn rules() -> Rules {
    Rules {
        floating: "Europe/Berlin".into(),
        zones: BTreeMap::from([("W. Europe Standard Time".into(), "Europe/Berlin".into())]),
        kind: None,
        lasts: None,
    }
}

fn all(text: &str) -> Drafts {
    drafts(&ics::read(text, "shop.ics").unwrap(), &rules()).unwrap()
}

/// A calendar of one component with these lines.
fn with(lines: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{lines}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

/// The only event of such a calendar, of kind `x`.
fn one(lines: &str) -> v1::Event {
    let text = with(&format!("UID:1\r\nCATEGORIES:x\r\n{lines}"));
    all(&text).events.remove(0).event
}

fn mistakes(lines: &str) -> String {
    let calendar = ics::read(&with(lines), "a.ics").unwrap();
    let all = drafts(&calendar, &rules()).unwrap_err();
    let all: Vec<String> = all
        .iter()
        .map(|(line, text)| format!("{line}: {text}"))
        .collect();
    all.join("\n")
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

#[test]
fn a_campaign_is_read_with_its_title_kind_apis_and_minimum() {
    let found = all(SHOP);
    let friday = &found.events[0];
    assert_eq!(friday.line, 15);
    assert_eq!(friday.event.title, "Black Friday, all departments");
    assert_eq!(friday.event.kind, "campaign");
    assert_eq!(
        friday.apis,
        Some(vec!["orders".into(), "shop/search".into()])
    );
    assert_eq!(friday.at_least, Some(4.0));
    assert_eq!(friday.event.start_ms, ms("2026-11-26T23:00:00Z"));
    assert_eq!(friday.event.duration_s, 86_400);
    assert_eq!(friday.event.recurrence, None);
}

#[test]
fn a_series_keeps_its_rule_its_zone_and_its_exceptions() {
    let found = all(SHOP);
    let series = found.events[1].event.recurrence.as_ref().unwrap();
    assert_eq!(series.rrule, "FREQ=WEEKLY;BYDAY=MO;UNTIL=20271231T225959Z");
    assert_eq!(series.time_zone, "Europe/Berlin");
    // The moved one, the cancelled one, and the one that was excepted.
    let except = [
        "2026-11-30T08:00:00Z",
        "2026-12-07T08:00:00Z",
        "2026-12-28T08:00:00Z",
    ];
    assert_eq!(series.exdate_ms, except.map(ms));
    assert_eq!(series.rdate_ms, [ms("2026-12-23T08:00:00Z")]);
    assert_eq!(found.events[1].event.duration_s, 5_400);
}

#[test]
fn a_moved_occurrence_is_an_event_of_its_own_and_a_cancelled_one_is_none() {
    let found = all(SHOP);
    let moved = &found.events[2];
    assert_eq!(moved.uid, "newsletter@shop.example#20261130T080000Z");
    assert_eq!(moved.event.start_ms, ms("2026-11-30T05:00:00Z"));
    assert_eq!(moved.event.duration_s, 4 * 3600);
    assert_eq!(moved.event.recurrence, None);
    assert_eq!(found.events.len(), 4);
    assert_eq!(
        found.cancelled,
        [
            "newsletter@shop.example#20261207T080000Z",
            "off@shop.example"
        ]
    );
}

#[test]
fn a_day_lasts_from_midnight_to_midnight_where_it_is() {
    let found = all(SHOP);
    let holiday = &found.events[3].event;
    assert_eq!(holiday.kind, "public-holiday");
    assert_eq!(holiday.start_ms, ms("2026-10-02T22:00:00Z"));
    assert_eq!(holiday.duration_s, 86_400);
    // The day on which the clock is put forward has 23 hours, the one in autumn 25.
    let day = |day: &str| one(&format!("DTSTART;VALUE=DATE:{day}")).duration_s;
    assert_eq!(day("20260329"), 23 * 3600);
    assert_eq!(day("20261025"), 25 * 3600);
    // In a series it is a day, whichever it begins with.
    assert_eq!(
        one("DTSTART;VALUE=DATE:20260329\r\nRRULE:FREQ=DAILY").duration_s,
        86_400
    );
}

#[test]
fn a_duration_of_days_follows_the_clock_and_one_of_hours_does_not() {
    let of = |duration: &str| {
        let lines = format!("DTSTART;TZID=Europe/Berlin:20260328T120000\r\nDURATION:{duration}");
        one(&lines).duration_s
    };
    assert_eq!(of("P1D"), 23 * 3600);
    assert_eq!(of("PT24H"), 24 * 3600);
    assert_eq!(of("P1W"), 7 * 86_400 - 3600);
}

#[test]
fn a_zone_is_known_behind_a_vendors_prefix() {
    let zone = |tzid: &str| {
        one(&format!(
            "DTSTART;TZID={tzid}:20260701T120000\r\nDURATION:PT1H"
        ))
        .start_ms
    };
    assert_eq!(
        zone("/freeassociation.sourceforge.net/America/New_York"),
        ms("2026-07-01T16:00:00Z")
    );
    assert_eq!(zone("Asia/Tokyo"), ms("2026-07-01T03:00:00Z"));
}

#[test]
fn a_day_among_the_exceptions_is_the_occurrence_of_that_day() {
    let series = one(
        "DTSTART:20260101T090000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY\r\nEXDATE;VALUE=DATE:20260103,20260102",
    );
    let except = ["2026-01-02T09:00:00Z", "2026-01-03T09:00:00Z"].map(ms);
    assert_eq!(series.recurrence.unwrap().exdate_ms, except);
}

#[test]
fn a_mistake_is_told_at_its_line_with_what_to_do() {
    assert!(mistakes("CATEGORIES:x\r\nDTSTART:20260101T090000Z").starts_with("3: it has no UID"));
    assert!(mistakes("UID:1\r\nCATEGORIES:x").contains("it has no DTSTART"));
    let kind = mistakes("UID:1\r\nDTSTART:20260101T090000Z\r\nDURATION:PT1H");
    assert!(kind.contains("give --kind"), "{kind}");
    let start = mistakes("UID:1\r\nCATEGORIES:x\r\nDTSTART:Friday");
    assert_eq!(
        start,
        "6: DTSTART: `Friday` is no time; it should read 20261127T090000Z, 20261127T090000 or 20261127"
    );
    let zone = mistakes("UID:1\r\nCATEGORIES:x\r\nDTSTART;TZID=Atlantis:20260101T090000");
    assert!(zone.contains("--zone 'Atlantis=Europe/Berlin'"), "{zone}");
    let length = mistakes("UID:1\r\nCATEGORIES:x\r\nDTSTART:20260101T090000Z");
    assert!(length.contains("--lasts 1h"), "{length}");
    let back =
        mistakes("UID:1\r\nCATEGORIES:x\r\nDTSTART:20260101T090000Z\r\nDTEND:20260101T080000Z");
    assert!(
        back.starts_with("7: DTEND: it ends before it begins"),
        "{back}"
    );
    let rule = mistakes(
        "UID:1\r\nCATEGORIES:x\r\nDTSTART:20260101T090000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=NEVER",
    );
    assert!(
        rule.starts_with("8: RRULE: `NEVER` is no frequency"),
        "{rule}"
    );
    let range = mistakes(
        "UID:1\r\nCATEGORIES:x\r\nDTSTART:20260101T090000Z\r\nDURATION:PT1H\r\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260101T090000Z",
    );
    assert!(range.contains("end the series with UNTIL"), "{range}");
}

#[test]
fn the_same_uid_twice_is_a_mistake() {
    let twice = "UID:1\r\nCATEGORIES:x\r\nDTSTART:20260101T090000Z\r\nDURATION:PT1H";
    let text = mistakes(&format!("{twice}\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\n{twice}"));
    assert_eq!(
        text,
        "9: its UID `1` stands at line 3 already; give it another"
    );
}

#[test]
fn what_has_no_kind_or_length_gets_the_given_ones() {
    let text = with("UID:1\r\nDTSTART:20260101T090000Z");
    let given = Rules {
        kind: Some("batch".into()),
        lasts: Some(900),
        ..rules()
    };
    let found = drafts(&ics::read(&text, "a.ics").unwrap(), &given).unwrap();
    assert_eq!(found.events[0].event.kind, "batch");
    assert_eq!(found.events[0].event.duration_s, 900);
}

#[test]
fn rubbish_is_refused_by_its_line() {
    let refused = |text: &str| ics::read(text, "a.ics").unwrap_err().to_string();
    assert_eq!(
        refused(""),
        "a.ics: it is empty; give an iCalendar file (.ics)"
    );
    assert!(refused("kind: event\n").starts_with("a.ics:1: this is outside of BEGIN:VCALENDAR"));
    assert!(
        refused("BEGIN:VCARD\n").starts_with("a.ics:1: a calendar begins with BEGIN:VCALENDAR")
    );
    assert!(
        refused("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n")
            .contains("a.ics:2: BEGIN:VEVENT is never closed")
    );
    assert!(
        refused("BEGIN:VCALENDAR\nEND:VEVENT\n")
            .starts_with("a.ics:2: END:VEVENT closes BEGIN:VCALENDAR of line 1")
    );
    assert!(
        refused("BEGIN:VCALENDAR\nhello\nEND:VCALENDAR\n")
            .starts_with("a.ics:2: this is no line of a calendar")
    );
    let deep = "BEGIN:VCALENDAR\n".to_owned() + &"BEGIN:X\n".repeat(100_000);
    assert!(refused(&deep).starts_with("a.ics:9: components are nested deeper"));
}

#[test]
fn lines_with_bare_line_feeds_and_a_byte_order_mark_are_read() {
    let text = format!(
        "\u{feff}{}",
        with("UID:1\r\nCATEGORIES:x\r\nDTSTART:20260101T090000Z\r\nDURATION:PT1H")
    );
    assert_eq!(all(&text.replace("\r\n", "\n\n")).events.len(), 1);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(lines in "[ -~\\n]{0,200}") {
        for text in [lines.clone(), with(&lines), with(&format!("UID:1\nDTSTART:{lines}"))] {
            if let Ok(calendar) = ics::read(&text, "a.ics") {
                let _ = drafts(&calendar, &rules());
            }
        }
    }
}
