//! `tidegate apply`: the desired state from files, as one change set.

use super::connect::Session;
use super::errors::{explain, violations};
use super::manifest::{self, Declared};
use super::words;
use anyhow::{Result, anyhow};
use serde_json::json;
use std::path::PathBuf;
use tidegate_client::v1;
use tonic::{Code, Status};

/// What to apply.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML files, directories of them, or `-` for the standard input
    #[arg(short = 'f', long = "file", required = true, num_args = 1.., value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// Check and tell the effects, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Reads what the files declare; before any connection, so that a mistake is told without one.
pub(crate) fn read(args: &Args) -> Result<Vec<Declared>> {
    manifest::load(&args.files)
}

/// Applies what was read, as a whole or not at all.
pub(crate) async fn run(args: Args, mut objects: Vec<Declared>, session: Session) -> Result<()> {
    // The server takes changes in order; files need not be in one. The sort is stable.
    objects.sort_by_key(|d| manifest::key(&d.object).0);
    let changes = objects.iter().map(|declared| {
        let object = Some(v1::Object {
            object: Some(declared.object.clone()),
        });
        let put = v1::Put {
            object,
            expect_generation: None,
        };
        v1::Change {
            change: Some(v1::change::Change::Put(put)),
        }
    });
    let request = v1::ApplyRequest {
        changes: changes.collect(),
        dry_run: args.dry_run,
    };
    let answer = session.client.catalog().apply(request).await;
    let answer = answer
        .map_err(|status| refused(&status, &objects))?
        .into_inner();
    let rows: Vec<(String, String, String)> = answer
        .effects
        .iter()
        .map(|effect| {
            let key = effect.key.clone().unwrap_or_default();
            let what = words::lower(effect.effect().as_str_name(), "EFFECT_");
            (words::object_kind(key.kind()), key.name, what)
        })
        .collect();
    session.print(
        || {
            let effects = rows.iter().map(|(k, n, e)| json!({"kind": k, "name": n, "effect": e}));
            json!({"generation": answer.generation, "dry_run": args.dry_run, "effects": effects.collect::<Vec<_>>()})
        },
        || {
            let suffix = if args.dry_run { " (dry run)" } else { "" };
            rows.iter().map(|(k, n, e)| format!("{k} {n} {e}{suffix}\n")).collect()
        },
    )
}

/// Field violations, each at the place of the document that it is about.
fn refused(status: &Status, objects: &[Declared]) -> anyhow::Error {
    let fields = violations(status);
    if status.code() != Code::InvalidArgument || fields.is_empty() {
        return explain(status);
    }
    let lines: Vec<String> = fields
        .iter()
        .map(|(field, problem)| place(field, problem, objects))
        .collect();
    anyhow!("nothing was applied:\n  {}", lines.join("\n  "))
}

/// `FILE:LINE: kind name: field: problem`.
fn place(field: &str, problem: &str, objects: &[Declared]) -> String {
    let indexed = field
        .strip_prefix("changes[")
        .and_then(|rest| rest.split_once(']'));
    let found =
        indexed.and_then(|(index, rest)| Some((objects.get(index.parse::<usize>().ok()?)?, rest)));
    let title = |declared: &Declared| {
        let (kind, name) = manifest::key(&declared.object);
        (words::object_kind(kind), name)
    };
    let Some((declared, rest)) = found else {
        // A problem of the result names its object in the sentence.
        let about = objects.iter().find_map(|declared| {
            let (kind, name) = title(declared);
            Some((declared, problem.strip_prefix(&format!("{kind} {name}: "))?))
        });
        return match about {
            Some((declared, said)) => {
                let (kind, name) = title(declared);
                format!("{}: {kind} {name}: {field}: {said}", declared.place)
            }
            None => format!("{field}: {problem}"),
        };
    };
    let (kind, name) = title(declared);
    let rest = rest.trim_start_matches('.');
    let inner = ["put.object.", "put.", "object."]
        .iter()
        .fold(rest, |r, p| r.strip_prefix(p).unwrap_or(r));
    let inner = inner
        .strip_prefix(&kind)
        .map_or(inner, |r| r.trim_start_matches('.'));
    let inner = if inner.is_empty() {
        String::new()
    } else {
        format!(" {inner}:")
    };
    format!("{}: {kind} {name}:{inner} {problem}", declared.place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_of_the_server_is_told_at_the_line_of_its_document() {
        let objects = manifest::parse(
            "kind: tenant\nname: shop\n---\nkind: pool\nname: edge\nready: {cpu: 1}\n",
            "a.yaml",
        )
        .unwrap();
        assert_eq!(
            place("changes[1].put.object.pool.ready.cpu", "it is 0", &objects),
            "a.yaml:4: pool edge: ready.cpu: it is 0"
        );
        let of_the_result = "pool edge: 3 is below the 4 that are ready";
        assert_eq!(
            place("max.cpu", of_the_result, &objects),
            "a.yaml:4: pool edge: max.cpu: 3 is below the 4 that are ready"
        );
        assert_eq!(
            place("changes[9].put", "odd", &objects),
            "changes[9].put: odd"
        );
    }
}
