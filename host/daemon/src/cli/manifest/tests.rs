//! Manifests as people write them: what is understood, and what a mistake is told.

use super::*;

fn one(yaml: &str) -> Which {
    let mut objects = parse(yaml, "shop.yaml").unwrap();
    assert_eq!(objects.len(), 1);
    objects.remove(0).object
}

/// The whole message of a bad file.
fn check(yaml: &str, expected: &str) {
    let error = parse(yaml, "a.yaml").unwrap_err().to_string();
    assert_eq!(error, expected, "\n{yaml}");
}

#[test]
fn a_document_is_what_it_says_on_the_wire() {
    let pool = one(
        "# a pool\nkind: pool\nname: edge\nready: {cpu: 16, memory: 32Gi, requests: 2.5k}\nlead_time: 90s\nquotas:\n  shop: {cpu: 500m}\n",
    );
    let resources = |cpu, memory, requests| v1::Resources {
        cpu,
        memory,
        requests,
        ..Default::default()
    };
    assert_eq!(
        pool,
        Which::Pool(v1::Pool {
            name: "edge".into(),
            ready: Some(resources(Some(16.0), Some(34_359_738_368.0), Some(2500.0))),
            lead_time_s: 90,
            quotas: [("shop".to_owned(), resources(Some(0.5), None, None))].into(),
            ..Default::default()
        })
    );
    let slo = one(
        "kind: slo\nname: shop/fast\napi: shop/pay\nlatency: 200ms\nobjective: 99.9%\nwindow: 30d\n",
    );
    let Which::Slo(slo) = slo else {
        panic!("no SLO")
    };
    assert_eq!(slo.window_s, 2_592_000);
    assert!((slo.objective - 0.999).abs() < 1e-12);
    let latency = v1::LatencyIndicator { threshold: 0.2 };
    assert_eq!(slo.indicator, Some(v1::slo::Indicator::Latency(latency)));
    let event = one(
        "kind: event\nname: shop/friday\ntype: campaign\nstart: 2026-11-27T00:00:00Z\nduration: 24h\nminimum_uplift: 3\n",
    );
    let Which::Event(event) = event else {
        panic!("no event")
    };
    assert_eq!(
        (event.start_ms, event.duration_s, event.kind.as_str()),
        (1_795_737_600_000, 86_400, "campaign")
    );
    let binding = one(
        "kind: binding\nname: b\ntype: forecaster\nmodule: ets\nselector: {tenant: shop}\nconfig: {season: 24}\n",
    );
    let Which::Binding(binding) = binding else {
        panic!("no binding")
    };
    assert_eq!(binding.config, "{\"season\":24}");
    assert_eq!(binding.kind(), v1::ModuleKind::Forecaster);
}

#[test]
fn challengers_are_names_or_maps_and_come_back_as_they_were_written() {
    let binding = one(
        "kind: binding\nname: b\ntype: forecaster\nmodule: ets\nchallengers:\n- seasonal-naive\n- module: theta\n  config: {season: 24}\n",
    );
    let Which::Binding(declared) = &binding else {
        panic!("no binding")
    };
    let told: Vec<(&str, &str)> = declared
        .challengers
        .iter()
        .map(|c| (c.module.as_str(), c.config.as_str()))
        .collect();
    assert_eq!(told, [("seasonal-naive", ""), ("theta", "{\"season\":24}")]);
    let json = crate::cli::json::object(&binding);
    assert_eq!(json["challengers"][0], "seasonal-naive");
    assert_eq!(one(&json.to_string()), binding);

    let text =
        "kind: binding\nname: b\ntype: forecaster\nmodule: ets\nchallengers: [{modul: theta}]\n";
    let told = parse(text, "a.yaml").unwrap_err().to_string();
    assert!(
        told.contains("a.yaml:5") && told.contains("modul"),
        "{told}"
    );
    let text = "kind: binding\nname: b\ntype: forecaster\nmodule: ets\nchallengers: [5]\n";
    let told = parse(text, "a.yaml").unwrap_err().to_string();
    assert!(told.contains("a.yaml:5"), "{told}");
}

#[test]
fn a_shadow_and_a_gate_come_back_as_they_were_written() {
    let head = "kind: binding\nname: b\ntype: allocator\nmodule: waterfill\n";
    let binding = one(&format!(
        "{head}shadow: {{module: learned, config: {{rate: 2}}}}\ngate:\n  promote: manual\n  alpha: 0.5%\n  margin: 0.02\n  min_duration: 6h\n  max_duration: 7d\n  watch: 0s\n  backtest: {{window: 7d, worse_by: 10%}}\n"
    ));
    let Which::Binding(declared) = &binding else {
        panic!("no binding")
    };
    let shadow = declared.shadow.clone().unwrap();
    assert_eq!(
        (shadow.module.as_str(), shadow.config.as_str()),
        ("learned", "{\"rate\":2}")
    );
    let gate = v1::Gate {
        promote: v1::Promotion::Manual.into(),
        alpha: Some(50),
        margin: Some(0.02),
        min_duration_s: Some(21_600),
        max_duration_s: Some(604_800),
        watch_s: Some(0),
        backtest: Some(v1::BacktestGate {
            window_s: 604_800,
            worse_by: 0.1,
        }),
    };
    assert_eq!(declared.gate, Some(gate));
    let json = crate::cli::json::object(&binding);
    assert_eq!(one(&json.to_string()), binding);

    for (text, part) in [
        ("shadow: 5\n", "a.yaml:5"),
        ("shadow: {modul: learned}\n", "modul"),
        ("gate: {promote: always}\n", "always"),
        ("gate: {alpha: often}\n", "not a part"),
        ("gate: {watch: forever}\n", "not a duration"),
        ("gate: {backtest: {window: 7d}}\n", "worse_by"),
    ] {
        let told = parse(&format!("{head}{text}"), "a.yaml").unwrap_err();
        assert!(format!("{told:#}").contains(part), "{told:#}");
    }
}

#[test]
fn the_shipped_example_is_right_and_comes_back_as_it_was() {
    let text = include_str!("../../../examples/shop.yaml");
    let objects = parse(text, "shop.yaml").unwrap();
    let count = |kind| objects.iter().filter(|d| key(&d.object).0 == kind).count();
    assert_eq!(
        (
            count(v1::ObjectKind::Api),
            count(v1::ObjectKind::Slo),
            count(v1::ObjectKind::Event)
        ),
        (3, 2, 2)
    );
    for declared in objects {
        let json = crate::cli::json::object(&declared.object).to_string();
        assert_eq!(one(&json), declared.object, "{json}");
    }
}

#[test]
fn an_event_by_a_rule_is_told_on_the_wall_and_kept_as_instants() {
    let event =
        "kind: event\nname: shop/news\ntype: news\nduration: 90m\nstart: 2026-10-19T09:00\n";
    let of = |more: &str| match one(&format!("{event}{more}")) {
        Which::Event(event) => event,
        other => panic!("no event: {other:?}"),
    };
    let found = of(
        "rrule: RRULE:freq=weekly;byday=mo\ntimezone: Europe/Berlin\nexdate: [2026-10-26]\nrdate: ['2026-10-27T12:00', '2026-10-28T12:00:00Z']\n",
    );
    let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!(found.start_ms, ms("2026-10-19T07:00:00Z"));
    let recurrence = found.recurrence.unwrap();
    assert_eq!(recurrence.rrule, "FREQ=WEEKLY;BYDAY=MO");
    assert_eq!(recurrence.time_zone, "Europe/Berlin");
    // The clock was put back on the 25th: nine o'clock is an hour later in UTC.
    assert_eq!(recurrence.exdate_ms, [ms("2026-10-26T08:00:00Z")]);
    let more = ["2026-10-27T11:00:00Z", "2026-10-28T12:00:00Z"];
    assert_eq!(recurrence.rdate_ms, more.map(ms));
    let once = of("time_zone: Asia/Tokyo\n");
    assert_eq!(
        (once.start_ms, once.recurrence),
        (ms("2026-10-19T00:00:00Z"), None)
    );
}

#[test]
fn a_mistake_in_a_rule_is_told_at_its_line() {
    let event =
        "kind: event\nname: shop/news\ntype: news\nduration: 90m\nstart: 2026-10-19T09:00\n";
    let refused = |more: &str| {
        parse(&format!("{event}{more}"), "a.yaml")
            .unwrap_err()
            .to_string()
    };
    let rule = refused("rrule: FREQ=WEEKLY;BYDAYS=MO\n");
    assert!(
        rule.starts_with("a.yaml:6: rrule: `BYDAYS` is no part of a rule"),
        "{rule}"
    );
    let zone = refused("rrule: FREQ=WEEKLY\ntime_zone: Mars/Olympus\n");
    assert!(
        zone.starts_with("a.yaml:7: `Mars/Olympus` is no IANA time zone"),
        "{zone}"
    );
    let both = refused("rrule: FREQ=WEEKLY\nevery: 7d\n");
    assert!(both.starts_with("a.yaml:1: it has both"), "{both}");
    let none = refused("exdate: [2026-12-28]\n");
    assert!(none.contains("add `rrule` or remove it"), "{none}");
}

#[test]
fn a_place_is_the_first_line_of_its_document() {
    let objects = parse(
        "---\n# head\nkind: tenant\nname: a\n---\n\n---\n\nkind: tenant\nname: b\n",
        "x.yaml",
    )
    .unwrap();
    let places: Vec<&str> = objects.iter().map(|d| d.place.as_str()).collect();
    assert_eq!(places, ["x.yaml:3", "x.yaml:9"]);
}

#[test]
fn a_mistake_names_its_line_and_what_was_meant() {
    let api = "kind: api\nname: shop/pay\npool: edge\n";
    check(
        "kind: tenant\nnaem: shop\n",
        "a.yaml:2: unknown key `naem` (did you mean `name`?)",
    );
    check(
        "kind: tenant\nname: a\n---\nkind: pool\nname: e\nready:\n  cpus: 1\n",
        "a.yaml:7: unknown key `cpus` (did you mean `cpu`?)",
    );
    check(
        "kind: tennant\nname: a\n",
        &format!(
            "a.yaml:1: `tennant` is no kind of object (did you mean `tenant`?); kinds are {}",
            KINDS.join(", ")
        ),
    );
    check(
        "# c\nname: a\n",
        &format!(
            "a.yaml:2: it does not say what it declares; add `kind: {}`",
            KINDS.join("|")
        ),
    );
    check(
        &format!("{api}base_tier: golden\n"),
        "a.yaml:4: unknown word `golden` (did you mean `gold`?)",
    );
    check(
        &format!("{api}mode: enforced\n"),
        "a.yaml:4: unknown word `enforced` (did you mean `enforce`?)",
    );
    check(
        &format!("{api}ceiling: {{memory: 32Gb}}\n"),
        "a.yaml:4: `32Gb` is not an amount; write for example 16, 500m, 2.5k or 32Gi",
    );
    check(
        &format!("{api}floor: {{requests: -4}}\n"),
        "a.yaml:4: -4 is below 0 or no number",
    );
    check(
        "kind: pool\nname: e\nready: {cpu: 1}\nlead_time: soon\n",
        "a.yaml:4: `soon` is not a duration; write for example 90s, 15m, 6h or 14d",
    );
    let slo = "kind: slo\nname: s/a\napi: s/b\nwindow: 30d\n";
    check(
        &format!("{slo}objective: 99.9\nlatency: 1s\n"),
        "a.yaml:5: 99.9 is not a part; write 99.9% or 0.999",
    );
    check(
        &format!("{slo}objective: 0.9\nlatency: 200 parsecs\n"),
        "a.yaml:6: `200 parsecs` is not a latency; write for example 200ms or 1.5s",
    );
    check(
        &format!("{slo}objective: 0.9\n"),
        "a.yaml:1: it does not say which requests are bad; add `latency: 200ms` (slower or failed) or `availability: {}` (failed)",
    );
    check(
        &format!("{slo}objective: 0.9\nlatency: 1s\navailability: {{}}\n"),
        "a.yaml:1: it has both `latency` and `availability`; a latency SLO counts failed requests as bad already, so remove one",
    );
    let event = "kind: event\nname: s/e\ntype: campaign\nduration: 1h\n";
    check(
        &format!("{event}start: tomorrow\n"),
        "a.yaml:5: `tomorrow` is not an instant; write for example 2026-11-27T09:00:00Z, or seconds since the epoch",
    );
    check(
        "# nothing\n",
        &format!(
            "a.yaml: it declares nothing; a document begins with `kind: {}`",
            KINDS.join("|")
        ),
    );
}

#[test]
fn a_missing_key_and_broken_yaml_name_a_line_too() {
    for (yaml, parts) in [
        (
            "kind: api\nname: shop/pay\n",
            ["a.yaml:1", "is missing", "`pool`"],
        ),
        ("kind: tenant\nname: [a\n", ["a.yaml:", "", ""]),
        (
            "kind: tenant\nname: a\nname: b\n",
            ["a.yaml:3", "second time", "`name`"],
        ),
    ] {
        let error = parse(yaml, "a.yaml").unwrap_err().to_string();
        assert!(
            parts.iter().all(|p| error.contains(p)) && !error.contains('\n'),
            "{error}"
        );
    }
}

#[test]
fn the_same_object_twice_is_told_with_both_places() {
    let objects = parse(
        "kind: tenant\nname: a\n---\nkind: tenant\nname: a\n",
        "a.yaml",
    )
    .unwrap();
    let error = twice(&objects).unwrap_err().to_string();
    assert_eq!(
        error,
        "a.yaml:4: tenant `a` was declared already at a.yaml:1; remove one of them"
    );
}

#[test]
fn a_template_comes_back_as_it_was_written_and_its_mistakes_have_their_line() {
    let text = "kind: template\nname: shop/all\nselector: {tenant: shop, labels: {class: web}}\nbase_tier: gold\nfloor: {cpu: 500m}\nslos:\n- name: fast\n  latency: 200ms\n  objective: 99%\n  window: 7d\n  judged: together\n";
    let template = one(text);
    let Which::Template(declared) = &template else {
        panic!("no template")
    };
    assert_eq!(declared.slos[0].judged(), v1::Judged::Together);
    assert_eq!(
        (declared.mode(), declared.weight),
        (v1::Mode::Unspecified, None)
    );
    let json = crate::cli::json::object(&template).to_string();
    assert_eq!(one(&json), template, "{json}");
    for (wrong, line) in [
        (text.replace("window", "windw"), "a.yaml:10"),
        (text.replace("together", "apart"), "a.yaml:11"),
        (text.replace("  latency: 200ms\n", ""), "a.yaml:7"),
    ] {
        let told = parse(&wrong, "a.yaml").unwrap_err().to_string();
        assert!(told.contains(line), "{told}");
    }
}
