//! A real guest crate, compiled and encoded, in the target directory that all guests share.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tidegate_build::{Builder, Built, Kind, Progress, manifest};

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn guests() -> PathBuf {
    root().join("target/guests")
}

fn build(directory: &Path, target: &Path) -> Built {
    let builder = Builder::new(directory).target_dir(target);
    let packages = builder.packages().expect("the plugin is declared");
    let mut built = builder.build(&packages).expect("the plugin builds");
    assert_eq!(built.len(), 1);
    built.remove(0)
}

/// One test, because the steps share what cargo leaves behind.
#[test]
fn a_guest_crate_becomes_a_component_once_and_is_left_alone_until_it_changes() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture");
    let built = build(&fixture, &guests());

    let bytes = std::fs::read(&built.component).expect("the component is there");
    assert!(built.component.ends_with("guests/components/fixture.wasm"));
    assert_eq!(built.size, bytes.len() as u64);
    assert_eq!(built.digest, <[u8; 32]>::from(Sha256::digest(&bytes)));

    let read = manifest::read(&bytes).expect("it has a manifest");
    assert_eq!(read, built.manifest);
    assert_eq!(
        (read.name.as_str(), read.version.as_str()),
        ("fixture", "0.3.1")
    );
    assert_eq!(
        (read.kind, read.interface.as_str()),
        (Kind::Tierer, "0.2.0")
    );
    assert_eq!(read.limits.memory_bytes, Some(4_194_304));
    assert_eq!(read.limits.deadline_ms, Some(20));
    assert!(!read.warm);

    for input in ["src/lib.rs", "Cargo.toml", "config.schema.json"] {
        let path = fixture.join(input).canonicalize().expect("exists");
        let known = built
            .inputs
            .iter()
            .any(|p| p.canonicalize().is_ok_and(|p| p == path));
        assert!(known, "{input} is not among {:?}", built.inputs);
    }
    let wit = built
        .inputs
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "wit"));
    assert!(wit.count() >= 5, "the WIT is an input: {:?}", built.inputs);

    let again = build(&fixture, &guests());
    assert!(again.fresh, "an unchanged plugin was encoded again");
    assert_eq!(again.digest, built.digest);

    // What lies beside the stamp must be what the stamp says.
    std::fs::write(&built.component, b"torn").expect("writes");
    let mended = build(&fixture, &guests());
    assert!(!mended.fresh);
    assert_eq!(mended.digest, built.digest);

    let secret = root().canonicalize().expect("exists");
    let secret = secret.to_str().expect("a plain path").as_bytes();
    let leaks = bytes.windows(secret.len()).any(|window| window == secret);
    assert!(!leaks, "the component holds a path of this machine");
}

#[test]
fn a_crate_that_does_not_compile_is_an_error_with_the_compilers_words() {
    let dir = tempfile::tempdir().expect("a directory");
    declare(
        dir.path(),
        "kind = \"judge\"",
        "pub fn broken() -> u8 { \"text\" }",
    );
    let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = said.clone();
    let builder = Builder::new(dir.path()).progress(move |event| {
        if let Progress::Cargo(line) = event {
            heard.lock().expect("no panic").push(line.to_owned());
        }
    });
    let packages = builder.packages().expect("the plugin is declared");
    let error = builder
        .build(&packages)
        .expect_err("it compiled")
        .to_string();
    assert!(error.contains("mismatched types"), "{error}");
    let said = said.lock().expect("no panic").join("\n");
    assert!(said.contains("mismatched types"), "progress heard: {said}");
}

#[test]
fn a_crate_that_exports_no_world_is_refused_with_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    declare(dir.path(), "kind = \"judge\"", "");
    let builder = Builder::new(dir.path());
    let packages = builder.packages().expect("the plugin is declared");
    let error = builder.build(&packages).expect_err("it was encoded");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(error.to_string().starts_with("sample ("), "{error}");
    assert!(cause.contains("no WIT world"), "{cause}");
}

#[test]
#[ignore = "compiles the guest's dependencies twice; the figure matters when digests are published"]
fn two_checkouts_give_one_digest() {
    let digest = |at: &Path| {
        let fixture = at.join("sdk/build/tests/fixture");
        std::fs::create_dir_all(fixture.join("src")).expect("writes");
        std::fs::create_dir_all(at.join("wit/0.2")).expect("writes");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture");
        for file in [
            "Cargo.toml",
            "Cargo.lock",
            "config.schema.json",
            "src/lib.rs",
        ] {
            std::fs::copy(from.join(file), fixture.join(file)).expect("copies");
        }
        for entry in std::fs::read_dir(root().join("wit/0.2")).expect("readable") {
            let entry = entry.expect("readable");
            let to = at.join("wit/0.2").join(entry.file_name());
            std::fs::copy(entry.path(), to).expect("copies");
        }
        build(&fixture, &at.join("guests")).digest
    };
    let one = tempfile::tempdir().expect("a directory");
    let two = tempfile::tempdir().expect("a directory");
    assert_eq!(digest(one.path()), digest(&two.path().join("deeper/still")));
}

fn declare(dir: &Path, metadata: &str, code: &str) {
    std::fs::create_dir_all(dir.join("src")).expect("writes");
    let manifest = format!(
        "[package]\nname = \"tidegate-plugin-sample\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n[package.metadata.tidegate]\n{metadata}\n"
    );
    std::fs::write(dir.join("Cargo.toml"), manifest).expect("writes");
    std::fs::write(dir.join("src/lib.rs"), code).expect("writes");
}
