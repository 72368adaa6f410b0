//! What depends on the machine: the doctor, and the way round a missing target.

use std::path::Path;

use tidegate_build::{Builder, Status, doctor, manifest};

#[test]
fn the_doctor_finds_what_these_tests_are_built_with() {
    let dir = tempfile::tempdir().expect("a directory");
    let findings = doctor(Path::new(env!("CARGO_MANIFEST_DIR")), dir.path());
    let subjects: Vec<_> = findings.iter().map(|finding| finding.subject).collect();
    assert_eq!(subjects, ["cargo", "rustc", "C linker", "guest target"]);
    for finding in &findings {
        assert_ne!(finding.status, Status::Missing, "{finding:?}");
    }
    let left = std::fs::read_dir(dir.path()).expect("readable").count();
    assert_eq!(left, 0, "the doctor cleans up");
}

#[test]
fn a_machine_without_a_compiler_gets_every_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let gone = Builder::new(dir.path()).cargo(dir.path().join("no-cargo"));
    let error = gone.packages().expect_err("found plugins").to_string();
    for part in ["no-cargo", "rustup", "apt-get install rustc-web"] {
        assert!(error.contains(part), "{error}");
    }
}

/// By hand, where Debian's toolchain is installed and rustup's is out of sight:
/// `env -i PATH=/usr/bin:/bin HOME=/nonexistent CARGO_HOME=... target/debug/deps/machine-... --ignored`
#[test]
#[ignore = "needs a toolchain without the target, beside its library source; takes a minute"]
fn without_the_target_the_library_is_built_from_its_source() {
    let target = tempfile::tempdir().expect("a directory");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture");
    let builder = Builder::new(fixture).target_dir(target.path());
    let packages = builder.packages().expect("declared");
    let toolchain = builder.toolchain(&packages).expect("a toolchain");
    assert!(toolchain.library_from_source, "{toolchain:?}");
    let built = builder.build(&packages).unwrap_or_else(|e| panic!("{e}"));
    let bytes = std::fs::read(&built[0].component).expect("readable");
    assert_eq!(manifest::read(&bytes).expect("a manifest").name, "fixture");
    let again = builder.build(&packages).expect("builds again");
    assert!(again[0].fresh);
}
