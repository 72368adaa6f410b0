//! `tidegate events list`: what is declared, or when it happens.

use crate::cli::connect::Session;
use crate::cli::errors::Told as _;
use crate::cli::{json, words};
use crate::config::Seconds;
use crate::render::table::Table;
use anyhow::Result;
use serde_json::json;
use tidegate_client::v1;
use tidegate_client::v1::object::Object as Which;

/// Which events.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// When they happen from now on, for so long (at most 400d): 7d
    #[arg(long, value_name = "DURATION")]
    next: Option<Seconds>,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those that came from this calendar
    #[arg(long, value_name = "NAME")]
    calendar: Option<String>,
}

impl Args {
    fn wants(&self, event: &v1::Event) -> bool {
        let tenant = event.name.split_once('/').map(|(t, _)| t);
        let calendar = event.origin.as_ref().map(|o| o.calendar.as_str());
        self.tenant.as_deref().is_none_or(|t| tenant == Some(t))
            && self.kind.as_ref().is_none_or(|k| *k == event.kind)
            && self.calendar.as_deref().is_none_or(|c| calendar == Some(c))
    }
}

/// Lists.
pub(crate) async fn run(args: &Args, session: Session) -> Result<()> {
    match args.next {
        Some(ahead) => upcoming(args, ahead, &session).await,
        None => declared(args, &session).await,
    }
}

async fn declared(args: &Args, session: &Session) -> Result<()> {
    let mut events = super::events(&session.client).await?;
    events.retain(|e| args.wants(e));
    session.print(
        || events.iter().map(|e| json::object(&Which::Event(e.clone()))).collect(),
        || {
            if events.is_empty() {
                return "no events; `tidegate events import FILE.ics` reads a calendar, `tidegate apply -f FILE` declares one".into();
            }
            let mut table = Table::new(&["event", "type", "start", "lasts", "comes back", "at least", "apis", "title"]);
            for event in &events {
                let mut row = vec![event.name.clone()];
                row.extend(cells(event));
                row.push(event.title.clone());
                table.row(row);
            }
            table.to_string()
        },
    )
}

async fn upcoming(args: &Args, ahead: Seconds, session: &Session) -> Result<()> {
    let now = session
        .client
        .clock()
        .now(v1::NowRequest {})
        .await
        .told()?
        .now_ms;
    let request = v1::UpcomingRequest {
        from_ms: Some(now),
        to_ms: Some(now.saturating_add(i64::from(ahead.0) * 1000)),
        tenant: args.tenant.clone().unwrap_or_default(),
    };
    let answer = session.client.events().upcoming(request).await.told()?;
    let found: Vec<(i64, i64, v1::Event)> = answer
        .occurrences
        .into_iter()
        .filter_map(|o| Some((o.start_ms, o.end_ms, o.event?)))
        .filter(|(_, _, event)| args.wants(event))
        .collect();
    session.print(
        || {
            let told = found.iter().map(|(start, end, e)| {
                json!({
                    "start": json::instant(*start), "end": json::instant(*end), "name": e.name,
                    "type": e.kind, "title": e.title, "minimum_uplift": e.minimum_uplift, "apis": e.apis,
                })
            });
            told.collect()
        },
        || {
            if found.is_empty() {
                return format!("no event in the next {ahead}");
            }
            let mut table = Table::new(&["from", "to", "event", "type", "at least", "apis"]);
            for (start, end, event) in &found {
                let from = match *start < now {
                    true => format!("{} (since)", words::instant(*start)),
                    false => words::instant(*start),
                };
                table.row(vec![
                    from,
                    words::instant(*end),
                    event.name.clone(),
                    event.kind.clone(),
                    uplift(event),
                    apis(event),
                ]);
            }
            table.to_string()
        },
    )
}

/// Kind, start, length, how it comes back, minimum and apis of an event.
pub(super) fn cells(event: &v1::Event) -> Vec<String> {
    vec![
        event.kind.clone(),
        words::instant(event.start_ms),
        Seconds(event.duration_s).to_string(),
        comes_back(event),
        uplift(event),
        apis(event),
    ]
}

/// How an event comes back, in a few words.
pub(crate) fn comes_back(event: &v1::Event) -> String {
    match (&event.recurrence, event.every_s) {
        (Some(r), _) => {
            let mut text = match r.rrule.is_empty() {
                true => "on dates".to_owned(),
                false => r.rrule.clone(),
            };
            if !r.time_zone.is_empty() {
                text = format!("{text} in {}", r.time_zone);
            }
            for (sign, dates) in [("-", &r.exdate_ms), ("+", &r.rdate_ms)] {
                if !dates.is_empty() {
                    text = format!("{text} {sign}{}", dates.len());
                }
            }
            text
        }
        (None, Some(every)) => format!("every {}", Seconds(every)),
        (None, None) => "once".into(),
    }
}

fn uplift(event: &v1::Event) -> String {
    event
        .minimum_uplift
        .map_or_else(|| "-".into(), |u| format!("{}x", words::number(u)))
}

fn apis(event: &v1::Event) -> String {
    match event.apis.is_empty() {
        true => "all of the tenant".into(),
        false => event.apis.join(", "),
    }
}
