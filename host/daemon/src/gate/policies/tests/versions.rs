//! Versions in shadow, past the gate and back, and what the journal tells of them.

use super::*;
use crate::life;
use tidegate_core::life::{Actor, Event, Side, Version};
use tidegate_core::module::ShadowModule;

fn in_shadow(id: &str, module: &str, shadow: &str, config: &str) -> Object {
    let Object::Binding(binding) = binding(id, module, Some("shop")) else {
        panic!("no binding")
    };
    Object::Binding(Binding {
        shadow: Some(ShadowModule {
            module: shadow.into(),
            config: config.into(),
        }),
        ..binding
    })
}

fn name(version: Option<&Version>) -> &str {
    version.map_or("-", |v| v.module.name.as_str())
}

/// What happened to a binding: what, from, to, and whether it was forced.
fn past(gate: &Gate, caller: &Principal, of: &str) -> Vec<(Event, String, String, bool)> {
    let steps = gate.history(caller, of).unwrap().into_iter();
    let told = |s: Step| {
        let (from, to) = (name(s.from.as_ref()), name(s.to.as_ref()));
        let forced = s.ground == Ground::Forced;
        (s.event, from.to_owned(), to.to_owned(), forced)
    };
    steps.map(told).collect()
}

fn events(gate: &Gate, of: &str) -> Vec<Event> {
    let steps = gate.history(&Principal::local(), of).unwrap().into_iter();
    steps.map(|s| s.event).collect()
}

fn serves(gate: &Gate, binding: &str) -> Option<String> {
    let (module, _) = gate.world.policies.serving(&id(binding))?;
    Some(module.name)
}

#[test]
fn a_shadow_serves_nobody_until_the_gate_or_a_forced_word_promotes_it_and_is_taken_back_on_evidence()
 {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let (writer, own) = (of(Role::Writer, &["shop"]), id("shop-own"));
    let slot = gate.put_in_shadow(&writer, &own, "theta", None).unwrap();
    assert_eq!(slot.active.name, "seasonal-naive");
    let trial = slot.trial.unwrap();
    assert_eq!(trial.serving, Side::Incumbent);
    assert_eq!(trial.candidate.module.name, "theta");
    // The same again changes nothing, and another takes its place.
    gate.put_in_shadow(&writer, &own, "theta", None).unwrap();
    gate.put_in_shadow(&writer, &own, "ets", None).unwrap();

    let refused = gate.promote(&writer, &own, Ground::Ordinary).unwrap_err();
    let told = refused.to_string();
    for part in [
        "nothing was compared yet",
        "0 decisions",
        "of at least 1d",
        "--force",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let slot = gate.promote(&writer, &own, Ground::Forced).unwrap();
    assert_eq!(slot.active.name, "ets");
    assert_eq!(slot.last_good.unwrap().name, "seasonal-naive");
    let watch = slot.trial.unwrap();
    assert_eq!(watch.serving, Side::Candidate);
    assert_eq!(watch.incumbent.module.name, "seasonal-naive");
    let nothing = gate.promote(&writer, &own, Ground::Forced).unwrap_err();
    assert!(nothing.to_string().contains("policy shadow shop-own"));

    // What is put in shadow meanwhile waits for the end of the watch.
    gate.put_in_shadow(&writer, &own, "theta", None).unwrap();
    let waits = gate.promote(&writer, &own, Ground::Ordinary).unwrap_err();
    assert!(waits.to_string().contains("still watched"), "{waits}");
    let trials = life::trials(&gate.world);
    assert_eq!(trials.iter().filter(|t| t.binding == own).count(), 1);

    // The evidence turns against it.
    let word = Word::gate("it loses 40 % more");
    life::roll_back(&gate.world, &own, &word).unwrap();
    assert_eq!(serves(&gate, "shop-own").as_deref(), Some("seasonal-naive"));
    let refused = gate.put_in_shadow(&writer, &own, "ets", None).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.contains("RB1") && told.contains("--binding shop-own --lift"),
        "{told}"
    );
    let by_file = Change::Put {
        object: Box::new(in_shadow("shop-own", "seasonal-naive", "ets", "{}")),
        expect: None,
    };
    let refused = gate.apply(&writer, vec![by_file], Run::Real).unwrap_err();
    assert!(refused.to_string().contains("shadow.module"), "{refused}");

    let trial = life::trial(&gate.world, &own).unwrap();
    assert_eq!(
        (trial.serving, name(Some(&trial.candidate))),
        (Side::Incumbent, "theta")
    );
    assert_eq!(trial.silent_version(), &trial.candidate);
    assert_eq!(trial.kind, trial.silent.policy.kind());
    life::promote(&gate.world, &own, &Word::gate("it loses less")).unwrap();
    life::end_watch(&gate.world, &own, &Word::gate("no harm in a day")).unwrap();
    assert!(life::trial(&gate.world, &own).is_none());

    let all = past(&gate, &writer, "shop-own");
    let told: Vec<(Event, &str, &str, bool)> = all
        .iter()
        .map(|(event, from, to, forced)| (*event, from.as_str(), to.as_str(), *forced))
        .collect();
    assert_eq!(
        told,
        [
            (Event::Bound, "-", "seasonal-naive", false),
            (Event::Shadowed, "-", "theta", false),
            (Event::ShadowEnded, "theta", "-", false),
            (Event::Shadowed, "-", "ets", false),
            (Event::Promoted, "seasonal-naive", "ets", true),
            (Event::Shadowed, "-", "theta", false),
            (Event::RolledBack, "ets", "seasonal-naive", false),
            (Event::Quarantined, "ets", "-", false),
            (Event::Promoted, "seasonal-naive", "theta", false),
            (Event::Retired, "seasonal-naive", "-", false),
        ]
    );
    let steps = gate.history(&writer, "shop-own").unwrap();
    assert_eq!(steps[8].by, Actor::Gate);
    assert_eq!(steps[8].reason, "it loses less");
}

#[test]
fn the_journal_and_what_stands_behind_outlive_a_restart_and_tell_a_tenant_only_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let admin = Principal::local();
    let first = world(dir.path());
    first.bind(&admin, &id("shop-own"), "ets", None).unwrap();
    first.put(vec![in_shadow("shop-own", "ets", "theta", "{}")]);
    first
        .bind(&admin, &id("default-forecaster"), "arima", None)
        .unwrap();
    let before = past(&first, &admin, "shop-own");
    first.world.store.close();
    drop(first);

    let gate = world(dir.path());
    life::restore(&gate.world);
    assert_eq!(past(&gate, &admin, "shop-own"), before);
    let slot = gate.rollback(&admin, &id("shop-own")).unwrap();
    assert_eq!(slot.active.name, "seasonal-naive");
    assert_eq!(slot.trial.unwrap().candidate.module.name, "theta");

    // Of the operator's binding a tenant reads what happened, and neither who nor why.
    let writer = of(Role::Writer, &["shop"]);
    let steps = gate.history(&writer, "default-forecaster").unwrap();
    let last = steps.last().unwrap();
    assert_eq!((last.event, last.ground), (Event::Bound, Ground::Forced));
    assert_eq!(
        (last.by.to_string().as_str(), last.reason.as_str()),
        ("others", "")
    );
    assert!(
        !gate
            .history(&admin, "default-forecaster")
            .unwrap()
            .last()
            .unwrap()
            .reason
            .is_empty()
    );
    // Of another tenant's, nothing: as of what is not there.
    let stranger = gate.history(&writer, "bank-own").unwrap_err().to_string();
    let nobody = gate.history(&writer, "void-own").unwrap_err().to_string();
    assert_eq!(stranger.replace("bank", "void"), nobody);
    let of_module = past(&gate, &writer, "ets");
    assert!(
        of_module
            .iter()
            .any(|(event, ..)| *event == Event::Admitted)
    );
    assert!(
        gate.history(&writer, "ets")
            .unwrap()
            .iter()
            .all(|s| s.party.as_ref().is_none_or(|t| t.as_str() == "shop"))
    );
}

#[test]
fn files_faults_and_words_leave_their_steps() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let admin = Principal::local();
    gate.put(vec![in_shadow("shop-own", "seasonal-naive", "ets", "{}")]);
    gate.put(vec![binding("shop-own", "theta", Some("shop"))]);
    fail(&gate, "shop-own");
    assert_eq!(serves(&gate, "shop-own").as_deref(), Some("seasonal-naive"));
    let faults = gate.history(&admin, "shop-own").unwrap();
    let fault = faults
        .iter()
        .find(|s| s.event == Event::RolledBack)
        .unwrap();
    assert_eq!(fault.by, Actor::Faults);
    assert!(fault.reason.contains("unreachable"), "{}", fault.reason);

    // A word for one binding takes the version out there and nowhere else.
    gate.bind(&admin, &id("bank-own"), "seasonal-naive", None)
        .unwrap();
    let shop = id("shop-own");
    let told = gate
        .quarantine(&admin, "seasonal-naive", Some(&shop))
        .unwrap();
    assert_eq!(told.quarantined_for, std::slice::from_ref(&shop));
    assert_eq!(serves(&gate, "shop-own"), None, "the baseline is left");
    assert_eq!(serves(&gate, "bank-own").as_deref(), Some("seasonal-naive"));
    // Lifted, what the catalog names serves again.
    gate.lift(&admin, "seasonal-naive", Some(&shop)).unwrap();
    assert_eq!(serves(&gate, "shop-own").as_deref(), Some("seasonal-naive"));

    // Everywhere is for who answers for all.
    let writer = of(Role::Operator, &["shop"]);
    let denied = gate.quarantine(&writer, "ets", None).unwrap_err();
    assert!(denied.to_string().contains("--binding"), "{denied}");
    gate.put_in_shadow(&admin, &shop, "arima", None).unwrap();
    gate.quarantine(&admin, "arima", None).unwrap();
    assert!(life::trial(&gate.world, &shop).is_none());
    let refused = gate.lift(&writer, "arima", Some(&shop)).unwrap_err();
    assert!(
        refused.to_string().contains("--everywhere --lift"),
        "{refused}"
    );
    gate.lift(&admin, "arima", None).unwrap();
    gate.put_in_shadow(&writer, &shop, "arima", None).unwrap();

    gate.delete(&[binding("shop-own", "theta", Some("shop"))]);
    assert_eq!(
        events(&gate, "shop-own"),
        [
            Event::Bound,
            Event::Shadowed,
            Event::Bound,
            Event::ShadowEnded,
            Event::RolledBack,
            Event::Quarantined,
            Event::Quarantined,
            Event::RolledBack,
            Event::Lifted,
            Event::Bound,
            Event::Shadowed,
            Event::ShadowEnded,
            Event::Shadowed,
            Event::ShadowEnded,
            Event::Retired,
        ]
    );
}

#[test]
fn a_shadow_that_is_found_harmful_is_quarantined_unless_it_is_what_serves_with_another_config() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let (admin, own) = (Principal::local(), id("shop-own"));
    let word = Word::gate("it loses twice as much");
    gate.put_in_shadow(&admin, &own, "ets", None).unwrap();
    life::end_shadow(&gate.world, &own, life::End::Harmful, &word).unwrap();
    let digest = gate
        .world
        .policies
        .find("ets", crate::policies::Whose::Shared);
    assert!(!gate.world.policies.admits(&own, digest.unwrap().digest()));

    let other = Some(r#"{"season":"shortest"}"#.to_owned());
    let put = gate.put_in_shadow(&admin, &own, "seasonal-naive", other);
    let Ok(slot) = put else {
        panic!("a config is another version: {put:?}")
    };
    assert_eq!(
        slot.trial.unwrap().candidate.config,
        r#"{"season":"shortest"}"#
    );
    life::end_shadow(&gate.world, &own, life::End::Harmful, &word).unwrap();
    assert_eq!(serves(&gate, "shop-own").as_deref(), Some("seasonal-naive"));
    let none = life::end_shadow(&gate.world, &own, life::End::Harmless, &word).unwrap_err();
    assert!(none.to_string().contains("nothing is in shadow"), "{none}");
}

#[test]
fn what_is_in_shadow_is_compared_by_what_it_is_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let (admin, own) = (Principal::local(), id("shop-own"));
    gate.put_in_shadow(&admin, &own, "ets", None).unwrap();
    let told = gate.compare(&admin, "seasonal-naive", "ets").unwrap();
    assert_eq!(told.trials.len(), 1);
    assert!(!told.a.exports.is_empty() && !told.b.imports.is_empty());
    // Who does not see the binding hears of no comparison.
    let bank = of(Role::Reader, &["bank"]);
    let told = gate.compare(&bank, "seasonal-naive", "ets").unwrap();
    assert_eq!(told.trials, []);
    assert!(gate.compare(&admin, "ets", "oracle").is_err());
}

#[test]
fn what_nothing_was_concluded_of_ends_when_its_time_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let (admin, own) = (Principal::local(), id("shop-own"));
    let Object::Binding(binding) = in_shadow("shop-own", "seasonal-naive", "ets", "{}") else {
        panic!("no binding")
    };
    let hours = tidegate_core::life::Gate {
        min_duration_s: 0,
        max_duration_s: 3600,
        watch_s: 7200,
        ..binding.gate
    };
    gate.put(vec![Object::Binding(Binding {
        gate: hours,
        ..binding
    })]);
    gate.to(59);
    assert!(life::trial(&gate.world, &own).is_some());
    gate.to(60);
    assert!(life::trial(&gate.world, &own).is_none());
    let last = |gate: &Gate| gate.history(&admin, "shop-own").unwrap().pop().unwrap();
    let ended = last(&gate);
    assert_eq!((ended.event, &ended.by), (Event::ShadowEnded, &Actor::Gate));
    assert!(ended.reason.contains("inconclusive"), "{}", ended.reason);
    // It did no harm: it may be tried again.
    gate.put_in_shadow(&admin, &own, "ets", None).unwrap();
    gate.promote(&admin, &own, Ground::Forced).unwrap();
    gate.to(179);
    assert!(life::trial(&gate.world, &own).is_some_and(|t| t.is_watch()));
    gate.to(180);
    assert!(life::trial(&gate.world, &own).is_none());
    let retired = last(&gate);
    assert_eq!(retired.event, Event::Retired);
    assert_eq!(name(retired.from.as_ref()), "seasonal-naive");
    // The watch is over, and the way back is not.
    gate.rollback(&admin, &own).unwrap();
    assert_eq!(serves(&gate, "shop-own").as_deref(), Some("seasonal-naive"));
}
