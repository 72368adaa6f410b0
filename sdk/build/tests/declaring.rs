//! What an author writes in Cargo.toml, and what is said of mistakes.

use std::path::Path;

use tidegate_build::{BuildError, Builder, Kind};

/// A crate with this table, its lib target and a schema file.
fn check(metadata: &str) -> Result<tidegate_build::Package, String> {
    check_whole(&format!(
        "[package]\nname = \"tidegate-plugin-my_model\"\nversion = \"0.2.0\"\n\
         edition = \"2024\"\nlicense = \"MIT\"\ndescription = \"Guesses\"\n\
         [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n[workspace]\n{metadata}\n"
    ))
}

fn check_whole(manifest: &str) -> Result<tidegate_build::Package, String> {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), manifest);
    let packages = Builder::new(dir.path()).packages();
    packages
        .map(|mut found| found.remove(0))
        .map_err(|e| e.to_string())
}

fn write(dir: &Path, manifest: &str) {
    std::fs::create_dir_all(dir.join("src")).expect("writes");
    std::fs::write(dir.join("Cargo.toml"), manifest).expect("writes");
    std::fs::write(dir.join("src/lib.rs"), "").expect("writes");
    std::fs::write(dir.join("good.json"), r#"{"type": "object"}"#).expect("writes");
    std::fs::write(dir.join("bad.json"), "{").expect("writes");
}

#[test]
fn the_module_is_named_after_the_crate_unless_it_says_otherwise() {
    let plain = check("[package.metadata.tidegate]\nkind = \"judge\"").expect("declared");
    assert_eq!((plain.name(), plain.kind()), ("my-model", Kind::Judge));
    let named = check("[package.metadata.tidegate]\nkind = \"judge\"\nname = \"other\"");
    assert_eq!(named.expect("declared").name(), "other");
}

#[test]
fn a_schema_comes_from_a_file_or_stands_inline() {
    let file = "[package.metadata.tidegate]\nkind = \"judge\"\nconfig-schema = \"good.json\"";
    assert!(check(file).expect("declared").schema_path.is_some());
    let inline = "[package.metadata.tidegate]\nkind = \"judge\"\n\
                  [package.metadata.tidegate.config_schema]\ntype = \"object\"";
    assert!(check(inline).expect("declared").schema_path.is_none());
}

#[test]
fn every_mistake_is_named_with_its_key_and_what_to_write() {
    let table = "[package.metadata.tidegate]\n";
    let cases = [
        ("", "kind", "one of \"forecaster\""),
        (
            "kind = \"oracle\"",
            "tidegate.kind",
            "\"oracle\" is no kind",
        ),
        ("kind = 3", "tidegate.kind", "string in quotes"),
        (
            "kind = \"judge\"\nwarn = true",
            "tidegate.warn",
            "the keys are name, kind",
        ),
        (
            "kind = \"judge\"\nwarm = \"yes\"",
            "tidegate.warm",
            "true or false",
        ),
        (
            "kind = \"judge\"\nname = \"A b\"",
            "tidegate.name",
            "not a module name",
        ),
        (
            "kind = \"judge\"\nlimits = 3",
            "tidegate.limits",
            "must be a table",
        ),
        (
            "kind = \"judge\"\nlimits = { memory = 1 }",
            "limits.memory",
            "memory-bytes",
        ),
        (
            "kind = \"judge\"\nlimits = { deadline-ms = 0 }",
            "limits.deadline-ms",
            "above 0",
        ),
        (
            "kind = \"judge\"\nlimits = { deadline-ms = \"1s\" }",
            "limits.deadline-ms",
            "whole number",
        ),
        (
            "kind = \"judge\"\nconfig-schema = \"gone.json\"",
            "config-schema",
            "cannot read",
        ),
        (
            "kind = \"judge\"\nconfig-schema = \"bad.json\"",
            "config-schema",
            "is not JSON",
        ),
        (
            "kind = \"judge\"\nconfig-schema = 7",
            "config-schema",
            "path of a JSON Schema file",
        ),
        (
            "kind = \"judge\"\nconfig-schema = { type = \"array\" }",
            "config-schema",
            "\"object\"",
        ),
    ];
    for (metadata, key, advice) in cases {
        let said = check(&format!("{table}{metadata}")).expect_err(metadata);
        assert!(said.contains("Cargo.toml"), "{metadata}: {said}");
        assert!(
            said.contains(key) && said.contains(advice),
            "{metadata}: {said}"
        );
    }
}

#[test]
fn a_crate_that_is_not_linked_as_a_module_is_told_how() {
    let said = check_whole(
        "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [package.metadata.tidegate]\nkind = \"judge\"\n",
    )
    .expect_err("declared");
    assert!(
        said.contains("crate-type = [\"cdylib\", \"rlib\"]"),
        "{said}"
    );
}

#[test]
fn a_crate_without_a_declaration_is_told_what_to_add() {
    let said = check("").expect_err("declared");
    assert!(said.contains("[package.metadata.tidegate]"), "{said}");
}

#[test]
fn a_directory_without_a_crate_is_an_error_with_cargos_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = Builder::new(dir.path())
        .packages()
        .expect_err("found plugins");
    assert!(error.to_string().contains("Cargo.toml"), "{error}");
    let gone = Builder::new(dir.path().join("gone"))
        .packages()
        .expect_err("found plugins");
    assert!(matches!(gone, BuildError::Io { .. }), "{gone}");
}

#[test]
fn a_workspace_gives_its_plugins_by_name_and_refuses_two_of_one_name() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("Cargo.toml"),
        "[workspace]\nmembers = [\"a\", \"b\", \"c\"]\n",
    )
    .expect("writes");
    let member = |at: &str, metadata: &str| {
        let manifest = format!(
            "[package]\nname = \"crate-{at}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [lib]\ncrate-type = [\"cdylib\"]\n{metadata}\n"
        );
        write(&dir.path().join(at), &manifest);
    };
    let named = |name| format!("[package.metadata.tidegate]\nkind = \"tierer\"\nname = \"{name}\"");
    member("a", &named("zeta"));
    member("b", &named("eta"));
    member("c", "");
    let names = |at: &Path| -> Vec<String> {
        let packages = Builder::new(at).packages().expect("declared");
        packages
            .iter()
            .map(|package| package.name().to_owned())
            .collect()
    };
    assert_eq!(names(dir.path()), ["eta", "zeta"]);
    assert_eq!(names(&dir.path().join("a")), ["zeta"]);
    member("a", &named("eta"));
    let error = Builder::new(dir.path())
        .packages()
        .expect_err("found plugins");
    assert!(matches!(error, BuildError::SameName { .. }), "{error}");
}
