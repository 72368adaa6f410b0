//! `tidegate policy diff A B`: two versions side by side, and only what differs.

use super::{life, signer};
use crate::cli::connect::{Flags, online};
use crate::cli::errors::Told as _;
use crate::cli::{json, words};
use crate::render::table::Table;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_client::v1;

/// What `diff` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// A module's name (its newest version), its digest, or the beginning of one
    a: String,
    /// Another
    b: String,
}

/// What there is to say of a module, by name.
type Facts = BTreeMap<String, String>;

/// Compares.
pub(crate) fn run(args: DiffArgs, flags: &Flags) -> Result<()> {
    online(flags, async |session| {
        let request = v1::CompareRequest {
            a: args.a,
            b: args.b,
        };
        let told = session.client.policies().compare(request).await.told()?;
        let (a, b) = (told.a.unwrap_or_default(), told.b.unwrap_or_default());
        let (left, right) = (facts(&a), facts(&b));
        let differs = differing(&left, &right);
        session.print(
            || {
                let detail = |d: &v1::ModuleDetail| {
                    json!({
                        "module": json::module(&d.module.clone().unwrap_or_default()),
                        "imports": d.imports, "exports": d.exports,
                    })
                };
                json!({
                    "a": detail(&a), "b": detail(&b), "differs": differs,
                    "trials": told.trials.iter().map(json::trial).collect::<Vec<Value>>(),
                })
            },
            || {
                let mut text = shown(&left, &right, &differs);
                for trial in &told.trials {
                    let how = life::sentence(trial);
                    text += &format!("\nbinding {}: {how}\n", trial.binding);
                }
                text
            },
        )
    })
}

fn facts(detail: &v1::ModuleDetail) -> Facts {
    let module = detail.module.clone().unwrap_or_default();
    let manifest = module.manifest.clone().unwrap_or_default();
    let or_default = |value: Option<String>| value.unwrap_or_else(|| "the default".into());
    let memory = manifest.memory_bytes.map(|b| words::bytes(b as f64));
    let deadline = manifest.deadline_ms.map(|ms| format!("{ms} ms"));
    let short = module.digest.get(..12).unwrap_or_default();
    let mut facts: Facts = [
        ("name", manifest.name.clone()),
        ("version", manifest.version.clone()),
        ("kind", words::module_kind(manifest.kind())),
        ("interface", manifest.interface.clone()),
        ("description", manifest.description.clone()),
        ("memory", or_default(memory)),
        ("deadline", or_default(deadline)),
        ("size", format!("{} bytes", module.size)),
        ("digest", short.to_owned()),
        ("signed by", signer(&module).unwrap_or_else(|| "-".into())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), words::printable(&value)))
    .collect();
    for (what, names) in [("import", &detail.imports), ("export", &detail.exports)] {
        let names = names.iter();
        facts.extend(names.map(|name| (format!("{what} {name}"), "yes".into())));
    }
    facts.extend(properties(&manifest.config_schema));
    facts
}

/// A config's schema, property by property; as a whole where it has none.
fn properties(schema: &str) -> Facts {
    let parsed: Value = serde_json::from_str(schema).unwrap_or(Value::Null);
    match parsed.get("properties").and_then(Value::as_object) {
        Some(properties) => properties
            .iter()
            .map(|(name, value)| {
                // What it takes, and not how it is explained: that is long, and binds nobody.
                let mut value = value.clone();
                if let Some(told) = value.as_object_mut() {
                    told.remove("description");
                }
                (format!("config {name}"), value.to_string())
            })
            .collect(),
        None => Facts::from([("config schema".into(), parsed.to_string())]),
    }
}

/// The names of what differs, ascending.
fn differing(a: &Facts, b: &Facts) -> Vec<String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differs = names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name));
    differs.cloned().collect()
}

fn shown(a: &Facts, b: &Facts, differs: &[String]) -> String {
    if differs.is_empty() {
        return "they are the same module".into();
    }
    let mut table = Table::new(&["", "first", "second"]);
    let value = |of: &Facts, name| of.get(name).cloned().unwrap_or_else(|| "-".into());
    for name in differs {
        table.row(vec![name.clone(), value(a, name), value(b, name)]);
    }
    let common = ["kind", "interface", "version", "size", "memory", "deadline"];
    let alike = |name: &&str| a.get(*name) == b.get(*name);
    let same: Vec<&str> = common.into_iter().filter(alike).collect();
    match same.as_slice() {
        [] => table.to_string(),
        same => format!("{table}\nthe same: {}\n", same.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(version: &str, export: &str, schema: &str) -> v1::ModuleDetail {
        v1::ModuleDetail {
            module: Some(v1::Module {
                manifest: Some(v1::Manifest {
                    name: "ets".into(),
                    version: version.into(),
                    kind: v1::ModuleKind::Forecaster.into(),
                    config_schema: schema.into(),
                    ..v1::Manifest::default()
                }),
                digest: "0123456789abcdef".into(),
                ..v1::Module::default()
            }),
            imports: vec!["host".into()],
            exports: vec![export.into()],
        }
    }

    #[test]
    fn only_what_differs_is_told_down_to_a_property_of_the_config() {
        let season = |most: u32| {
            format!(
                "{{\"properties\":{{\"season\":{{\"maximum\":{most}}},\"damped\":{{\"description\":\"{most}\"}}}}}}"
            )
        };
        let a = facts(&detail("1.0.0", "forecaster", &season(24)));
        let b = facts(&detail("1.1.0", "forecaster", &season(48)));
        let differs = differing(&a, &b);
        assert_eq!(differs, ["config season", "version"]);
        let text = shown(&a, &b, &differs);
        assert!(text.contains("1.0.0") && text.contains("1.1.0"), "{text}");
        assert!(text.contains("the same: kind, interface"), "{text}");
        let other = facts(&detail("1.0.0", "tierer", &season(24)));
        assert_eq!(
            differing(&a, &other),
            ["export forecaster", "export tierer"]
        );
        assert_eq!(shown(&a, &a, &[]), "they are the same module");
    }
}
