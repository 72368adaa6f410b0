//! What a trial finds beyond a component's form, and that its process boundary believes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use tidegate_core::module::ModuleKind;
use tidegate_engine::wire::{self, Answer, Bounds, Header, Verdict};
use tidegate_engine::{
    Engine, Limits, Options, Passed, Policy, Sample, Source, Terms, examine, try_config,
};
use tidegate_hostile::{BODY_OK, GROW, Guest, LOOP, answer as body_of, horizon, states};

fn terms() -> Terms {
    Terms::new(Limits::default(), &Options::default())
}

fn passes(guest: &Guest) -> Passed {
    examine(&guest.build().unwrap(), &terms(), |_| Ok(())).unwrap()
}

#[track_caller]
fn refused(guest: &Guest, parts: &[&str]) {
    let guest = guest.clone().manifest(
        "limits",
        json!({ "deadline_ms": 60, "fit_deadline_ms": 60 }),
    );
    let error = examine(&guest.build().unwrap(), &terms(), |_| Ok(()))
        .expect_err("it should be refused")
        .to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

/// An answer, without a process between.
fn answer(header: &Header, component: &[u8]) -> Answer {
    let mut question = vec![];
    wire::ask(&mut question, header, component).unwrap();
    let mut from = &question[..];
    let read = wire::header(&mut from).unwrap();
    assert_eq!(read, *header);
    let mut said = vec![];
    wire::answer(&mut from, &mut said, &read.terms).unwrap();
    wire::hear(&said[..], 64 << 20).unwrap()
}

fn header() -> Header {
    Header {
        bounds: Bounds::default(),
        terms: terms(),
    }
}

#[test]
fn a_forecaster_is_asked_everything_that_a_day_would_ask() {
    let passed = passes(&Guest::forecaster("good"));
    // Fit, migrate, update, and before and after it a prediction, again and alone.
    assert_eq!((passed.calls, passed.declined), (11, 0));
    assert!(passed.peak_memory > 0);
}

#[test]
fn the_other_kinds_are_asked_on_their_own_state_too() {
    for kind in [ModuleKind::Tierer, ModuleKind::Judge] {
        let passed = passes(&Guest::new(kind, "kind"));
        assert_eq!((passed.calls, passed.declined), (4, 0), "{kind}");
    }
    // It grants nothing, which is lawful only where no Gold floor fits.
    refused(
        &Guest::new(ModuleKind::Allocator, "nothing"),
        &["`allocate` on a pool with plenty", "AL2"],
    );
}

#[test]
fn a_call_that_fails_is_named_with_what_it_was_asked() {
    let with = |function: &str, body: &str| Guest::forecaster("bad").body(function, body);
    refused(&with("predict", "(unreachable)"), &["`predict`", "trapped"]);
    refused(&with("fit", LOOP), &["`fit`", "60 ms"]);
    refused(&with("update", "(unreachable)"), &["`update`", "trapped"]);
    refused(&with("migrate", GROW), &["`migrate`", "memory limit"]);
    let nan = BODY_OK.predict_but("(f64.store (local.get $q) (f64.const nan))");
    refused(&with("predict", &nan), &["FC1", "is NaN", "evaluate"]);
    // One series of four traps: the batch's rescue tells it apart, and it is still a trap.
    let third = "(local.set $seeds (i32.load offset=76 (local.get 0)))
        (if (i32.eq (i32.load offset=80 (local.get 0)) (i32.const 4))
          (then (local.set $seeds (i32.add (local.get $seeds) (i32.const 16)))))
        (if (i64.eq (i64.load (local.get $seeds)) (i64.const 3)) (then (unreachable)))";
    let fit = format!("{third} {}", BODY_OK.fit_but(""));
    refused(&with("fit", &fit), &["`fit`", "internal error", "trapped"]);
}

#[test]
fn an_answer_that_depends_on_the_neighbours_is_not_a_function_of_its_series() {
    let counts = "(f64.store (local.get $p)
        (f64.convert_i32_u (i32.load offset=72 (local.get 0))))";
    refused(
        &Guest::forecaster("crowd").body("predict", &BODY_OK.predict_but(counts)),
        &["`predict`", "asked alone", "no series see its neighbours"],
    );
}

#[test]
fn a_config_that_is_required_is_made_from_the_schema_or_the_refusal_says_how() {
    let with = |inner: serde_json::Value| {
        let schema = json!({"type": "object", "required": ["gain"], "properties": {"gain": inner}});
        Guest::forecaster("asks")
            .describes("schema", &schema.to_string())
            .manifest("config_schema", schema)
    };
    passes(&with(json!({"type": "number", "minimum": 1})));
    refused(
        &with(json!({"type": "number", "minimum": 2, "maximum": 1})),
        &["`config_schema`", "`default`"],
    );
}

#[test]
fn more_memories_or_tables_than_one_may_have_are_refused() {
    let tables: String = (0..9).map(|n| format!("(table $t{n} 1 funcref)")).collect();
    refused(
        &Guest::forecaster("tables").extra(&tables),
        &["tables, at most 8", "one core module"],
    );
}

#[test]
fn what_passed_is_loaded_from_the_code_that_was_handed_out() {
    let bytes = Guest::forecaster("good").stamp(5).build().unwrap();
    let answer = answer(&header(), &bytes);
    let Verdict::Passed(passed) = answer.verdict else {
        panic!("{:?}", answer.verdict)
    };
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::new(Options {
        cache: Some(directory.path().to_owned()),
        ..Options::default()
    })
    .unwrap();
    let limits = Limits::default();
    assert!(engine.admit_kept(&bytes, &limits).unwrap().is_none());
    let loaded = engine
        .admit_examined(&bytes, &limits, &answer.artefact.unwrap())
        .unwrap();
    assert_eq!(loaded.digest().to_string(), passed.digest);
    let Policy::Forecaster(policy) = loaded.policy() else {
        panic!("kind")
    };
    let said = policy.predict(&[], &states(1), &horizon(&[0], 1)).unwrap();
    assert_eq!(said.mean, [5.0]);
    let kept = engine.admit_kept(&bytes, &limits).unwrap().unwrap();
    assert_eq!(kept.source(), Source::Cached);
}

#[test]
fn the_code_comes_before_the_verdict_that_it_may_spoil() {
    let traps = Guest::forecaster("bad").body("predict", "(unreachable)");
    let answer = answer(&header(), &traps.build().unwrap());
    assert!(answer.artefact.is_some());
    assert!(matches!(answer.verdict, Verdict::Refused(r) if r.label == "canary"));
}

#[test]
fn a_component_that_is_too_large_is_told_without_being_read() {
    let mut header = header();
    header.terms.limits.component_bytes = 100;
    let answer = answer(&header, &[0; 101]);
    let Verdict::Refused(refusal) = answer.verdict else {
        panic!("{:?}", answer.verdict)
    };
    assert_eq!(refusal.label, "size");
    assert!(refusal.text.contains("101 bytes, at most 100"));
}

#[test]
fn a_process_that_says_something_else_is_not_believed() {
    let frame = |kind: u8, bytes: &[u8]| {
        let length = (bytes.len() as u64).to_le_bytes();
        [&[kind][..], &length, bytes].concat()
    };
    let passed = br#"{"Passed":{"digest":"","calls":0,"declined":0,"peak_memory":0}}"#;
    for (what, said, part) in [
        ("nothing", vec![], "fill whole buffer"),
        ("no frame", b"panicked at".to_vec(), "another kind"),
        ("a verdict alone", frame(b'v', passed), "without code"),
        (
            "code twice",
            [frame(b'a', b"x"), frame(b'a', b"y")].concat(),
            "another kind",
        ),
        (
            "a flood",
            [&b"a"[..], &u64::MAX.to_le_bytes()].concat(),
            "at most 1000",
        ),
        ("no words", frame(b'v', b"{}"), "expected value"),
        (
            "half a frame",
            frame(b'a', b"xyz")[..11].to_vec(),
            "end of file",
        ),
    ] {
        let error = wire::hear(&said[..], 1000).unwrap_err().to_string();
        assert!(error.contains(part), "{what}: {error}");
    }
}

/// A forecaster that traps in `fit` where a value is above 5,000, which no synthetic one is.
fn low() -> Guest {
    let looks = "(local.set $n (i32.load offset=48 (local.get 0)))
        (local.set $p (i32.load offset=44 (local.get 0)))
        (block $done (loop $next
          (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
          (if (f64.gt
                (f64.load (i32.add (local.get $p) (i32.shl (local.get $i) (i32.const 3))))
                (f64.const 5000))
            (then (unreachable)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))";
    let body = format!("{looks} {}", body_of(ModuleKind::Forecaster, "fit"));
    Guest::forecaster("low").body("fit", &body)
}

fn stored(api: &str, level: f64) -> Sample {
    Sample {
        api: api.into(),
        signal: "requests".into(),
        start_ms: 0,
        step_s: 300,
        values: vec![Some(level); 100],
    }
}

#[test]
fn a_forecaster_is_asked_on_what_is_stored_too() {
    passes(&low());
    let mut header = header();
    header.terms.stored = vec![stored("shop/calm", 10.0)];
    let component = low().build().unwrap();
    let Verdict::Passed(passed) = answer(&header, &component).verdict else {
        panic!("it was refused")
    };
    assert_eq!(passed.calls, 22);
    header.terms.stored.push(stored("shop/busy", 6000.0));
    let Verdict::Refused(refusal) = answer(&header, &component).verdict else {
        panic!("it passed")
    };
    assert_eq!(refusal.label, "canary");
    // The batch's rescue tells which series it was; the error says on what it was asked.
    let parts = [
        "the stored series shop/calm requests, shop/busy requests",
        "`fit`",
    ];
    for part in parts {
        assert!(refusal.text.contains(part), "{}", refusal.text);
    }
}

#[test]
fn the_most_that_is_sampled_fits_into_a_questions_header() {
    let mut header = header();
    // Seventeen digits, a sign and an exponent: no number takes more.
    header.terms.stored = vec![Sample {
        values: vec![Some(-1e-300 / 3.0); Sample::MOST],
        ..stored("shop/wide", 1.0)
    }];
    let mut question = vec![];
    wire::ask(&mut question, &header, b"").unwrap();
    let read = wire::header(&mut &question[..]).unwrap();
    assert_eq!(read.terms.stored[0].values.len(), Sample::MOST);
}

#[test]
fn a_config_is_tried_on_stored_series_and_what_it_is_told_then_counts() {
    let engine = Engine::new(Options::default()).unwrap();
    let admit = |guest: &Guest| {
        engine
            .admit(&guest.build().unwrap(), &Limits::default())
            .unwrap()
    };
    let loaded = admit(&low());
    try_config(&loaded, "{}", &[]).unwrap();
    let busy = [stored("shop/busy", 6000.0)];
    let refused = try_config(&loaded, "{}", &busy).unwrap_err().to_string();
    assert!(refused.contains("shop/busy requests"), "{refused}");
    // `invalid-input` is an honest answer to a stranger's question, and a refusal of a config.
    let invalid = "(local.set $out (call $alloc (i32.const 64)))
        (i32.store8 (local.get $out) (i32.const 1)) (local.get $out)";
    let picky = Guest::forecaster("picky").body("fit", invalid);
    assert_eq!(passes(&picky).declined, 1);
    let refused = try_config(&admit(&picky), "{}", &[]).unwrap_err();
    assert!(refused.to_string().contains("`fit`"), "{refused}");
}
