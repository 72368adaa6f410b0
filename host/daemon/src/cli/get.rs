//! `tidegate get` and `tidegate delete`: objects of the catalog.

use super::connect::{Output, Session};
use super::errors::{Told as _, explain, violations};
use super::{json, manifest, standing, words};
use crate::config::Seconds;
use crate::render::table::Table;
use anyhow::{Result, anyhow};
use tidegate_client::v1;
use tidegate_client::v1::object::Object as Which;
use tidegate_client::v1::slo::Indicator;
use tonic::{Code, Status};

/// What to list or show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// tenant, pool, tier, api, slo, event, binding or template; plurals are understood
    kind: String,
    /// One object; TENANT/NAME for an api, an SLO or an event
    name: Option<String>,
}

/// What to delete.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// tenant, pool, tier, api, slo, event, binding or template
    kind: String,
    /// Its name; TENANT/NAME for an api, an SLO or an event
    name: String,
    /// Check and tell, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Lists or shows.
pub(crate) async fn run(args: Args, session: Session) -> Result<()> {
    let kind = words::parse_kind(&args.kind)?;
    let mut catalog = session.client.catalog();
    if let Some(name) = args.name {
        let key = Some(v1::ObjectKey {
            kind: kind.into(),
            name,
        });
        let object = catalog
            .get(v1::GetObjectRequest { key })
            .await
            .told()?
            .object
            .unwrap_or_default();
        let Some(which) = object.object.and_then(|o| o.object) else {
            return Ok(());
        };
        return match session.output {
            Output::Json => session.print(|| json::object(&which), String::new),
            // One object in full is its manifest.
            Output::Human => {
                let text = manifest_text(&which)?;
                session.print(
                    || serde_json::Value::Null,
                    || {
                        let told = told(&which);
                        format!("# generation {}\n{told}{text}", object.generation)
                    },
                )
            }
        };
    }
    let mut objects = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListObjectsRequest {
            kind: kind.into(),
            page_size: 0,
            page_token,
        };
        let page = catalog.list(request).await.told()?;
        objects.extend(page.objects.into_iter().filter_map(|o| o.object?.object));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    session.print(
        || objects.iter().map(json::object).collect(),
        || match objects.is_empty() {
            true => nothing(kind),
            false => table(&objects).to_string(),
        },
    )
}

/// Deletes.
pub(crate) async fn delete(args: DeleteArgs, session: Session) -> Result<()> {
    let kind = words::parse_kind(&args.kind)?;
    let key = Some(v1::ObjectKey {
        kind: kind.into(),
        name: args.name.clone(),
    });
    let request = v1::DeleteObjectRequest {
        key,
        expect_generation: None,
        dry_run: args.dry_run,
    };
    let kind = words::object_kind(kind);
    let answer = session.client.catalog().delete(request).await;
    let answer = answer
        .map_err(|status| still_used(&status, &kind, &args.name))?
        .into_inner();
    session.print(
        || serde_json::json!({"kind": kind, "name": args.name, "effect": "deleted", "generation": answer.generation}),
        || format!("{kind} {} deleted{}", args.name, if args.dry_run { " (dry run)" } else { "" }),
    )
}

/// Why an object cannot be deleted: the references that would lead nowhere.
fn still_used(status: &Status, kind: &str, name: &str) -> anyhow::Error {
    let fields = violations(status);
    if status.code() != Code::InvalidArgument || fields.is_empty() {
        return explain(status);
    }
    // The server tells what would be missing afterwards; here that is who still names it.
    let holder = |problem: &str| {
        problem
            .split_once(": there is no")
            .map(|(who, _)| who.to_owned())
    };
    if !fields.iter().any(|(_, p)| holder(p).is_some()) {
        return explain(status);
    }
    let lines: Vec<String> = fields
        .into_iter()
        .map(|(_, p)| holder(&p).unwrap_or(p))
        .collect();
    anyhow!(
        "{kind} `{name}` is still used; delete or change first what names it:\n  {}",
        lines.join("\n  ")
    )
}

/// An object as its manifest, kind and name first.
fn manifest_text(object: &Which) -> Result<String> {
    let mut text = String::new();
    if let serde_json::Value::Object(mut fields) = json::object(object) {
        // Told as comments, because they are not declared.
        for told in told_fields(object) {
            fields.remove(&told);
        }
        let head = ["kind", "name", "tier", "type"].map(|k| fields.remove_entry(k));
        for (key, value) in head.into_iter().flatten().chain(fields) {
            let line = serde_json::Map::from_iter([(key, value)]);
            text += serde_saphyr::to_string(&line)?.trim_end();
            text.push('\n');
        }
    }
    Ok(text)
}

/// The fields of a manifest that nobody declared.
fn told_fields(object: &Which) -> Vec<String> {
    let words = |all: &[&str]| all.iter().map(|&w| w.to_owned()).collect();
    match object {
        Which::Api(api) => {
            let mut told: Vec<String> = words(&["forecasts", "filled"]);
            told.extend(api.filled.keys().cloned());
            told
        }
        Which::Slo(_) => words(&["template", "judged"]),
        Which::Template(_) => words(&["apis"]),
        _ => vec![],
    }
}

/// What is told of an object beside what was declared, as comments of its manifest.
fn told(object: &Which) -> String {
    match object {
        Which::Api(api) => {
            let values = json::object(object);
            let filled = api.filled.iter().filter(|(_, by)| !by.is_empty());
            let filled = filled.map(|(field, by)| {
                let value = values.get(field).map(|v| match v {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                let value = value.unwrap_or_else(|| "nothing".into());
                format!("# {field} is {value}, by the template {by}\n")
            });
            let line =
                |s: &v1::SeriesStanding| format!("# forecast of {}\n", standing::sentence(s));
            filled.chain(api.forecasts.iter().map(line)).collect()
        }
        Which::Slo(slo) => match &slo.origin {
            None => String::new(),
            Some(origin) => format!(
                "# by the template {}{}; applied, it is declared\n",
                origin.template,
                together(origin.judged())
            ),
        },
        Which::Template(template) => match template.apis.as_slice() {
            [] => "# it selects no api\n".into(),
            apis => format!("# it selects {}\n", apis.join(", ")),
        },
        _ => String::new(),
    }
}

/// Whether an SLO of a template is that of its group.
fn together(judged: v1::Judged) -> &'static str {
    match judged {
        v1::Judged::Together => ", judged over its group together",
        v1::Judged::Each | v1::Judged::Unspecified => "",
    }
}

/// What an empty list means.
fn nothing(kind: v1::ObjectKind) -> String {
    match kind {
        v1::ObjectKind::Tier => {
            "no tier is declared: the built-in gold, silver and bronze apply".into()
        }
        kind => format!(
            "no {} is declared; `tidegate apply -f FILE` declares some",
            words::object_kind(kind)
        ),
    }
}

/// One line per object.
fn table(objects: &[Which]) -> Table {
    let head: &[&str] = match objects.first() {
        Some(Which::Tenant(_)) => &[
            "tenant",
            "series",
            "samples/s",
            "modules",
            "refused",
            "pools",
        ],
        Some(Which::Pool(_)) => &["pool", "ready", "max", "lead time", "quotas"],
        Some(Which::Tier(_)) => &[
            "tier",
            "demand level",
            "buys",
            "weight",
            "floor",
            "step up",
            "step down",
            "dwell",
            "sharing",
        ],
        Some(Which::Api(_)) => &[
            "api",
            "pool",
            "tier",
            "bounds",
            "pinned",
            "mode",
            "category",
            "forecasts",
            "labels",
        ],
        Some(Which::Slo(_)) => &["slo", "api", "objective", "bad is", "window", "declared"],
        Some(Which::Event(_)) => &[
            "event",
            "type",
            "start",
            "lasts",
            "comes back",
            "uplift",
            "apis",
        ],
        Some(Which::Binding(_)) => &[
            "binding",
            "type",
            "module",
            "challengers",
            "shadow",
            "serves",
        ],
        Some(Which::Template(_)) => &["template", "selects", "sets", "slos", "apis"],
        None => &[],
    };
    let mut table = Table::new(head);
    for object in objects {
        table.row(row(object));
    }
    table
}

/// What a tenant holds of its pools, and how much it may where that is bounded.
fn shares(pools: &[v1::PoolShare]) -> String {
    let share = |share: &v1::PoolShare| {
        let held = words::resources(share.held.as_ref());
        let quota = share.quota.filter(|q| *q != v1::Resources::default());
        match quota {
            Some(quota) => format!(
                "{}: {held} of at most {}",
                share.pool,
                words::resources(Some(&quota))
            ),
            None => format!("{}: {held}", share.pool),
        }
    };
    pools.iter().map(share).collect::<Vec<_>>().join("; ")
}

/// One object as a line.
pub(super) fn row(object: &Which) -> Vec<String> {
    let (_, name) = manifest::key(object);
    let span = |s: u32| Seconds(s).to_string();
    let tier = |t: v1::Tier, unspecified: &str| match t {
        v1::Tier::Unspecified => unspecified.to_owned(),
        known => words::tier(known),
    };
    match object {
        Which::Tenant(t) => {
            let used = t.usage.clone().unwrap_or_default();
            vec![
                name,
                format!("{} of {}", used.series, t.max_series),
                format!("{:.0} of {}", used.samples_per_s, t.max_samples_per_s),
                format!("{} of {}", used.modules, t.max_modules),
                used.refused_samples.to_string(),
                shares(&used.pools),
            ]
        }
        Which::Pool(p) => vec![
            name,
            words::resources(p.ready.as_ref()),
            words::resources(p.max.as_ref()),
            span(p.lead_time_s),
            p.quotas.len().to_string(),
        ],
        Which::Tier(t) => vec![
            name,
            format!("{:.1}%", f64::from(t.demand_level) / 100.0),
            format!("{:.1}%", f64::from(t.buy_level) / 100.0),
            words::number(t.weight),
            words::number(t.floor_of_expected),
            words::number(t.step_up),
            words::number(t.step_down),
            span(t.dwell_s),
            words::sharing(t),
        ],
        Which::Api(a) => vec![
            name,
            a.pool.clone(),
            tier(a.base_tier(), "bronze"),
            format!(
                "{}..{}",
                tier(a.lowest_tier(), "bronze"),
                tier(a.highest_tier(), "gold")
            ),
            tier(a.pinned_tier(), if a.unpinned { "none" } else { "-" }),
            match a.mode() {
                v1::Mode::Unspecified => "enforce".into(),
                mode => words::lower(mode.as_str_name(), "MODE_"),
            },
            a.category.clone(),
            standing::cell(&a.forecasts),
            labels(&a.labels),
        ],
        Which::Slo(s) => vec![
            name,
            s.api.clone(),
            format!("{}%", (s.objective * 1e7).round() / 1e5),
            match &s.indicator {
                Some(Indicator::Latency(l)) => slower(l),
                Some(Indicator::Availability(_)) => "failed".into(),
                None => "-".into(),
            },
            span(s.window_s),
            match &s.origin {
                None => "for the api".into(),
                Some(o) => format!("by template {}{}", o.template, together(o.judged())),
            },
        ],
        Which::Event(e) => vec![
            name,
            e.kind.clone(),
            words::instant(e.start_ms),
            span(e.duration_s),
            super::events::comes_back(e),
            e.minimum_uplift
                .map_or_else(|| "-".into(), |u| format!(">= {}x", words::number(u))),
            if e.apis.is_empty() {
                "all of the tenant".into()
            } else {
                e.apis.join(", ")
            },
        ],
        Which::Binding(b) => {
            let short = |module: &str| match module.get(..12) {
                Some(short) if module.len() == 64 => short.to_owned(),
                _ => module.to_owned(),
            };
            let challengers: Vec<String> = b.challengers.iter().map(|c| short(&c.module)).collect();
            let shadow = b.shadow.as_ref().map(|s| short(&s.module));
            vec![
                name,
                words::module_kind(b.kind()),
                short(&b.module),
                or_none(&challengers.join(", ")),
                shadow.unwrap_or_else(|| "-".into()),
                selects(b.selector.as_ref()),
            ]
        }
        Which::Template(t) => {
            let mut sets = Vec::new();
            if let serde_json::Value::Object(fields) = json::object(object) {
                let told = ["kind", "name", "selector", "slos", "apis"];
                sets.extend(
                    fields
                        .into_iter()
                        .filter(|(k, _)| !told.contains(&k.as_str())),
                );
            }
            let sets: Vec<String> = sets
                .iter()
                .map(|(k, v)| {
                    format!(
                        "{k} {}",
                        v.as_str().map_or_else(|| v.to_string(), Into::into)
                    )
                })
                .collect();
            let slos: Vec<String> = t.slos.iter().map(group_slo).collect();
            vec![
                name,
                selects(t.selector.as_ref()),
                or_none(&sets.join(", ")),
                or_none(&slos.join("; ")),
                t.apis.len().to_string(),
            ]
        }
    }
}

fn or_none(text: &str) -> String {
    match text {
        "" => "-".into(),
        some => some.to_owned(),
    }
}

fn slower(latency: &v1::LatencyIndicator) -> String {
    format!(
        "slower than {} ms, or failed",
        (latency.threshold * 1e6).round() / 1e3
    )
}

/// An SLO of a template, on one line.
fn group_slo(slo: &v1::TemplateSlo) -> String {
    use v1::template_slo::Indicator as Of;
    let bad = match &slo.indicator {
        Some(Of::Latency(l)) => slower(l),
        Some(Of::Availability(_)) | None => "failed".into(),
    };
    let objective = (slo.objective * 1e7).round() / 1e5;
    let together = match slo.judged() {
        v1::Judged::Together => ", together",
        v1::Judged::Each | v1::Judged::Unspecified => "",
    };
    format!("{} {objective}% not {bad}{together}", slo.name)
}

/// What a selector selects.
fn selects(selector: Option<&v1::Selector>) -> String {
    let selector = selector.cloned().unwrap_or_default();
    let mut parts = Vec::new();
    for (word, value) in [
        ("tenant", &selector.tenant),
        ("pool", &selector.pool),
        ("category", &selector.category),
    ] {
        if !value.is_empty() {
            parts.push(format!("{word} {value}"));
        }
    }
    if !selector.labels.is_empty() {
        parts.push(labels(&selector.labels));
    }
    match parts.as_slice() {
        [] => "all".into(),
        some => some.join(", "),
    }
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(" ")
}
