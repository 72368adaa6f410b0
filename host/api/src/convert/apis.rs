//! Apis, what they promise, and the templates that say both for many of them.
//!
//! In all of them a field that is absent is open, and what fills it is decided in `core`. What is told of
//! an api has the values in force, with the fields that nobody declared by name beside them: a client
//! that knows of no template reads what it always read.

use super::catalog::{selector, selector_out};
use super::forecasts::champion_out;
use super::told::Told;
use super::words::{id, mode_out, resources, resources_out, tier, tier_out, unknown};
use crate::status::Problems;
use std::collections::BTreeMap;
use tidegate_core::catalog::template::{Field, GroupSlo, Template};
use tidegate_core::catalog::{Api, Mode};
use tidegate_core::slo::{Indicator, Judged, Slo};
use tidegate_core::tier::{Pin, Tier};
use tidegate_core::units::Resources;
use tidegate_proto::v1;

/// What an api and a template can both say; `None` where it was not said.
struct Said {
    mode: Option<Mode>,
    tiers: [Option<Tier>; 4],
    amounts: [Option<Resources>; 3],
}

/// Numbers as the wire has them, in the order of [`Said`].
fn said(
    mode: i32,
    tiers: [i32; 4],
    amounts: [Option<&v1::Resources>; 3],
    field: &str,
    problems: &mut Problems,
) -> Option<Said> {
    let mode = match v1::Mode::try_from(mode) {
        Ok(v1::Mode::Observe) => Some(Some(Mode::Observe)),
        Ok(v1::Mode::Recommend) => Some(Some(Mode::Recommend)),
        Ok(v1::Mode::Enforce) => Some(Some(Mode::Enforce)),
        Ok(v1::Mode::Unspecified) => Some(None),
        Err(_) => {
            let text = unknown("mode", mode, "MODE_ENFORCE");
            problems.push(format!("{field}.mode"), text);
            None
        }
    };
    let names = ["base_tier", "lowest_tier", "highest_tier", "pinned_tier"];
    let mut read = [None; 4];
    let mut whole = true;
    for ((slot, name), value) in read.iter_mut().zip(names).zip(tiers) {
        match problems.take(&format!("{field}.{name}"), tier(value)) {
            Some(tier) => *slot = tier,
            None => whole = false,
        }
    }
    let mut given = [None; 3];
    for ((slot, name), value) in given
        .iter_mut()
        .zip(["floor", "ceiling", "safe"])
        .zip(amounts)
    {
        *slot = value.map(|v| resources(Some(v), &format!("{field}.{name}"), problems));
    }
    Some(Said {
        mode: mode.filter(|_| whole)?,
        tiers: read,
        amounts: given,
    })
}

/// An api: what is absent is open, and so is what was told as filled; see [`Api::open`].
pub(super) fn api(a: v1::Api, field: &str, problems: &mut Problems) -> Option<Api> {
    let tiers = [a.base_tier, a.lowest_tier, a.highest_tier, a.pinned_tier];
    let amounts = [a.floor.as_ref(), a.ceiling.as_ref(), a.safe.as_ref()];
    let said = said(a.mode, tiers, amounts, field, problems);
    let mut told = Vec::new();
    for name in a.filled.keys() {
        match Field::parse(name) {
            Some(known) => told.push(known),
            None => problems.push(
                format!("{field}.filled[{name}]"),
                "no field of that name can be left open; leave `filled` out to declare what stands here",
            ),
        }
    }
    let name = id(&a.name, &format!("{field}.name"), problems);
    let pool = id(&a.pool, &format!("{field}.pool"), problems);
    let said = said?;
    let [base_tier, lowest_tier, highest_tier, pinned_tier] = said.tiers;
    // What a template filled in is told beside `filled`; it is not what the client says.
    let pinned_here = pinned_tier.filter(|_| !told.contains(&Field::PinnedTier));
    pin(a.unpinned, pinned_here, field, problems)?;
    let pinned_tier = pinned_tier.filter(|_| !a.unpinned);
    let [floor, ceiling, safe] = said.amounts;
    let absent = [
        (Field::Mode, said.mode.is_none()),
        (Field::BaseTier, base_tier.is_none()),
        (Field::LowestTier, lowest_tier.is_none()),
        (Field::HighestTier, highest_tier.is_none()),
        (Field::PinnedTier, pinned_tier.is_none()),
        (Field::Weight, a.weight.is_none()),
        (Field::Floor, floor.is_none()),
        (Field::Ceiling, ceiling.is_none()),
        (Field::Safe, safe.is_none()),
        (Field::TimeZone, a.time_zone.is_empty()),
    ];
    let open = absent
        .into_iter()
        .filter(|(field, absent)| *absent || told.contains(field))
        .filter(|(field, _)| !(a.unpinned && *field == Field::PinnedTier))
        .map(|(field, _)| (field, None));
    let floor = floor.unwrap_or_default();
    Some(Api {
        id: name?,
        pool: pool?,
        labels: a.labels,
        category: a.category,
        mode: said.mode.unwrap_or_default(),
        base_tier: base_tier.unwrap_or(Tier::Bronze),
        lowest_tier: lowest_tier.unwrap_or(Tier::Bronze),
        highest_tier: highest_tier.unwrap_or(Tier::Gold),
        pinned_tier,
        weight: a.weight.unwrap_or(1.0),
        floor,
        ceiling: ceiling.unwrap_or_default(),
        safe: safe.unwrap_or(floor),
        expected: a.expected,
        time_zone: match a.time_zone.is_empty() {
            true => "UTC".into(),
            false => a.time_zone,
        },
        open: open.collect(),
    })
}

/// What is said of a pin, unless it is both.
fn pin(
    unpinned: bool,
    tier: Option<Tier>,
    field: &str,
    problems: &mut Problems,
) -> Option<Option<Pin>> {
    match (unpinned, tier) {
        (true, Some(tier)) => {
            problems.push(
                format!("{field}.unpinned"),
                format!(
                    "it is pinned to {} as well; leave out one of the two",
                    tier.name()
                ),
            );
            None
        }
        (true, None) => Some(Some(Pin::Free)),
        (false, tier) => Some(tier.map(Pin::At)),
    }
}

/// An api on the wire, as it is in force.
pub(super) fn api_out(a: Api, told: &Told) -> v1::Api {
    let filled: BTreeMap<String, String> = a
        .open
        .iter()
        .map(|(field, by)| {
            let by = by.as_ref().map(ToString::to_string).unwrap_or_default();
            (field.name().to_owned(), by)
        })
        .collect();
    // Declared to be nothing is not the same as open.
    let given = |field: Field, of: &Resources| match a.open.contains_key(&field) {
        true => amounts(of),
        false => Some(resources_out(of)),
    };
    v1::Api {
        name: a.id.to_string(),
        pool: a.pool.to_string(),
        labels: a.labels,
        category: a.category,
        mode: mode_out(a.mode).into(),
        base_tier: tier_out(a.base_tier).into(),
        lowest_tier: tier_out(a.lowest_tier).into(),
        highest_tier: tier_out(a.highest_tier).into(),
        pinned_tier: maybe_tier_out(a.pinned_tier),
        weight: Some(a.weight),
        floor: given(Field::Floor, &a.floor),
        ceiling: given(Field::Ceiling, &a.ceiling),
        safe: given(Field::Safe, &a.safe),
        expected: a.expected,
        time_zone: a.time_zone,
        forecasts: told.champions.iter().map(champion_out).collect(),
        filled,
        unpinned: a.pinned_tier.is_none() && !a.open.contains_key(&Field::PinnedTier),
    }
}

/// Amounts on the wire; absent where there are none.
pub(super) fn amounts(resources: &Resources) -> Option<v1::Resources> {
    resources.iter().next().map(|_| resources_out(resources))
}

fn maybe_tier_out(tier: Option<Tier>) -> i32 {
    tier.map_or(v1::Tier::Unspecified, tier_out).into()
}

fn no_indicator(field: &str, problems: &mut Problems) {
    problems.push(
        format!("{field}.indicator"),
        "it is missing; fill in `latency` with a threshold in seconds, or `availability`",
    );
}

/// An SLO, as it is declared.
pub(super) fn slo(s: &v1::Slo, field: &str, problems: &mut Problems) -> Option<Slo> {
    let indicator = match &s.indicator {
        Some(v1::slo::Indicator::Latency(latency)) => Some(Indicator::Latency {
            threshold: latency.threshold,
        }),
        Some(v1::slo::Indicator::Availability(_)) => Some(Indicator::Availability),
        None => {
            no_indicator(field, problems);
            None
        }
    };
    let name = id(&s.name, &format!("{field}.name"), problems);
    let api = id(&s.api, &format!("{field}.api"), problems);
    Some(Slo {
        id: name?,
        api: api?,
        indicator: indicator?,
        objective: s.objective,
        window_s: s.window_s,
        template: None,
    })
}

/// An SLO on the wire.
pub(super) fn slo_out(s: Slo) -> v1::Slo {
    v1::Slo {
        name: s.id.to_string(),
        api: s.api.to_string(),
        indicator: Some(match s.indicator {
            Indicator::Latency { threshold } => {
                v1::slo::Indicator::Latency(v1::LatencyIndicator { threshold })
            }
            Indicator::Availability => {
                v1::slo::Indicator::Availability(v1::AvailabilityIndicator {})
            }
        }),
        objective: s.objective,
        window_s: s.window_s,
        origin: s.template.map(|from| v1::SloOrigin {
            template: from.id.to_string(),
            judged: judged_out(from.judged).into(),
        }),
    }
}

fn judged_out(judged: Judged) -> v1::Judged {
    match judged {
        Judged::Each => v1::Judged::Each,
        Judged::Together => v1::Judged::Together,
    }
}

/// A template.
pub(super) fn template(t: v1::Template, field: &str, problems: &mut Problems) -> Option<Template> {
    let name = id(&t.name, &format!("{field}.name"), problems);
    let selector = selector(t.selector, &format!("{field}.selector"), problems);
    let tiers = [t.base_tier, t.lowest_tier, t.highest_tier, t.pinned_tier];
    let amounts = [t.floor.as_ref(), t.ceiling.as_ref(), t.safe.as_ref()];
    let said = said(t.mode, tiers, amounts, field, problems);
    let slos = (0_usize..).zip(&t.slos);
    let slos = slos.map(|(i, slo)| group_slo(slo, &format!("{field}.slos[{i}]"), problems));
    // Collected as a whole first: a short-cut would hide the problems of the later ones.
    let slos: Vec<Option<GroupSlo>> = slos.collect();
    let said = said?;
    let [base_tier, lowest_tier, highest_tier, pinned_tier] = said.tiers;
    let [floor, ceiling, safe] = said.amounts;
    let pinned_tier = pin(t.unpinned, pinned_tier, field, problems)?;
    Some(Template {
        id: name?,
        selector,
        mode: said.mode,
        base_tier,
        lowest_tier,
        highest_tier,
        pinned_tier,
        weight: t.weight,
        floor,
        ceiling,
        safe,
        time_zone: (!t.time_zone.is_empty()).then_some(t.time_zone),
        slos: slos.into_iter().collect::<Option<_>>()?,
    })
}

fn group_slo(s: &v1::TemplateSlo, field: &str, problems: &mut Problems) -> Option<GroupSlo> {
    use v1::template_slo::Indicator as Wire;
    let indicator = match &s.indicator {
        Some(Wire::Latency(latency)) => Some(Indicator::Latency {
            threshold: latency.threshold,
        }),
        Some(Wire::Availability(_)) => Some(Indicator::Availability),
        None => {
            no_indicator(field, problems);
            None
        }
    };
    let judged = match v1::Judged::try_from(s.judged) {
        Ok(v1::Judged::Unspecified | v1::Judged::Each) => Some(Judged::Each),
        Ok(v1::Judged::Together) => Some(Judged::Together),
        Err(_) => {
            let text = unknown("way of judging", s.judged, "JUDGED_TOGETHER");
            problems.push(format!("{field}.judged"), text);
            None
        }
    };
    let name = id(&s.name, &format!("{field}.name"), problems);
    Some(GroupSlo {
        name: name?,
        indicator: indicator?,
        objective: s.objective,
        window_s: s.window_s,
        judged: judged?,
    })
}

/// A template on the wire.
pub(super) fn template_out(t: Template, told: &Told) -> v1::Template {
    use v1::template_slo::Indicator as Wire;
    let slo = |s: GroupSlo| v1::TemplateSlo {
        name: s.name.to_string(),
        indicator: Some(match s.indicator {
            Indicator::Latency { threshold } => Wire::Latency(v1::LatencyIndicator { threshold }),
            Indicator::Availability => Wire::Availability(v1::AvailabilityIndicator {}),
        }),
        objective: s.objective,
        window_s: s.window_s,
        judged: judged_out(s.judged).into(),
    };
    v1::Template {
        name: t.id.to_string(),
        selector: Some(selector_out(t.selector)),
        mode: t.mode.map_or(v1::Mode::Unspecified, mode_out).into(),
        base_tier: maybe_tier_out(t.base_tier),
        lowest_tier: maybe_tier_out(t.lowest_tier),
        highest_tier: maybe_tier_out(t.highest_tier),
        pinned_tier: maybe_tier_out(t.pinned_tier.and_then(Pin::tier)),
        unpinned: t.pinned_tier == Some(Pin::Free),
        weight: t.weight,
        floor: t.floor.as_ref().map(resources_out),
        ceiling: t.ceiling.as_ref().map(resources_out),
        safe: t.safe.as_ref().map(resources_out),
        time_zone: t.time_zone.unwrap_or_default(),
        slos: t.slos.into_iter().map(slo).collect(),
        apis: told.group.iter().map(ToString::to_string).collect(),
    }
}
