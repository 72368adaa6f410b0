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
    /// tenant, pool, tier, api, slo, event or binding; plurals are understood
    kind: String,
    /// One object; TENANT/NAME for an api, an SLO or an event
    name: Option<String>,
}

/// What to delete.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// tenant, pool, tier, api, slo, event or binding
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
        // Told as a comment, because it is not declared.
        fields.remove("forecasts");
        let head = ["kind", "name", "tier", "type"].map(|k| fields.remove_entry(k));
        for (key, value) in head.into_iter().flatten().chain(fields) {
            let line = serde_json::Map::from_iter([(key, value)]);
            text += serde_saphyr::to_string(&line)?.trim_end();
            text.push('\n');
        }
    }
    Ok(text)
}

/// How the forecasts of an api fare, as comments of its manifest.
fn told(object: &Which) -> String {
    let Which::Api(api) = object else {
        return String::new();
    };
    let line = |s: &v1::SeriesStanding| format!("# forecast of {}\n", standing::sentence(s));
    api.forecasts.iter().map(line).collect()
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
        Some(Which::Slo(_)) => &["slo", "api", "objective", "bad is", "window"],
        Some(Which::Event(_)) => &[
            "event",
            "type",
            "start",
            "lasts",
            "comes back",
            "uplift",
            "apis",
        ],
        Some(Which::Binding(_)) => &["binding", "type", "module", "challengers", "serves"],
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
            tier(a.pinned_tier(), "-"),
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
                Some(Indicator::Latency(l)) => format!(
                    "slower than {} ms, or failed",
                    (l.threshold * 1e6).round() / 1e3
                ),
                Some(Indicator::Availability(_)) => "failed".into(),
                None => "-".into(),
            },
            span(s.window_s),
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
            let selector = b.selector.clone().unwrap_or_default();
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
            let serves = if parts.is_empty() {
                "all".into()
            } else {
                parts.join(", ")
            };
            let short = |module: &str| match module.get(..12) {
                Some(short) if module.len() == 64 => short.to_owned(),
                _ => module.to_owned(),
            };
            let challengers: Vec<String> = b.challengers.iter().map(|c| short(&c.module)).collect();
            let challengers = match challengers.as_slice() {
                [] => "-".into(),
                some => some.join(", "),
            };
            let module = short(&b.module);
            vec![
                name,
                words::module_kind(b.kind()),
                module,
                challengers,
                serves,
            ]
        }
    }
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(" ")
}
