//! Names, apis and what is over, of a calendar that is read again.

use super::*;
use clap::Parser as _;

#[derive(Debug, clap::Parser)]
struct Verb {
    #[command(flatten)]
    args: Args,
}

fn args(given: &[&str]) -> Args {
    let words = ["import", "shop.ics"].iter().chain(given);
    Verb::try_parse_from(words).unwrap().args
}

fn shop(args: &Args) -> Read {
    let text = include_str!("../fixtures/shop.ics");
    let calendar = ics::read(text, "shop.ics").unwrap();
    let found = drafts(&calendar, &rules(args, &calendar).unwrap()).unwrap();
    Read {
        file: "shop.ics".into(),
        name: "Campaigns".into(),
        events: found.events,
        cancelled: found.cancelled,
    }
}

fn apis() -> Apis {
    let labels = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
    BTreeMap::from([
        ("shop/orders".to_owned(), labels("pay")),
        ("shop/search".to_owned(), labels("find")),
    ])
}

fn made(args: &Args, before: &[v1::Event]) -> Vec<v1::Event> {
    declared(args, &shop(args), "shop", &apis(), before).unwrap()
}

fn names(events: &[v1::Event]) -> Vec<&str> {
    events.iter().map(|e| e.name.as_str()).collect()
}

#[test]
fn a_calendar_that_is_read_again_makes_the_same_events() {
    let args = args(&[]);
    let first = made(&args, &[]);
    assert_eq!(
        names(&first),
        [
            "shop/black-friday-all-departments",
            "shop/newsletter",
            "shop/newsletter-cyber-monday",
            "shop/unity-day"
        ]
    );
    assert_eq!(made(&args, &first), first);
    assert_eq!(over(&args, &shop(&args), &first), [""; 0]);
}

#[test]
fn an_event_keeps_its_name_when_its_title_changes() {
    let args = args(&[]);
    let mut before = made(&args, &[]);
    before[0].name = "shop/the-friday".into();
    before[0].title = "The Friday".into();
    let again = made(&args, &before);
    assert_eq!(again[0].name, "shop/the-friday");
    assert_eq!(again[0].title, "Black Friday, all departments");
}

#[test]
fn a_name_that_another_has_is_told_apart_by_the_uid() {
    let args = args(&[]);
    let other = v1::Event {
        name: "shop/newsletter".into(),
        ..Default::default()
    };
    let found = made(&args, &[other]);
    assert!(
        found[1].name.starts_with("shop/newsletter-"),
        "{}",
        found[1].name
    );
    assert_ne!(found[1].name, found[2].name);
}

#[test]
fn only_what_this_calendar_made_is_pruned() {
    let (keep, prune) = (args(&[]), args(&["--prune"]));
    let mut before = made(&keep, &[]);
    let from = |calendar: &str, uid: &str, name: &str| v1::Event {
        name: name.into(),
        origin: Some(v1::EventOrigin {
            calendar: calendar.into(),
            uid: uid.into(),
        }),
        ..Default::default()
    };
    before.push(from("Campaigns", "gone@shop.example", "shop/gone"));
    before.push(from("Campaigns", "off@shop.example", "shop/off"));
    before.push(from("Holidays", "gone@shop.example", "shop/other"));
    before.push(v1::Event {
        name: "shop/by-hand".into(),
        ..Default::default()
    });
    assert_eq!(
        over(&keep, &shop(&keep), &before),
        ["shop/off"],
        "it was cancelled"
    );
    assert_eq!(
        over(&prune, &shop(&prune), &before),
        ["shop/gone", "shop/off"]
    );
}

#[test]
fn a_component_says_its_apis_and_minimum_before_the_flags_do() {
    let found = made(&args(&["--api", "search", "--at-least", "2.5x"]), &[]);
    assert_eq!(found[0].apis, ["shop/orders", "shop/search"]);
    assert_eq!(found[0].minimum_uplift, Some(4.0));
    assert_eq!(found[1].apis, ["shop/search"]);
    assert_eq!(found[1].minimum_uplift, Some(2.5));
    assert_eq!(
        made(&args(&["--selector", "team=pay"]), &[])[1].apis,
        ["shop/orders"]
    );
    assert_eq!(made(&args(&[]), &[])[1].apis, [""; 0], "all of the tenant");
}

#[test]
fn an_api_that_is_not_there_is_told_with_the_nearest() {
    let args = args(&["--api", "serch"]);
    let refused = declared(&args, &shop(&args), "shop", &apis(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("--api: there is no api `shop/serch` (did you mean `shop/search`?)"),
        "{refused}"
    );
    let empty = declared(&args_of_selector(), &shop(&args), "shop", &apis(), &[]).unwrap_err();
    assert!(
        empty
            .to_string()
            .contains("no api of the tenant has these labels")
    );
    let missing = declared(&self::args(&[]), &shop(&args), "shop", &Apis::new(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("shop.ics:15: there is no api `shop/orders`"),
        "{missing}"
    );
}

fn args_of_selector() -> Args {
    args(&["--selector", "team=none"])
}

#[test]
fn a_factor_is_a_number_above_zero() {
    for bad in ["0", "-1x", "inf", "many", ""] {
        assert!(at_least(bad).unwrap_err().contains("3x"), "{bad}");
    }
    assert_eq!(at_least("3x"), Ok(3.0));
}
