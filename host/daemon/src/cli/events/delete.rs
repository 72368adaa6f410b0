//! `tidegate events delete`: by name, or all that came from a calendar; as one change set.

use super::{events, gone};
use crate::cli::connect::Session;
use crate::cli::errors::{Told as _, usage};
use anyhow::Result;
use serde_json::json;
use tidegate_client::v1;

/// Which events.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TENANT/NAME
    names: Vec<String>,
    /// All that came from this calendar
    #[arg(long, value_name = "NAME", conflicts_with = "names")]
    calendar: Option<String>,
    /// Only those of this tenant, of a calendar
    #[arg(long, value_name = "TENANT", requires = "calendar")]
    tenant: Option<String>,
    /// Check and tell, change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Refuses what names nothing; before any connection.
    pub(crate) fn check(&self) -> Result<()> {
        match self.names.is_empty() && self.calendar.is_none() {
            true => Err(usage(
                "name the events, or a calendar with --calendar; `tidegate events list` shows them",
            )),
            false => Ok(()),
        }
    }
}

/// Deletes.
pub(crate) async fn run(args: &Args, session: Session) -> Result<()> {
    let names = match &args.calendar {
        None => args.names.clone(),
        Some(calendar) => {
            let prefix = args.tenant.as_ref().map(|t| format!("{t}/"));
            let all = events(&session.client).await?;
            let of = all.into_iter().filter(|e| {
                let from = e.origin.as_ref().map(|o| o.calendar.as_str());
                from == Some(calendar) && prefix.as_ref().is_none_or(|p| e.name.starts_with(p))
            });
            let names: Vec<String> = of.map(|e| e.name).collect();
            if names.is_empty() {
                return Err(usage(format!(
                    "no event came from a calendar `{calendar}`; `tidegate get events -o json` shows their origins"
                )));
            }
            names
        }
    };
    let request = v1::ApplyRequest {
        changes: names.iter().map(|name| gone(name)).collect(),
        dry_run: args.dry_run,
    };
    let answer = session.client.catalog().apply(request).await.told()?;
    session.print(
        || json!({"generation": answer.generation, "dry_run": args.dry_run, "deleted": names}),
        || {
            let dry = if args.dry_run { " (dry run)" } else { "" };
            names
                .iter()
                .map(|name| format!("event {name} deleted{dry}\n"))
                .collect()
        },
    )
}
