//! Rules on `Cargo.toml` files: dependencies are chosen once, at workspace level, each with a
//! reason.
//!
//! Read line by line rather than as TOML, because the reasons are comments, which a TOML reader
//! drops.

use crate::Finding;

/// Every foreign dependency of the workspace has a comment on the line above that says what it is
/// here for.
#[must_use]
pub fn without_reason(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut before = "";
    for (n, section, line) in entries(text) {
        let is_foreign = section == "workspace.dependencies"
            && !line.starts_with('#')
            && line.contains('=')
            && !line.contains("path =");
        let is_reason =
            before.starts_with('#') && !before.starts_with("# ---") && before.len() > 10;
        if is_foreign && !is_reason {
            let what = format!(
                "{} has no reason: say above it what it is here for",
                key(line)
            );
            found.push(Finding::at_line(path, n, what));
        }
        before = line;
    }
    found
}

/// A member names dependencies and leaves their versions, its own version and its lints to the
/// workspace.
#[must_use]
pub fn not_from_workspace(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    // A workspace of its own (a test's stand-in for an author's crate) is nobody's member.
    if is_workspace(text) {
        return found;
    }
    let mut inherits_lints = false;
    for (n, section, line) in entries(text) {
        if line.starts_with('#') || !line.contains('=') {
            continue;
        }
        let is_inherited = line.replace(' ', "").contains("workspace=true");
        inherits_lints |= section == "lints" && is_inherited;
        let last = section.rsplit('.').next().unwrap_or(section);
        if last.ends_with("dependencies") && !is_inherited {
            let what = format!(
                "{} is chosen here: choose it in the workspace's Cargo.toml",
                key(line)
            );
            found.push(Finding::at_line(path, n, what));
        } else if section.contains("dependencies.")
            && matches!(key(line), "version" | "git" | "path")
        {
            let what = format!("{last} is chosen here: choose it in the workspace's Cargo.toml");
            found.push(Finding::at_line(path, n, what));
        } else if section == "package" && key(line) == "version" && !is_inherited {
            found.push(Finding::at_line(
                path,
                n,
                "write `version.workspace = true`",
            ));
        }
    }
    if !inherits_lints {
        found.push(Finding::new(
            path,
            "write `[lints]` and below it `workspace = true`",
        ));
    }
    found
}

/// Whether a manifest is that of a workspace.
#[must_use]
pub fn is_workspace(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "[workspace]")
}

/// Whether a manifest lies below one of these other workspaces' manifests, and so is no member of ours.
#[must_use]
pub fn is_apart(path: &str, workspaces: &[String]) -> bool {
    let mut folders = workspaces
        .iter()
        .filter_map(|w| w.strip_suffix("Cargo.toml"));
    folders.any(|folder| !folder.is_empty() && path.starts_with(folder))
}

/// The lines with their number and the table that they stand in; headings are left out.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut section = "";
    text.lines().enumerate().filter_map(move |(n, line)| {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = name;
            return None;
        }
        Some((n, section, line))
    })
}

/// `serde` of `serde.workspace = true` and of `serde = "1"`.
fn key(line: &str) -> &str {
    line.split(['=', '.', ' ']).next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_reason_is_found_and_our_own_crates_need_none() {
        let text = "[workspace.dependencies]\n# --- our own ---\ntidegate-core = { path = \"x\" }\n\
                    # --- wire ---\ntonic = \"0.14\"\n# Protobuf messages.\nprost = \"0.14\"\nlibm = \"1\"\n\
                    [profile.dev]\nopt-level = 1\n";
        let found: Vec<String> = without_reason("Cargo.toml", text)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("Cargo.toml:5: tonic has no reason"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("Cargo.toml:8: libm has no reason"),
            "{found:?}"
        );
    }

    #[test]
    fn a_member_that_chooses_for_itself_is_found() {
        let fine = "[package]\nname = \"x\"\nversion.workspace = true\n[lints]\nworkspace = true\n";
        assert_eq!(not_from_workspace("m", fine), []);
        let good = format!(
            "{fine}[dev-dependencies]\ntokio = {{ workspace = true, features = [\"x\"] }}\n"
        );
        assert_eq!(not_from_workspace("m", &good), []);
        for bad in [
            "[dependencies]\nserde = \"1\"\n",
            "[target.'cfg(unix)'.dependencies]\nlibc = { version = \"0.2\" }\n",
            "[dependencies.serde]\nversion = \"1\"\n",
            "[build-dependencies]\nx = { path = \"../x\" }\n",
        ] {
            let found = not_from_workspace("m", &format!("{fine}{bad}"));
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].what.contains("chosen here"), "{found:?}");
        }
    }

    #[test]
    fn a_member_with_a_version_or_lints_of_its_own_is_found() {
        let found = not_from_workspace("m", "[package]\nversion = \"0.2.0\"\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].what.contains("version.workspace"), "{found:?}");
        assert!(found[1].what.contains("[lints]"), "{found:?}");
    }

    #[test]
    fn a_workspace_of_its_own_is_nobody_s_member() {
        let text = "[package]\nversion = \"1.0.0\"\n\n[workspace]\n";
        assert!(not_from_workspace("x/Cargo.toml", text).is_empty());
        assert!(!not_from_workspace("x/Cargo.toml", "[package]\nversion = \"1.0.0\"\n").is_empty());
    }

    #[test]
    fn what_lies_below_another_workspace_is_no_member_of_ours() {
        let others = ["Cargo.toml".to_owned(), "tests/old/Cargo.toml".to_owned()];
        assert!(is_apart("tests/old/first/Cargo.toml", &others));
        assert!(!is_apart("tests/older/Cargo.toml", &others));
        assert!(!is_apart("host/core/Cargo.toml", &others));
    }
}
