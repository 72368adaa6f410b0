//! From core modules to components, and what is refused on the way.

use std::path::Path;

use tidegate_build::component::{self, EncodeError};
use tidegate_build::manifest::{self, ManifestError, SECTION};
use tidegate_build::{Kind, Limits, Manifest};
use wasm_encoder::{Encode, Section};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, PackageId, Resolve, WorldId};

/// A module that implements a world of `wit/0.2` by traps.
fn core(world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/0.2"))
        .expect("wit/0.2 resolves");
    let world = select(&resolve, package, world);
    dummy(&resolve, world)
}

/// A module that implements a world of any WIT text.
fn core_of(wit: &str, world: &str) -> Vec<u8> {
    let (resolve, world) = parse(wit, world);
    dummy(&resolve, world)
}

fn parse(wit: &str, world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("the WIT resolves");
    let world = select(&resolve, package, world);
    (resolve, world)
}

fn select(resolve: &Resolve, package: PackageId, world: &str) -> WorldId {
    resolve
        .select_world(&[package], Some(world))
        .expect("the world exists")
}

fn dummy(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut module = dummy_module(resolve, world, ManglingAndAbi::Standard32);
    embed(&mut module, resolve, world);
    module
}

fn embed(module: &mut Vec<u8>, resolve: &Resolve, world: WorldId) {
    embed_component_metadata(module, resolve, world, StringEncoding::UTF8).expect("embeds");
}

/// A manifest that fits [`core`].
fn manifest(kind: Kind, core: &[u8]) -> Manifest {
    let interface = tidegate_build::component::world(core).map(|world| world.interface);
    Manifest {
        name: "sample".to_owned(),
        version: "1.2.3".to_owned(),
        kind,
        interface: interface.unwrap_or_else(|_| "0.1.0".to_owned()),
        config_schema: serde_json::json!({"type": "object"}),
        limits: Limits {
            memory_bytes: Some(1 << 20),
            ..Limits::default()
        },
        warm: true,
        license: "MIT".to_owned(),
        description: "Says nothing, and says it twice".to_owned(),
    }
}

fn refused(core: &[u8], manifest: &Manifest) -> String {
    component::encode(core, manifest)
        .expect_err("the module was accepted")
        .to_string()
}

fn check_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

/// A core module with one import and nothing else.
fn importing(module: &str, name: &str) -> Vec<u8> {
    wat::parse_str(format!(r#"(module (import "{module}" "{name}" (func)))"#)).expect("valid text")
}

#[test]
fn every_world_of_the_interface_becomes_a_component_that_tells_what_it_is() {
    for kind in Kind::ALL {
        let core = core(kind.name());
        let expected = manifest(kind, &core);
        let component = component::encode(&core, &expected).expect("encodes");
        assert_eq!(
            manifest::read(&component).expect("has a manifest"),
            expected
        );
        assert_eq!(expected.interface, "0.2.0", "the version in wit/0.2");
    }
}

#[test]
fn the_same_module_gives_the_same_bytes() {
    let core = core("judge");
    let manifest = manifest(Kind::Judge, &core);
    let encode = || component::encode(&core, &manifest).expect("encodes");
    assert_eq!(encode(), encode());
}

#[test]
fn the_encoded_component_exports_the_interface_of_its_world() {
    let core = core("tierer");
    let component = component::encode(&core, &manifest(Kind::Tierer, &core)).expect("encodes");
    let decoded = wit_component::decode(&component).expect("decodes");
    let resolve = decoded.resolve();
    let names: Vec<_> = resolve
        .interfaces
        .iter()
        .filter_map(|(id, _)| resolve.id_of(id))
        .collect();
    let expected = "tidegate:policy/tiering@0.2.0".to_owned();
    assert!(names.contains(&expected), "{names:?}");
}

#[test]
fn a_manifest_of_another_kind_is_refused() {
    let core = core("tierer");
    let said = refused(&core, &manifest(Kind::Judge, &core));
    check_says(
        &said,
        &[
            "kind = judge",
            "world `tierer`",
            "[package.metadata.tidegate]",
        ],
    );
}

/// A component as another language's tools encode it: without a manifest.
fn foreign(core: &[u8]) -> Vec<u8> {
    let encoder = ComponentEncoder::default().module(core);
    let encoder = encoder.and_then(|e| e.validate(false).encode());
    encoder.expect("encodes")
}

#[test]
fn a_component_of_other_tools_is_wrapped_with_the_interface_that_it_exports() {
    for kind in Kind::ALL {
        let core = core(kind.name());
        let declared = Manifest {
            interface: String::new(),
            ..manifest(kind, &core)
        };
        let wrapped = component::wrap(&foreign(&core), &declared).expect("it is a policy");
        let read = manifest::read(&wrapped).expect("has a manifest");
        assert_eq!(read, manifest(kind, &core));
        let again = component::wrap(&wrapped, &declared).expect_err("it has a manifest");
        check_says(&again.to_string(), &["2", SECTION]);
    }
}

#[test]
fn a_foreign_component_of_another_kind_or_with_a_clock_is_refused() {
    let core = core("judge");
    let said = component::wrap(&foreign(&core), &manifest(Kind::Tierer, &core));
    let said = said.expect_err("a judge is no tierer").to_string();
    check_says(&said, &["kind = tierer", "the world `judge`"]);
    let wit = "package wasi:clocks@0.2.0; interface now { get: func() -> u64; }
        world timed { import now; export tick: func(); }";
    let timed = foreign(&core_of(wit, "timed"));
    let said = component::wrap(&timed, &manifest(Kind::Judge, &core));
    let said = said.expect_err("it imports a clock").to_string();
    check_says(&said, &["wasi:clocks/now", "--stub-wasi"]);
}

#[test]
fn a_manifest_of_another_interface_version_is_refused() {
    let core = core("tierer");
    let mut manifest = manifest(Kind::Tierer, &core);
    manifest.interface = "9.0.0".to_owned();
    check_says(&refused(&core, &manifest), &["interface = 9.0.0", "0.2.0"]);
}

#[test]
fn an_import_from_outside_is_named_with_its_remedy() {
    let manifest = manifest(Kind::Tierer, &core("tierer"));
    let cases = [
        (
            "wasi_snapshot_preview1",
            "clock_time_get",
            "seeds are inputs",
        ),
        (
            "__wbindgen_placeholder__",
            "__wbindgen_throw",
            "-i wasm-bindgen",
        ),
        ("env", "cblas_dgemm", "nothing linked defines `cblas_dgemm`"),
        ("tidegate:policyx/host", "log", "cargo tree"),
    ];
    for (module, name, remedy) in cases {
        let said = refused(&importing(module, name), &manifest);
        check_says(&said, &[module, name, remedy]);
    }
}

#[test]
fn a_world_that_imports_more_than_the_interface_gives_is_refused() {
    let wit = "package tidegate:policy@0.1.0;
        interface host { log: func(); }
        world tierer { import host; import clock: func() -> u64; export run: func(); }";
    let core = core_of(wit, "tierer");
    check_says(&refused(&core, &manifest(Kind::Tierer, &core)), &["clock"]);
}

#[test]
fn a_world_of_another_package_is_refused() {
    let core = core_of(
        "package other:thing@1.0.0; world tierer { export run: func(); }",
        "tierer",
    );
    check_says(
        &refused(&core, &manifest(Kind::Tierer, &core)),
        &[
            "other:thing/tierer",
            "forecaster, tierer, allocator or judge",
        ],
    );
}

#[test]
fn a_module_without_a_world_is_refused_with_the_way_to_export_one() {
    let core = wat::parse_str("(module)").expect("valid text");
    let said = refused(&core, &manifest(Kind::Tierer, &core));
    check_says(&said, &["no WIT world", "tidegate-guest"]);
}

#[test]
fn bytes_that_are_no_module_are_refused() {
    let manifest = manifest(Kind::Tierer, &core("tierer"));
    for bytes in [&b""[..], b"\0asm", b"#!/bin/sh"] {
        let error = component::encode(bytes, &manifest).expect_err("accepted");
        let expected = matches!(error, EncodeError::NotAModule(_) | EncodeError::NoWorld);
        assert!(expected, "{error:?}");
    }
}

#[test]
fn relaxed_vectors_are_refused_because_their_results_depend_on_the_machine() {
    let encode = |body: &str| {
        let mut core = wat::parse_str(format!(
            r#"(module (func (export "run")
                (drop ({body} (v128.const i64x2 0 0) (v128.const i64x2 0 0)))))"#
        ))
        .expect("valid text");
        let (resolve, world) = parse(
            "package tidegate:policy@0.1.0; world judge { export run: func(); }",
            "judge",
        );
        embed(&mut core, &resolve, world);
        let manifest = manifest(Kind::Judge, &core);
        component::encode(&core, &manifest)
    };
    encode("f64x2.mul").expect("plain vectors are deterministic");
    let error = encode("f64x2.relaxed_min").expect_err("accepted");
    assert!(matches!(error, EncodeError::Features(_)), "{error:?}");
}

#[test]
fn a_manifest_is_read_from_the_outermost_level_alone() {
    // The core module speaks for itself; the component around it has no section.
    let mut module = core("tierer");
    let forged = wasm_encoder::CustomSection {
        name: SECTION.into(),
        data: b"{}".into(),
    };
    module.push(forged.id());
    forged.encode(&mut module);
    let plain = ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .expect("encodes");
    assert!(matches!(
        manifest::read(&plain),
        Err(ManifestError::Missing)
    ));
    let honest = manifest(Kind::Tierer, &module);
    let component = component::encode(&module, &honest).expect("encodes");
    assert_eq!(
        manifest::read(&component).expect("one manifest counts"),
        honest
    );
}

#[test]
fn two_manifests_are_refused() {
    let core = core("tierer");
    let manifest = manifest(Kind::Tierer, &core);
    let mut component = component::encode(&core, &manifest).expect("encodes");
    let again = manifest::append(&mut component, &manifest);
    assert!(
        matches!(again, Err(ManifestError::Repeated(2))),
        "{again:?}"
    );
}

#[test]
fn a_core_module_and_torn_bytes_have_no_manifest() {
    let core = core("tierer");
    let component = component::encode(&core, &manifest(Kind::Tierer, &core)).expect("encodes");
    assert!(matches!(
        manifest::read(&core),
        Err(ManifestError::NotAComponent(_))
    ));
    for cut in [0, 4, 8, 100, component.len() / 2, component.len() - 1] {
        assert!(manifest::read(&component[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_field_that_breaks_its_rule_is_named() {
    let core = core("tierer");
    let good = manifest(Kind::Tierer, &core);
    type Spoil = fn(&mut Manifest);
    let cases: [(&str, Spoil); 5] = [
        ("`name`", |m| m.name = "No Spaces".to_owned()),
        ("`name`", |m| m.name = "../etc".to_owned()),
        ("`version`", |m| m.version = "1".to_owned()),
        ("`config_schema`", |m| {
            m.config_schema = serde_json::json!(3)
        }),
        ("`limits.memory_bytes`", |m| m.limits.memory_bytes = Some(0)),
    ];
    for (field, spoil) in cases {
        let mut manifest = good.clone();
        spoil(&mut manifest);
        check_says(&refused(&core, &manifest), &[field]);
    }
}

#[test]
fn a_newer_builders_extra_keys_are_ignored() {
    let core = core("tierer");
    let manifest = manifest(Kind::Tierer, &core);
    let mut json = serde_json::to_value(&manifest).expect("serialises");
    json["stars"] = serde_json::json!(5);
    let back: Manifest = serde_json::from_value(json).expect("reads");
    assert_eq!(back, manifest);
}
