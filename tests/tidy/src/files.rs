//! Rules on single files: size, header, and what must not be in them.
//!
//! A path is always relative to the repository's root, with forward slashes.

use crate::Finding;

/// The longest a file written by hand may be.
pub const MAX_LINES: usize = 500;

/// The least that a module's header must say, in characters: about one sentence.
const MIN_HEADER: usize = 40;

/// What people write here: the files that have a size limit.
const WRITTEN: [&str; 12] = [
    "rs", "proto", "wit", "py", "sh", "md", "toml", "yaml", "yml", "html", "css", "js",
];

/// A hand-written file has at most [`MAX_LINES`] lines. A file that says `@generated` in its first
/// line is excepted.
#[must_use]
pub fn oversized(path: &str, text: &str) -> Option<Finding> {
    let is_script = text.starts_with("#!");
    if !(is_script || WRITTEN.contains(&extension(path))) || is_generated_text(text) {
        return None;
    }
    let lines = text.lines().count();
    let what =
        format!("{lines} lines, more than {MAX_LINES}: split it by what its parts are about");
    (lines > MAX_LINES).then(|| Finding::new(path, what))
}

/// Every module starts with a `//!` header of at least one sentence.
#[must_use]
pub fn headless(path: &str, text: &str) -> Option<Finding> {
    if extension(path) != "rs" || is_generated_text(text) {
        return None;
    }
    let header = text.lines().map_while(|line| line.strip_prefix("//!"));
    let said: usize = header.map(|line| line.trim().chars().count()).sum();
    let what = match said {
        0 => "its first line is no `//!`: begin with what the module is for and why it is so",
        said if said < MIN_HEADER => {
            "its `//!` header says next to nothing: say what the module is for and why it is so"
        }
        _ => return None,
    };
    Some(Finding::new(path, what))
}

/// The rooms and the vocabulary hold no hash map: its order must not reach a plan.
#[must_use]
pub fn hash_maps(path: &str, text: &str) -> Vec<Finding> {
    if extension(path) != "rs" || !in_any(path, &["host/core/", "host/flow/"]) {
        return Vec::new();
    }
    let uses = |line: &str| {
        let code = line.split("//").next().unwrap_or(line);
        code.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| {
                matches!(
                    word,
                    "HashMap" | "HashSet" | "hash_map" | "hash_set" | "RandomState"
                )
            })
    };
    let bad = text.lines().enumerate().filter(|(_, line)| uses(line));
    bad.map(|(n, _)| {
        Finding::at_line(
            path,
            n,
            "iterates in random order: use a BTreeMap or BTreeSet",
        )
    })
    .collect()
}

/// No file names a place on one developer's machine.
#[must_use]
pub fn home_paths(path: &str, text: &str) -> Vec<Finding> {
    // Put together here, so that this file does not break its own rule.
    let homes = ["home", "Users", "root"].map(|dir| format!("/{dir}/"));
    let names_one = |line: &str| {
        homes.iter().any(|home| {
            line.match_indices(home.as_str()).any(|(at, _)| {
                // `https://example.com/home/x` and `$HOME/root/x` go on from something else.
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}'))
            })
        })
    };
    let bad = text.lines().enumerate().filter(|(_, line)| names_one(line));
    bad.map(|(n, _)| Finding::at_line(path, n, "names a home directory: use a relative path"))
        .collect()
}

/// Nothing that a tool makes is tracked.
#[must_use]
pub fn generated(path: &str) -> Option<Finding> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let by_folder = path.split('/').any(|part| {
        matches!(
            part,
            "target" | "__pycache__" | "node_modules" | ".tidegate" | ".venv"
        )
    });
    let by_kind = matches!(
        extension(path),
        "wasm" | "pyc" | "o" | "so" | "rlib" | "rmeta" | "profraw" | "orig" | "rej" | "swp" | "log"
    );
    let by_name = name.ends_with("_pb2.py")
        || name.ends_with("_pb2_grpc.py")
        || matches!(name, ".DS_Store" | "core");
    let what = "is made by a tool: `git rm --cached` it and name it in .gitignore";
    (by_folder || by_kind || by_name).then(|| Finding::new(path, what))
}

fn is_generated_text(text: &str) -> bool {
    text.lines()
        .next()
        .is_some_and(|line| line.contains("@generated"))
}

fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn in_any(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_501_lines_is_too_long_and_one_of_500_is_not() {
        assert_eq!(oversized("a/b.rs", &"x\n".repeat(500)), None);
        assert!(oversized("a/b.rs", &"x\n".repeat(501)).is_some());
        assert!(oversized("demo", &format!("#!/bin/sh\n{}", "x\n".repeat(500))).is_some());
    }

    #[test]
    fn generated_code_and_data_may_be_long() {
        let long = "x\n".repeat(9999);
        assert_eq!(
            oversized("a/b.rs", &format!("// @generated by x\n{long}")),
            None
        );
        assert_eq!(oversized("data/trace.csv", &long), None);
        assert_eq!(oversized("Cargo.lock", &long), None);
    }

    #[test]
    fn a_module_without_a_telling_header_is_found() {
        for bad in [
            "",
            "use x;\n",
            "\n//! Late, but otherwise a header of some length it is.\n",
            "#![allow(x)]\n//! An attribute before it hides the header from its reader.\n",
            "//! Rooms.\n",
        ] {
            assert!(headless("a/b.rs", bad).is_some(), "{bad:?}");
        }
        let good =
            "//! Keeps the hot window of a series in memory.\n//!\n//! Not in sled, because.\n";
        assert_eq!(headless("a/b.rs", good), None);
        assert_eq!(headless("a/b.py", ""), None);
    }

    #[test]
    fn a_hash_map_in_core_or_flow_is_found_at_its_line() {
        let text = "//! A header about HashMap.\nuse std::collections::{BTreeMap, HashMap};\n";
        let found = hash_maps("host/flow/src/tier.rs", text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "host/flow/src/tier.rs:2");
        assert_eq!(
            hash_maps("host/core/src/a.rs", "let x: HashSet<u8>;").len(),
            1
        );
        assert_eq!(hash_maps("host/api/src/a.rs", text), []);
        assert_eq!(
            hash_maps("host/core/src/a.rs", "struct MyHashMapLike; // HashMap"),
            []
        );
    }

    #[test]
    fn a_home_directory_is_found_and_a_url_is_not() {
        for dir in ["home", "Users", "root"] {
            let bad = format!("data = \"/{dir}/ann/tidegate\"");
            assert_eq!(home_paths("a.toml", &bad).len(), 1, "{bad}");
        }
        for good in [
            "https://x.org/home/y",
            "${DIR}/root/y",
            "~/.cargo/bin",
            "/var/lib/tidegate",
        ] {
            assert_eq!(home_paths("a.md", good), [], "{good}");
        }
    }

    #[test]
    fn what_a_tool_makes_is_found_and_our_own_folders_are_not() {
        for bad in [
            "target/debug/x",
            "a/b.wasm",
            "tests/e2e/__pycache__/x.py",
            "x_pb2.py",
            "a/core",
        ] {
            assert!(generated(bad).is_some(), "{bad}");
        }
        for good in [
            "host/core/src/lib.rs",
            "Cargo.lock",
            "proto/src/lib.rs",
            "docs/targets.md",
        ] {
            assert_eq!(generated(good), None, "{good}");
        }
    }
}
