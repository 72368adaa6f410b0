//! `tidegate events import`: a calendar as one change set.
//!
//! A calendar is known by its name and a component by its UID; both stand with the event (its
//! *origin*). So reading a file again finds what it made before, whatever became of the titles, and
//! `--prune` takes away what this calendar made and holds no longer, and nothing else. The file is
//! read as a whole before anything is sent, and the server takes the set as a whole: a calendar is
//! never half there.

use super::ics::{self, Calendar};
use super::vevent::{Draft, Rules, at_least, drafts, slug};
use super::{all, events, gone, put};
use crate::cli::connect::Session;
use crate::cli::errors::{explain, usage, violations};
use crate::cli::{json, words};
use crate::config::Seconds;
use crate::recur;
use crate::render::table::Table;
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tidegate_client::v1;
use tidegate_client::v1::object::Object as Which;
use tonic::Code;

/// Which calendar, and what it means here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An iCalendar file (.ics), or `-` for the standard input
    file: PathBuf,
    /// Whose events they are; may be left out where a credential holds one tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Name of the calendar, by which it is known again; its X-WR-CALNAME or the file's name if absent
    #[arg(long, value_name = "NAME")]
    calendar: Option<String>,
    /// Kind of what has no CATEGORIES: uplift is learned per kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Apis that the events touch, unless X-TIDEGATE-APIS says it; all of the tenant if absent
    #[arg(long = "api", value_name = "API", conflicts_with = "selector")]
    apis: Vec<String>,
    /// Touch the apis that have these labels now
    #[arg(long, value_name = "LABEL=VALUE", value_parser = pair)]
    selector: Vec<(String, String)>,
    /// Plan for at least so many times the ordinary load, while nobody knows better: 3x
    #[arg(long, value_name = "FACTOR", value_parser = at_least)]
    at_least: Option<f64>,
    /// Zone of times that name none; the calendar's X-WR-TIMEZONE or UTC if absent
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// What a name of a zone in the file means: 'W. Europe Standard Time=Europe/Berlin'
    #[arg(long, value_name = "NAME=ZONE", value_parser = pair)]
    zone: Vec<(String, String)>,
    /// Length of what has neither DTEND nor DURATION
    #[arg(long, value_name = "DURATION")]
    lasts: Option<Seconds>,
    /// Delete what this calendar declared before and holds no longer
    #[arg(long)]
    prune: bool,
    /// Check and tell what would be done, change nothing
    #[arg(long)]
    dry_run: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let split = text
        .split_once('=')
        .filter(|(k, v)| !k.is_empty() && !v.is_empty());
    let (key, value) = split.ok_or_else(|| format!("`{text}` should read NAME=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A calendar that was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The file, as it is told.
    file: String,
    /// The calendar's name.
    name: String,
    events: Vec<Draft>,
    cancelled: Vec<String>,
}

/// Reads the file; before any connection, so that a mistake is told without one.
pub(crate) fn read(args: &Args) -> Result<Read> {
    let is_stdin = args.file.as_os_str() == "-";
    let file = match is_stdin {
        true => "<stdin>".to_owned(),
        false => args.file.display().to_string(),
    };
    let text = text(&args.file, &file, is_stdin)?;
    let calendar = ics::read(&text, &file)?;
    let stem = args.file.file_stem().filter(|_| !is_stdin);
    let stem = stem.map(|s| s.to_string_lossy().into_owned());
    let name = args
        .calendar
        .clone()
        .or_else(|| calendar.name.clone())
        .or(stem);
    let name = name.filter(|n| !n.trim().is_empty()).ok_or_else(|| {
        usage("the calendar has no name by which it would be known again; give --calendar NAME")
    })?;
    let found = drafts(&calendar, &rules(args, &calendar)?).map_err(|mistakes| {
        let lines: Vec<String> = mistakes
            .iter()
            .map(|(l, m)| format!("{file}:{l}: {m}"))
            .collect();
        anyhow!("nothing was imported:\n  {}", lines.join("\n  "))
    })?;
    if found.events.is_empty() && found.cancelled.is_empty() && !args.prune {
        bail!(
            "{file}: it holds no VEVENT; to delete what this calendar declared before, give --prune"
        );
    }
    Ok(Read {
        file,
        name,
        events: found.events,
        cancelled: found.cancelled,
    })
}

/// The file's text, no more of it than a calendar has.
fn text(path: &Path, file: &str, is_stdin: bool) -> Result<String> {
    let cannot = || format!("cannot read {file}");
    let mut bytes = vec![];
    let most = ics::MOST_BYTES + 1;
    match is_stdin {
        true => std::io::stdin().take(most).read_to_end(&mut bytes),
        false => std::fs::File::open(path)
            .with_context(cannot)?
            .take(most)
            .read_to_end(&mut bytes),
    }
    .with_context(cannot)?;
    if bytes.len() as u64 >= most {
        bail!(
            "{file}: it is larger than {} MiB; export fewer years",
            ics::MOST_BYTES >> 20
        );
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        anyhow!("{file}:{line}: this is no UTF-8; give an iCalendar file (.ics), saved as UTF-8")
    })
}

fn rules(args: &Args, calendar: &Calendar) -> Result<Rules> {
    let mut zones: BTreeMap<String, String> = calendar.zones.iter().cloned().collect();
    zones.extend(args.zone.iter().cloned());
    for (_, zone) in &args.zone {
        recur::zone(zone).map_err(|e| usage(format!("--zone: {e}")))?;
    }
    let given = args.time_zone.as_ref();
    if let Some(zone) = given {
        recur::zone(zone).map_err(|e| usage(format!("--time-zone: {e}")))?;
    }
    // What a vendor wrote and nobody knows is no reason to refuse times that name their zone.
    let written = calendar
        .time_zone
        .as_ref()
        .filter(|z| recur::zone(z).is_ok());
    Ok(Rules {
        floating: given.or(written).cloned().unwrap_or_default(),
        zones,
        kind: args.kind.clone(),
        lasts: args.lasts.map(|s| s.0),
    })
}

/// Declares what was read, as a whole or not at all.
pub(crate) async fn run(args: &Args, read: Read, session: Session) -> Result<()> {
    let tenant = tenant(args, &session).await?;
    let apis = apis_of(&session, &tenant).await?;
    let before = events(&session.client).await?;
    let before: Vec<v1::Event> = before
        .into_iter()
        .filter(|e| e.name.split_once('/').is_some_and(|(t, _)| t == tenant))
        .collect();
    let declared = declared(args, &read, &tenant, &apis, &before)?;
    let over = over(args, &read, &before);
    let changes = over.iter().map(|name| gone(name));
    let changes: Vec<v1::Change> = changes
        .chain(declared.iter().map(|e| put(e.clone())))
        .collect();
    let effects = match changes.is_empty() {
        true => vec![],
        false => apply(args, &session, changes, &read, &declared).await?,
    };
    let by_name: BTreeMap<&str, &v1::Event> =
        declared.iter().map(|e| (e.name.as_str(), e)).collect();
    session.print(
        || {
            let told = effects.iter().map(|(name, effect)| {
                let event = by_name.get(name.as_str());
                let event = event.map(|e| json::object(&Which::Event((*e).clone())));
                json!({"name": name, "effect": effect, "event": event})
            });
            json!({"calendar": read.name, "dry_run": args.dry_run, "effects": told.collect::<Vec<_>>()})
        },
        || told(args, &effects, &by_name),
    )
}

/// The tenant that was named, or the only one.
async fn tenant(args: &Args, session: &Session) -> Result<String> {
    if let Some(tenant) = &args.tenant {
        return Ok(tenant.clone());
    }
    let all = all(&session.client, v1::ObjectKind::Tenant).await?;
    let names: Vec<String> = all
        .into_iter()
        .filter_map(|o| match o {
            Which::Tenant(t) => Some(t.name),
            _ => None,
        })
        .collect();
    match names.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(usage(
            "there is no tenant to own the events; declare one with `tidegate apply`",
        )),
        some => Err(usage(format!(
            "whose events are they? give --tenant with one of {}",
            some.join(", ")
        ))),
    }
}

/// Names and labels of a tenant's apis.
async fn apis_of(
    session: &Session,
    tenant: &str,
) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let all = all(&session.client, v1::ObjectKind::Api).await?;
    let apis = all.into_iter().filter_map(|o| match o {
        Which::Api(a) => Some((a.name, a.labels)),
        _ => None,
    });
    let prefix = format!("{tenant}/");
    Ok(apis.filter(|(name, _)| name.starts_with(&prefix)).collect())
}

type Apis = BTreeMap<String, BTreeMap<String, String>>;

/// The events as they shall stand.
fn declared(
    args: &Args,
    read: &Read,
    tenant: &str,
    apis: &Apis,
    before: &[v1::Event],
) -> Result<Vec<v1::Event>> {
    let mut mistakes = vec![];
    let mut resolve = |names: &[String], place: &str| -> Vec<String> {
        let full = names
            .iter()
            .map(|name| match name.starts_with(&format!("{tenant}/")) {
                true => name.clone(),
                false => format!("{tenant}/{name}"),
            });
        let full: BTreeSet<String> = full.collect();
        for name in full.iter().filter(|name| !apis.contains_key(*name)) {
            let known: Vec<&str> = apis.keys().map(String::as_str).collect();
            mistakes.push(format!(
                "{place}: there is no api `{name}`{}; `tidegate get apis` lists them",
                words::hint(name, &known)
            ));
        }
        full.into_iter().collect()
    };
    let mut usual = resolve(&args.apis, "--api");
    if !args.selector.is_empty() {
        let fits = |labels: &BTreeMap<String, String>| {
            args.selector.iter().all(|(k, v)| labels.get(k) == Some(v))
        };
        usual = apis
            .iter()
            .filter(|(_, labels)| fits(labels))
            .map(|(name, _)| name.clone())
            .collect();
        if usual.is_empty() {
            return Err(usage(
                "--selector: no api of the tenant has these labels; `tidegate get apis` shows them",
            ));
        }
    }
    let known: BTreeMap<&str, &str> = before
        .iter()
        .filter_map(|e| Some((e.origin.as_ref()?, e.name.as_str())))
        .filter(|(origin, _)| origin.calendar == read.name)
        .map(|(origin, name)| (origin.uid.as_str(), name))
        .collect();
    let mut taken: BTreeSet<String> = before.iter().map(|e| e.name.clone()).collect();
    let mut all = vec![];
    for draft in &read.events {
        let place = format!("{}:{}", read.file, draft.line);
        let name = match known.get(draft.uid.as_str()) {
            Some(name) => (*name).to_owned(),
            None => fresh(tenant, draft, &taken),
        };
        taken.insert(name.clone());
        all.push(v1::Event {
            name,
            apis: draft
                .apis
                .as_ref()
                .map_or_else(|| usual.clone(), |own| resolve(own, &place)),
            minimum_uplift: draft.at_least.or(args.at_least),
            origin: Some(v1::EventOrigin {
                calendar: read.name.clone(),
                uid: draft.uid.clone(),
            }),
            ..draft.event.clone()
        });
    }
    match mistakes.is_empty() {
        true => Ok(all),
        false => bail!("nothing was imported:\n  {}", mistakes.join("\n  ")),
    }
}

/// A name that nothing has: of the title, and of the UID where that is taken or empty.
fn fresh(tenant: &str, draft: &Draft, taken: &BTreeSet<String>) -> String {
    let title = slug(&draft.event.title);
    let plain = format!("{tenant}/{title}");
    if !title.is_empty() && !taken.contains(&plain) {
        return plain;
    }
    let title = if title.is_empty() { "event" } else { &title };
    let digest = Sha256::digest(draft.uid.as_bytes());
    let hex: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    format!("{tenant}/{title}-{hex}")
}

/// Names of events of this calendar that are called off, or gone from it.
fn over(args: &Args, read: &Read, before: &[v1::Event]) -> Vec<String> {
    let stays: BTreeSet<&str> = read.events.iter().map(|d| d.uid.as_str()).collect();
    let cancelled: BTreeSet<&str> = read.cancelled.iter().map(String::as_str).collect();
    let mine = before.iter().filter_map(|e| Some((e, e.origin.as_ref()?)));
    let mine = mine.filter(|(_, origin)| origin.calendar == read.name);
    let over = mine.filter(|(_, origin)| {
        let uid = origin.uid.as_str();
        cancelled.contains(uid) || (args.prune && !stays.contains(uid))
    });
    over.map(|(event, _)| event.name.clone()).collect()
}

async fn apply(
    args: &Args,
    session: &Session,
    changes: Vec<v1::Change>,
    read: &Read,
    declared: &[v1::Event],
) -> Result<Vec<(String, String)>> {
    let request = v1::ApplyRequest {
        changes,
        dry_run: args.dry_run,
    };
    let answer = session.client.catalog().apply(request).await;
    let answer = answer.map_err(|status| {
        let fields = violations(&status);
        if status.code() != Code::InvalidArgument || fields.is_empty() {
            return explain(&status);
        }
        // A problem begins with the object that it is about: its line is known here.
        let line = |problem: &str| {
            let named = |e: &v1::Event| problem.starts_with(&format!("event {}:", e.name));
            let at = declared
                .iter()
                .position(named)
                .and_then(|i| read.events.get(i));
            at.map_or_else(
                || read.file.clone(),
                |d| format!("{}:{}", read.file, d.line),
            )
        };
        let lines = fields
            .iter()
            .map(|(field, problem)| format!("{}: {field}: {problem}", line(problem)));
        anyhow!(
            "nothing was imported:\n  {}",
            lines.collect::<Vec<_>>().join("\n  ")
        )
    })?;
    let effects = answer.into_inner().effects.into_iter().map(|effect| {
        let what = words::lower(effect.effect().as_str_name(), "EFFECT_");
        (effect.key.unwrap_or_default().name, what)
    });
    Ok(effects.collect())
}

/// What was done, for a person: what changed as a table, and a sum.
fn told(
    args: &Args,
    effects: &[(String, String)],
    declared: &BTreeMap<&str, &v1::Event>,
) -> String {
    let mut table = Table::new(&[
        "event",
        "effect",
        "type",
        "start",
        "lasts",
        "comes back",
        "at least",
        "apis",
    ]);
    let (mut sums, mut rows) = (BTreeMap::<&str, usize>::new(), 0);
    for (name, effect) in effects {
        *sums.entry(effect).or_default() += 1;
        if effect == "unchanged" {
            continue;
        }
        rows += 1;
        let mut row = vec![name.clone(), effect.clone()];
        row.extend(
            declared
                .get(name.as_str())
                .map_or_else(|| vec!["-".into(); 6], |e| super::list::cells(e)),
        );
        table.row(row);
    }
    let sum = |word: &str| format!("{} {word}", sums.get(word).copied().unwrap_or(0));
    let sum = ["created", "updated", "deleted", "unchanged"]
        .map(sum)
        .join(", ");
    let dry = if args.dry_run {
        " (dry run: nothing was changed)"
    } else {
        ""
    };
    match rows {
        0 => format!("{sum}{dry}"),
        _ => format!("{table}\n{sum}{dry}"),
    }
}

#[cfg(test)]
mod tests;
