//! What is refused at the door, and what the sender is told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use std::sync::LazyLock;
use tidegate_core::module::ModuleKind;
use tidegate_engine::{AdmissionError, Engine, Limits, Options, Policy};
use tidegate_hostile::{Guest, INTERFACE, append_section, horizon, states};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Options::default()).unwrap());

fn admit(bytes: &[u8]) -> Result<tidegate_engine::Loaded, AdmissionError> {
    ENGINE.admit(bytes, &Limits::default())
}

/// The refusal names what is wrong and what to do.
#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) {
    let error = admit(bytes).expect_err("it should be refused").to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

fn good() -> Guest {
    Guest::forecaster("good")
}

#[test]
fn what_is_no_component_gets_the_remedy() {
    refused(b"", &["not WebAssembly", "tidegate policy build"]);
    refused(b"#!/bin/sh\n", &["not WebAssembly"]);
    refused(
        &good().core().unwrap(),
        &["core module", "tidegate policy build"],
    );
    refused(&good().bare().unwrap(), &["no `tidegate:manifest` section"]);
    let mut twice = good().build().unwrap();
    append_section(&mut twice, b"{}");
    refused(&twice, &["has 2 `tidegate:manifest` sections"]);
}

#[test]
fn the_size_is_bounded_before_anything_is_read() {
    let mut rubbish = b"\0asm\x0d\0\x01\0".to_vec();
    rubbish.resize(64 << 20, 0xa5);
    refused(
        &rubbish,
        &["67108864 bytes, at most 33554432", "strip debug sections"],
    );
    let wide = Limits {
        component_bytes: 128 << 20,
        ..Limits::default()
    };
    let error = ENGINE.admit(&rubbish, &wide).unwrap_err();
    assert!(matches!(error, AdmissionError::Malformed(_)), "{error}");
    let error = ENGINE.admit(&rubbish[8..], &wide).unwrap_err();
    assert_eq!(error, AdmissionError::NotWasm);
}

#[test]
fn an_import_that_no_policy_gets_is_named() {
    let importing = |name: &str| {
        let text = format!("(component (import \"{name}\" (instance)))");
        wat::parse_str(text).unwrap()
    };
    let wasi = importing("wasi:clocks/wall-clock@0.2.0");
    refused(
        &wasi,
        &["`wasi:clocks/wall-clock@0.2.0`", "--stub-wasi", "seed"],
    );
    refused(
        &importing("acme:net/http"),
        &["`acme:net/http`", "remove what needs it"],
    );
    let old = importing("tidegate:policy/host@0.0.9");
    refused(
        &old,
        &["tidegate:policy/host@0.2.0 and", "interface version"],
    );
}

#[test]
fn exports_must_be_those_of_the_manifests_kind() {
    let wrong = good().manifest("kind", json!("tierer")).build().unwrap();
    refused(
        &wrong,
        &[
            "kind tierer must export `tidegate:policy/tiering@0.2.0`",
            "forecasting",
        ],
    );
    let mut nothing = wat::parse_str("(component)").unwrap();
    append_section(&mut nothing, &manifest(&json!({})));
    refused(&nothing, &["exports nothing"]);
    // The right name alone is not enough: its functions and types are checked as well.
    for (inner, part) in [
        ("", "no export `fit`|has no function `fit`"),
        ("(export \"fit\" (func $f)) (export \"update\" (func $f)) (export \"predict\" (func $f))
          (export \"advance\" (func $f)) (export \"migrate\" (func $f)) (export \"describe\" (func $f))", "describe|type"),
    ] {
        let text = format!(
            "(component
               (core module $m (func (export \"f\")))
               (core instance $i (instantiate $m))
               (func $f (canon lift (core func $i \"f\")))
               (instance $e {inner})
               (export \"tidegate:policy/forecasting@0.2.0\" (instance $e)))"
        );
        let mut bytes = wat::parse_str(text).unwrap();
        append_section(&mut bytes, &manifest(&json!({})));
        let error = admit(&bytes).unwrap_err().to_string();
        assert!(part.split('|').any(|part| error.contains(part)), "{error}");
    }
}

fn manifest(changes: &serde_json::Value) -> Vec<u8> {
    let mut manifest = json!({
        "name": "x", "version": "1.0.0", "kind": "forecaster", "interface": INTERFACE,
        "config_schema": {},
    });
    for (key, value) in changes.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    manifest.to_string().into_bytes()
}

#[test]
fn a_manifest_that_is_wrong_says_where() {
    for (key, value, parts) in [
        (
            "interface",
            json!("9.9.9"),
            &[
                "interface 9.9.9 is newer than this daemon",
                "reads 0.1.0 and 0.2.0",
                "update the daemon",
            ][..],
        ),
        (
            "interface",
            json!("0.0.1"),
            &["interface 0.0.1 is not known", "`tidegate policy new`"],
        ),
        (
            "interface",
            json!("0.1.0"),
            &[
                "imports `tidegate:policy/",
                "@0.2.0`",
                "that its manifest names",
            ],
        ),
        (
            "name",
            json!("no spaces please"),
            &["`name`", "only letters"],
        ),
        ("name", json!(null), &["missing field `name`"]),
        ("kind", json!("oracle"), &["`oracle`", "forecaster, tierer"]),
        (
            "config_schema",
            json!({"oneOf": []}),
            &["`oneOf` is not checked"],
        ),
        (
            "limits",
            json!({"memory_bytes": 1_u64 << 40}),
            &["limits.memory_bytes", "at most"],
        ),
        (
            "limits",
            json!({"deadline_ms": 3_600_000}),
            &["limits.deadline_ms", "at most 10000"],
        ),
        (
            "limits",
            json!({"fit_deadline_ms": 0}),
            &["limits.fit_deadline_ms", "leave it out"],
        ),
    ] {
        refused(&good().manifest(key, value).build().unwrap(), parts);
    }
}

#[test]
fn describe_must_agree_with_the_manifest() {
    for (key, value, parts) in [
        ("name", "other", &["name = `other`", "says `good`"][..]),
        ("version", "2.0.0", &["version = `2.0.0`"]),
        ("kind", "judge", &["kind = `judge`"]),
        ("schema", r#"{"type":"object"}"#, &["config_schema"]),
        ("schema", "not json", &["config_schema"]),
    ] {
        refused(&good().describes(key, value).build().unwrap(), parts);
    }
    // Another layout of the same schema is the same schema.
    let spaced = r#"{ "properties": {"gain": {"type":"number"}}, "type":"object" }"#;
    admit(&good().describes("schema", spaced).build().unwrap()).unwrap();
}

#[test]
fn code_that_is_not_repeatable_is_refused() {
    let relaxed = "(func (result v128) (f32x4.relaxed_madd
        (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))";
    for (extra, parts) in [
        (relaxed, ["not valid here", "relaxed SIMD"]),
        ("(memory $second 1)", ["2 linear memories", "at most 1"]),
        (
            "(func (drop (i32.atomic.load (i32.const 0))))",
            ["not valid here", "threads"],
        ),
    ] {
        // The encoder validates too, with a wider idea of what is fine.
        if let Ok(bytes) = good().extra(extra).build() {
            refused(&bytes, &parts);
        }
    }
    // Plain SIMD is repeatable.
    let simd = "(func (result v128) (f32x4.sqrt (v128.const i32x4 0 0 0 0)))";
    admit(&good().extra(simd).build().unwrap()).unwrap();
}

#[test]
fn truncated_components_are_refused_at_every_length() {
    let whole = good().build().unwrap();
    for part in 0..64 {
        let cut = &whole[..whole.len() * part / 64];
        assert!(
            admit(cut).is_err(),
            "{} of {} bytes",
            cut.len(),
            whole.len()
        );
    }
}

#[test]
fn damaged_components_never_harm_the_host() {
    let whole = good().build().unwrap();
    let mut admitted = 0;
    // A fixed stride over all bits, odd and so visiting every position of a byte.
    for bit in (0..whole.len() * 8).step_by(151) {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(loaded) = admit(&damaged) else {
            continue;
        };
        admitted += 1;
        let Policy::Forecaster(policy) = loaded.policy() else {
            continue;
        };
        // Whatever it answers, it answers.
        let _ = policy.predict(&[], &states(1), &horizon(&[1], 1));
    }
    assert!(
        admitted > 0,
        "some bits do not matter, such as those of a comment"
    );
    admit(&whole).unwrap();
}

#[test]
fn what_the_builder_writes_is_what_the_engine_reads() {
    let written = tidegate_build::Manifest {
        name: "good".into(),
        version: "1.0.0".into(),
        kind: tidegate_build::Kind::Forecaster,
        interface: INTERFACE.into(),
        config_schema: json!({"type": "object", "properties": {"gain": {"type": "number"}}}),
        limits: tidegate_build::Limits {
            memory_bytes: Some(1 << 24),
            deadline_ms: Some(250),
            fit_deadline_ms: Some(1000),
        },
        warm: false,
        license: "Apache-2.0".into(),
        description: "One line.".into(),
    };
    let mut component = good().bare().unwrap();
    append_section(&mut component, &written.to_json().unwrap());
    let loaded = admit(&component).unwrap();
    let read = loaded.manifest();
    assert_eq!(
        (read.name.as_str(), read.kind),
        ("good", ModuleKind::Forecaster)
    );
    assert_eq!(
        (read.memory_bytes, read.deadline_ms),
        (Some(1 << 24), Some(250))
    );
    assert_eq!(read.description, "One line.");
    assert_eq!(
        Engine::inspect(&component, &Limits::default()).unwrap(),
        *read
    );
}

/// Two components within, which hand a text from one memory to the other.
const COMPOSED: &str = r#"
(component
  (component $a
    (core module $m
      (memory (export "memory") 1)
      (func (export "f") (param i32 i32))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
    (core instance $i (instantiate $m))
    (func (export "f") (param "s" string)
      (canon lift (core func $i "f")
        (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $b
    (import "f" (func $f (param "s" string)))
    (core module $memory (memory (export "memory") 1))
    (core instance $at (instantiate $memory))
    (core func $lowered (canon lower (func $f) (memory (core memory $at "memory"))))
    (core module $use (import "" "f" (func (param i32 i32))))
    (core instance (instantiate $use (with "" (instance (export "f" (func $lowered)))))))
  (instance $first (instantiate $a))
  (instance (instantiate $b (with "f" (func $first "f")))))"#;

/// wasmtime's compiler panics on these where several memories are forbidden: found with a component that
/// was made of JavaScript by componentize-qjs.
#[test]
fn a_component_that_is_composed_of_several_is_refused_before_it_makes_the_compiler_panic() {
    let composed = wat::parse_str(COMPOSED).unwrap();
    let mut guest = good().build().unwrap();
    // As a nested component: section 4, and its instance.
    let mut length = vec![];
    let mut left = composed.len();
    while left > 0x7f {
        length.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    length.push(left as u8);
    guest.push(4);
    guest.extend(length);
    guest.extend(composed);
    for nested in 0..4 {
        let with_instance = [&guest[..], &[5, 4, 1, 0, nested, 0]].concat();
        let refused = admit(&with_instance).unwrap_err().to_string();
        assert!(refused.contains("3 linear memories"), "{refused}");
    }
}
