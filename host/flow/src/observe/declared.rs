//! What was promised of an api and who set what it is, for whoever asks why.
//!
//! The rest of an explanation comes from a plan's record alone; this comes from the catalog as it is now,
//! and so stands apart: a template that was changed since is told as it was changed.

use tidegate_core::catalog::template::{Field, Template};
use tidegate_core::catalog::{Catalog, Mode};
use tidegate_core::ids::ApiId;
use tidegate_core::slo::{Indicator, Judged, Slo};
use tidegate_core::units::Resources;

/// Sentences; none for an api of which nothing was promised and which no template touches.
#[must_use]
pub fn declared(catalog: &Catalog, api: &ApiId) -> Vec<String> {
    let mut say = vec![];
    let slos: Vec<String> = catalog.slos_of(api).map(promise).collect();
    if !slos.is_empty() {
        say.push(format!("Promised: {}.", slos.join("; ")));
    }
    let Some(api) = catalog.apis.get(api).map(|a| &a.value) else {
        return say;
    };
    let filled: Vec<String> = api
        .open
        .iter()
        .filter_map(|(field, by)| {
            let template = &catalog.templates.get(by.as_ref()?)?.value;
            Some(format!(
                "{} {} by {}",
                field.name(),
                value(template, *field)?,
                template.id
            ))
        })
        .collect();
    if !filled.is_empty() {
        say.push(format!("Set by templates: {}.", filled.join("; ")));
    }
    say
}

/// An SLO, and where it comes from.
fn promise(slo: &Slo) -> String {
    let bad = match slo.indicator {
        Indicator::Latency { threshold } => {
            format!("neither failed nor slower than {} ms", threshold * 1000.0)
        }
        Indicator::Availability => "not failed".into(),
    };
    let percent = (slo.objective * 1e7).round() / 1e5;
    let from = match &slo.template {
        None => String::new(),
        Some(from) => match from.judged {
            Judged::Each => format!(", by template {}", from.id),
            Judged::Together => {
                format!(", by template {} over its group together", from.id)
            }
        },
    };
    format!("{percent} % {bad} ({}{from})", slo.id)
}

/// What a template says of a field.
fn value(template: &Template, field: Field) -> Option<String> {
    let amounts = |r: &Resources| {
        let each = r.iter().map(|(d, x)| format!("{x} {}", d.unit()));
        each.collect::<Vec<_>>().join(" and ")
    };
    match field {
        Field::Mode => template.mode.map(|mode| {
            match mode {
                Mode::Observe => "observe",
                Mode::Recommend => "recommend",
                Mode::Enforce => "enforce",
            }
            .into()
        }),
        Field::BaseTier => template.base_tier.map(|t| t.name().into()),
        Field::LowestTier => template.lowest_tier.map(|t| t.name().into()),
        Field::HighestTier => template.highest_tier.map(|t| t.name().into()),
        Field::PinnedTier => template.pinned_tier.map(|pin| pin.name().into()),
        Field::Weight => template.weight.map(|w| w.to_string()),
        Field::Floor => template.floor.as_ref().map(amounts),
        Field::Ceiling => template.ceiling.as_ref().map(amounts),
        Field::Safe => template.safe.as_ref().map(amounts),
        Field::TimeZone => template.time_zone.clone(),
    }
}
