//! Objects as people declare them: YAML documents, read so that a mistake names its line.
//!
//! Keys are those of `tidegate.v1`, without the suffixes that carry units on the wire: a duration
//! is written `30d`, a latency `200ms`, an instant in RFC 3339, an amount of memory `32Gi`. Because
//! `kind` says what a document declares, the kind of an event and of a binding is called `type`
//! here. Unknown keys are refused, because a misspelt key that is silently ignored is a setting
//! that silently does not apply.
//!
//! Documents are split before they are parsed, and each is parsed with as many empty lines before
//! it as stand above it in the file: so every error of the parser carries the line of the file.

mod amounts;
mod bindings;
mod events;
mod objects;
mod promises;

use super::words::{self, KINDS};
use crate::config::mistake;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tidegate_client::v1;
use tidegate_client::v1::object::Object as Which;

/// An object, and where it was declared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declared {
    /// FILE:LINE of its document.
    pub(crate) place: String,
    /// The object.
    pub(crate) object: Which,
}

/// The kind and the name of an object.
pub(crate) fn key(object: &Which) -> (v1::ObjectKind, String) {
    match object {
        Which::Tenant(o) => (v1::ObjectKind::Tenant, o.name.clone()),
        Which::Pool(o) => (v1::ObjectKind::Pool, o.name.clone()),
        Which::Tier(o) => (v1::ObjectKind::Tier, words::tier(o.tier())),
        Which::Api(o) => (v1::ObjectKind::Api, o.name.clone()),
        Which::Slo(o) => (v1::ObjectKind::Slo, o.name.clone()),
        Which::Event(o) => (v1::ObjectKind::Event, o.name.clone()),
        Which::Binding(o) => (v1::ObjectKind::Binding, o.name.clone()),
        Which::Template(o) => (v1::ObjectKind::Template, o.name.clone()),
    }
}

/// Reads files, directories (their `.yaml` and `.yml` files, by name) and `-`, the standard input.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<Declared>> {
    let mut objects = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read the standard input")?;
            objects.extend(parse(&text, "<stdin>")?);
        } else if path.is_dir() {
            let files = yaml_files(path)?;
            if files.is_empty() {
                bail!("{} holds no .yaml file", path.display());
            }
            for file in files {
                objects.extend(load_file(&file)?);
            }
        } else {
            objects.extend(load_file(path)?);
        }
    }
    twice(&objects)?;
    Ok(objects)
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn load_file(path: &Path) -> Result<Vec<Declared>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, &path.display().to_string())
}

/// The same object twice in one change set is a mistake: only one of them can be meant.
fn twice(objects: &[Declared]) -> Result<()> {
    let mut seen = std::collections::BTreeMap::new();
    for declared in objects {
        let (kind, name) = key(&declared.object);
        if let Some(first) = seen.insert((kind, name.clone()), &declared.place) {
            let kind = words::object_kind(kind);
            bail!(
                "{}: {kind} `{name}` was declared already at {first}; remove one of them",
                declared.place
            );
        }
    }
    Ok(())
}

/// Reads the documents of one text.
pub(crate) fn parse(text: &str, name: &str) -> Result<Vec<Declared>> {
    let mut objects = Vec::new();
    for (line, document) in documents(text) {
        let padded = format!("{}{document}", "\n".repeat(line));
        let first = document
            .lines()
            .position(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
        let place = format!("{name}:{}", line + first.unwrap_or(0) + 1);
        let object = parse_one(&padded, name, &place)?;
        objects.push(Declared { place, object });
    }
    if objects.is_empty() {
        bail!(
            "{name}: it declares nothing; a document begins with `kind: {}`",
            KINDS.join("|")
        );
    }
    Ok(objects)
}

/// Documents that hold more than comments, each with the number of lines above it.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut all = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- #") {
            all.push((number + 1, String::new()));
        } else if let Some((_, document)) = all.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let speaks = |d: &str| {
        d.lines()
            .any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'))
    };
    all.retain(|(_, document)| speaks(document));
    all
}

/// What of a document says which of its kinds it is.
#[derive(Deserialize)]
struct Head {
    kind: Option<String>,
}

fn parse_one(text: &str, name: &str, place: &str) -> Result<Which> {
    let head: Head = mistake::read(text, name, place)?;
    let Some(kind) = head.kind else {
        bail!(
            "{place}: it does not say what it declares; add `kind: {}`",
            KINDS.join("|")
        );
    };
    macro_rules! read {
        ($type:ty) => {
            mistake::read::<$type>(text, name, place)?.into()
        };
    }
    Ok(match kind.as_str() {
        "tenant" => Which::Tenant(read!(objects::Tenant)),
        "pool" => Which::Pool(read!(objects::Pool)),
        "tier" => Which::Tier(read!(objects::TierSpec)),
        "api" => Which::Api(read!(objects::Api)),
        "slo" => {
            let slo = mistake::read::<promises::Slo>(text, name, place)?;
            Which::Slo(
                slo.indicated()
                    .map_err(|problem| anyhow::anyhow!("{place}: {problem}"))?,
            )
        }
        "event" => {
            let event = mistake::read::<events::Event>(text, name, place)?;
            Which::Event(
                event
                    .timed()
                    .map_err(|problem| anyhow::anyhow!("{place}: {problem}"))?,
            )
        }
        "binding" => Which::Binding(read!(bindings::Binding)),
        "template" => Which::Template(read!(promises::Template)),
        _ => {
            let line = text
                .lines()
                .position(|l| l.trim_start().starts_with("kind:"));
            let place = line.map_or_else(|| place.to_owned(), |l| format!("{name}:{}", l + 1));
            bail!(
                "{place}: `{kind}` is no kind of object{}; kinds are {}",
                words::hint(&kind, &KINDS),
                KINDS.join(", ")
            )
        }
    })
}

#[cfg(test)]
mod tests;
