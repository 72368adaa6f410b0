//! Every house rule, run over the files that git tracks and the graph that cargo resolves.

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{CargoOpt, DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_tidy::graph::Graph;
use tidegate_tidy::{Finding, documents, files, graph, manifests};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let out = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output();
    let out = out.with_context(|| format!("`{program}` cannot be run"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success(),
        "`{program} {}`: {said}",
        arguments.join(" ")
    );
    Ok(String::from_utf8(out.stdout)?)
}

/// The tracked paths, and the text of those that are text.
fn tracked() -> Result<Vec<(String, Option<String>)>> {
    let listed = output("git", &["ls-files", "-z"])?;
    let paths = listed.split('\0').filter(|path| !path.is_empty());
    // A file that was just deleted is still listed.
    let there = paths.filter(|path| root().join(path).is_file());
    let files: Vec<_> = there
        .map(|path| {
            (
                path.to_owned(),
                std::fs::read_to_string(root().join(path)).ok(),
            )
        })
        .collect();
    ensure!(
        files.len() > 50,
        "git lists {} files only: nothing would be checked",
        files.len()
    );
    Ok(files)
}

/// Runs a rule over all tracked text files.
fn over_texts(rule: impl Fn(&str, &str) -> Vec<Finding>) -> Result<Vec<Finding>> {
    let texts = tracked()?
        .into_iter()
        .filter_map(|(path, text)| Some((path, text?)));
    Ok(texts.flat_map(|(path, text)| rule(&path, &text)).collect())
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("{path} cannot be read"))
}

#[track_caller]
fn none(found: Result<Vec<Finding>>) {
    let found = found.expect("the repository can be read");
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} finding(s):\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn no_file_is_longer_than_500_lines() {
    none(over_texts(|path, text| {
        files::oversized(path, text).into_iter().collect()
    }));
}

#[test]
fn every_module_starts_with_a_header_that_argues_its_design() {
    none(over_texts(|path, text| {
        files::headless(path, text).into_iter().collect()
    }));
}

#[test]
fn core_and_flow_hold_no_hash_map() {
    none(over_texts(files::hash_maps));
}

#[test]
fn no_file_names_a_developers_home() {
    none(over_texts(files::home_paths));
}

#[test]
fn nothing_that_a_tool_makes_is_tracked() {
    none(tracked().map(|all| {
        all.iter()
            .filter_map(|(path, _)| files::generated(path))
            .collect()
    }));
}

#[test]
fn who_sees_whom_is_as_designed() {
    none(resolved().map(|graph| graph::check(&graph)));
}

#[test]
fn every_dependency_has_a_reason() {
    none(read("Cargo.toml").map(|text| manifests::without_reason("Cargo.toml", &text)));
}

#[test]
fn members_choose_nothing_by_themselves() {
    let others: Vec<String> = tracked()
        .expect("git lists the files")
        .into_iter()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"))
        .filter_map(|(path, text)| manifests::is_workspace(&text?).then_some(path))
        .collect();
    none(over_texts(|path, text| {
        if path.ends_with("/Cargo.toml") && !manifests::is_apart(path, &others) {
            manifests::not_from_workspace(path, text)
        } else {
            vec![]
        }
    }));
}

#[test]
fn every_room_and_every_crate_of_the_host_is_named_in_the_architecture_page() {
    let page = "host/ARCHITECTURE.md";
    none(rooms().and_then(|rooms| Ok(documents::unnamed_rooms(page, &read(page)?, &rooms))));
}

#[test]
fn the_readme_opens_with_exactly_two_commands() {
    none(read("README.md").map(|text| documents::not_two_commands("README.md", &text)));
}

/// The crates under `host/` and the modules of `flow`.
fn rooms() -> Result<Vec<String>> {
    let mut rooms = BTreeSet::new();
    for (path, _) in tracked()? {
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["host", "flow", "src", "lib.rs"] => {}
            ["host", "flow", "src", module, ..] => {
                rooms.insert(module.trim_end_matches(".rs").to_owned());
            }
            ["host", name, "Cargo.toml"] => {
                rooms.insert(name.to_owned());
            }
            _ => {}
        }
    }
    ensure!(!rooms.is_empty(), "no room found: nothing would be checked");
    Ok(rooms.into_iter().collect())
}

/// The graph that cargo resolves for this machine, without what only tests need.
fn resolved() -> Result<Graph> {
    let about = output("rustc", &["-vV"])?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--filter-platform".to_owned(), host.to_owned()])
        .exec()?;
    let names: BTreeMap<_, _> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.to_string()))
        .collect();
    let mut graph = Graph::default();
    let base = &metadata.workspace_root;
    for package in metadata.workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|dir| dir.strip_prefix(base).ok());
        let folder = folder.context("a member outside the workspace")?;
        graph
            .ours
            .insert(package.name.to_string(), folder.to_string());
    }
    let resolve = metadata.resolve.context("cargo resolved nothing")?;
    for node in &resolve.nodes {
        let ships =
            |kind: &DependencyKind| matches!(kind, DependencyKind::Normal | DependencyKind::Build);
        let used = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|info| ships(&info.kind)));
        let used = used.filter_map(|dep| names.get(&dep.pkg).cloned());
        let name = names.get(&node.id).context("a node without a package")?;
        // Two versions of one package are one here: what either brings along counts.
        graph
            .dependencies
            .entry(name.clone())
            .or_default()
            .extend(used);
    }
    let cargo = std::env!("CARGO");
    let pure: Vec<String> = graph.pure().map(str::to_owned).collect();
    ensure!(
        !pure.is_empty(),
        "no crate is pure: nothing would be checked"
    );
    for name in pure {
        let arguments = ["tree", "-p", &name, "-e", "normal,build", "--all-features"];
        let form = ["--prefix", "depth", "--format", " {p}"];
        let tree = output(cargo, &[&arguments[..], &form[..]].concat())?;
        graph.alone.insert(name, graph::parse_tree(&tree));
    }
    Ok(graph)
}
