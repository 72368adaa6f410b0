//! `tidegate policy shadow`, `promote`, `quarantine` and `history`: a version's way to serve and back.

use super::{is_json, swapped};
use crate::cli::connect::{Flags, online};
use crate::cli::errors::Told as _;
use crate::cli::{json, words};
use crate::config::Seconds;
use crate::render::table::Table;
use anyhow::Result;
use tidegate_client::v1;

/// What `shadow` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ShadowArgs {
    /// The binding, as `tidegate get bindings` lists it
    binding: String,
    /// A module's name (its newest version), its digest, or the beginning of one
    #[arg(required_unless_present = "end", conflicts_with = "end")]
    module: Option<String>,
    /// Configuration under the module's schema; the binding's, where the module's name is the same
    #[arg(long, value_name = "JSON", conflicts_with = "end")]
    config: Option<String>,
    /// End the shadow that is there; it is not promoted
    #[arg(long)]
    end: bool,
}

/// What `promote` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// The binding
    binding: String,
    /// Also without the evidence that the gate asks for; it is recorded as forced
    #[arg(long)]
    force: bool,
}

/// What `quarantine` is told.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["binding", "everywhere"]))]
pub(crate) struct QuarantineArgs {
    /// A module's name (its newest version), its digest, or the beginning of one
    module: String,
    /// For this binding alone
    #[arg(long)]
    binding: Option<String>,
    /// For all bindings; for who answers for all tenants
    #[arg(long)]
    everywhere: bool,
    /// Let it serve again
    #[arg(long)]
    lift: bool,
}

/// What `history` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// A binding; or a module's name, its digest, or the beginning of one
    of: String,
}

/// Puts a version in shadow, or ends that.
pub(crate) fn shadow(args: ShadowArgs, flags: &Flags) -> Result<()> {
    is_json(args.config.as_deref())?;
    online(flags, async |session| {
        let mut policies = session.client.policies();
        let binding = args.binding.clone();
        let slot = match args.module {
            Some(module) => {
                let request = v1::PutInShadowRequest {
                    binding,
                    module,
                    config: args.config,
                };
                policies.put_in_shadow(request).await.told()?.slot
            }
            None => {
                let request = v1::EndShadowRequest { binding };
                policies.end_shadow(request).await.told()?.slot
            }
        };
        let slot = slot.unwrap_or_default();
        session.print(
            || json::slot(&slot),
            || match &slot.trial {
                _ if args.end => format!("nothing is in shadow of {} any more", slot.binding),
                Some(trial) => {
                    let (how, rules) = (sentence(trial), rules(trial));
                    format!("binding {}: {how}\n{rules}", slot.binding)
                }
                None => format!(
                    "it is in shadow of {}, and is compared once a module serves there",
                    slot.binding
                ),
            },
        )
    })
}

/// Promotes a shadow.
pub(crate) fn promote(args: PromoteArgs, flags: &Flags) -> Result<()> {
    online(flags, async |session| {
        let request = v1::PromoteRequest {
            binding: args.binding,
            force: args.force,
        };
        let slot = session.client.policies().promote(request).await.told()?;
        swapped(&slot.slot.unwrap_or_default(), &session)
    })
}

/// Quarantines a module, or lifts that.
pub(crate) fn quarantine(args: QuarantineArgs, flags: &Flags) -> Result<()> {
    online(flags, async |session| {
        let mut policies = session.client.policies();
        let module = args.module;
        let binding = args.binding.unwrap_or_default();
        let place = match binding.as_str() {
            "" => "everywhere".to_owned(),
            binding => format!("for binding {binding}"),
        };
        let told = if args.lift {
            let request = v1::LiftRequest { module, binding };
            policies.lift(request).await.told()?.module
        } else {
            let request = v1::QuarantineRequest { module, binding };
            policies.quarantine(request).await.told()?.module
        };
        let module = told.unwrap_or_default();
        let manifest = module.manifest.clone().unwrap_or_default();
        let done = match args.lift {
            true => "may serve again",
            false => "is quarantined",
        };
        session.print(
            || json::module(&module),
            || {
                let short = module.digest.get(..12).unwrap_or_default();
                let (name, version) = (&manifest.name, &manifest.version);
                format!("{name} {version} ({short}) {done} {place}")
            },
        )
    })
}

/// Tells the past.
pub(crate) fn history(args: &HistoryArgs, flags: &Flags) -> Result<()> {
    online(flags, async |session| {
        let request = v1::HistoryRequest {
            of: args.of.clone(),
        };
        let steps = session.client.policies().history(request).await.told()?;
        let steps = steps.steps;
        session.print(
            || steps.iter().map(json::step).collect(),
            || match steps.is_empty() {
                true => format!("nothing is recorded of {}", args.of),
                false => past(&steps).to_string(),
            },
        )
    })
}

/// One line per step.
fn past(steps: &[v1::LifeStep]) -> Table {
    let mut table = Table::new(&["when", "what", "binding", "from", "to", "by", "why"]);
    let or_none = |text: &str| match text {
        "" => "-".to_owned(),
        some => some.to_owned(),
    };
    for step in steps {
        let module = |v: Option<&v1::Version>| v.and_then(|v| v.module.clone());
        let digests = [&step.from, &step.to].map(|v| module(v.as_ref()).map(|m| m.digest));
        // Two configs of one module are two versions: only then a config tells them apart.
        let configs = digests[0] == digests[1];
        let version = |v: Option<&v1::Version>| {
            let Some(name) = module(v).map(|m| words::module_ref(&m)) else {
                return "-".to_owned();
            };
            match v.map(|v| v.config.as_str()) {
                Some(config) if configs && !config.is_empty() => format!("{name} {config}"),
                _ => name,
            }
        };
        let mut what = words::life_event(step.event());
        if step.forced {
            what += " (forced)";
        }
        table.row(vec![
            words::instant(step.at_ms),
            what,
            or_none(&step.binding),
            version(step.from.as_ref()),
            version(step.to.as_ref()),
            step.by.clone(),
            words::printable(&step.reason),
        ]);
    }
    table
}

fn name(version: Option<&v1::Version>) -> String {
    let module = version.and_then(|v| v.module.as_ref());
    module.map(words::module_ref).unwrap_or_default()
}

/// What stands beside the active version, for a cell of a table.
pub(super) fn beside(trial: &v1::VersionTrial) -> String {
    let verdict = words::lower(trial.verdict().as_str_name(), "VERDICT_").replace('_', " ");
    let since = words::instant(trial.since_ms);
    match trial.serving() {
        v1::Side::Candidate => {
            let incumbent = name(trial.incumbent.as_ref());
            format!("watched against {incumbent} since {since}: {verdict}")
        }
        v1::Side::Incumbent | v1::Side::Unspecified => {
            let candidate = name(trial.candidate.as_ref());
            format!("{candidate} in shadow since {since}: {verdict}")
        }
    }
}

/// How a comparison stands, in one sentence.
pub(super) fn sentence(trial: &v1::VersionTrial) -> String {
    let percent = |part: f64| format!("{:+.1} %", part * 100.0);
    let difference = trial.difference.map(|mean| {
        let bounds = trial.difference_low.zip(trial.difference_high);
        let bounds = bounds.map(|(low, high)| format!(" ({} to {})", percent(low), percent(high)));
        format!(
            ", mean loss {}{}",
            percent(mean),
            bounds.unwrap_or_default()
        )
    });
    format!(
        "{}; {} decisions compared{}; {}",
        beside(trial),
        trial.pairs,
        difference.unwrap_or_default(),
        trial.reason
    )
}

/// By which rules a shadow is decided on.
fn rules(trial: &v1::VersionTrial) -> String {
    let gate = trial.gate.unwrap_or_default();
    let span = |seconds: Option<u32>| Seconds(seconds.unwrap_or_default()).to_string();
    let who = match gate.promote() {
        v1::Promotion::Manual => format!("`tidegate policy promote {}`", trial.binding),
        v1::Promotion::Automatic | v1::Promotion::Unspecified => "its gate".to_owned(),
    };
    format!(
        "{who} promotes it after {} at the earliest, where it is shown to lose at most {} % more; undecided after {}, it ends",
        span(gate.min_duration_s),
        words::number(gate.margin.unwrap_or_default() * 100.0),
        span(gate.max_duration_s)
    )
}
