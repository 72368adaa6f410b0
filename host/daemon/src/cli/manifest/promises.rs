//! What apis promise: SLOs, one by one, and templates, which put them and all else that an api can leave
//! open on every api of a group.

use super::amounts::{Latency, Objective};
use super::objects::{Kind, Mode, Pin, Resources, Selector, Tier, mode, tier};
use crate::config::Seconds;
use serde::Deserialize;
use serde::de::{Error, IgnoredAny};
use tidegate_client::v1;

/// Which requests are bad, said exactly once.
fn indicated<L>(
    latency: Option<L>,
    availability: Option<IgnoredAny>,
) -> Result<Option<L>, &'static str> {
    match (latency, availability) {
        (Some(latency), None) => Ok(Some(latency)),
        (None, Some(_)) => Ok(None),
        (None, None) => Err(
            "it does not say which requests are bad; add `latency: 200ms` (slower or failed) or `availability: {}` (failed)",
        ),
        (Some(_), Some(_)) => Err(
            "it has both `latency` and `availability`; a latency SLO counts failed requests as bad already, so remove one",
        ),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slo {
    #[serde(rename = "kind")]
    _kind: Kind,
    name: String,
    api: String,
    latency: Option<Latency>,
    availability: Option<IgnoredAny>,
    objective: Objective,
    #[serde(alias = "window_s")]
    window: Seconds,
    /// What `get` tells of the template that it comes from; applied, it is declared.
    #[serde(rename = "template", default)]
    _template: IgnoredAny,
    #[serde(rename = "judged", default)]
    _judged: IgnoredAny,
}

impl Slo {
    /// The SLO, if it says exactly once which requests are bad.
    pub(super) fn indicated(self) -> Result<v1::Slo, &'static str> {
        use v1::slo::Indicator;
        let indicator = match indicated(self.latency, self.availability)? {
            Some(latency) => Indicator::Latency(v1::LatencyIndicator {
                threshold: latency.0,
            }),
            None => Indicator::Availability(v1::AvailabilityIndicator {}),
        };
        Ok(v1::Slo {
            name: self.name,
            api: self.api,
            indicator: Some(indicator),
            objective: self.objective.0,
            window_s: self.window.0,
            origin: None,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    #[serde(rename = "kind")]
    _kind: Kind,
    name: String,
    #[serde(default)]
    selector: Selector,
    mode: Option<Mode>,
    base_tier: Option<Tier>,
    lowest_tier: Option<Tier>,
    highest_tier: Option<Tier>,
    pinned_tier: Option<Pin>,
    weight: Option<f64>,
    floor: Option<Resources>,
    ceiling: Option<Resources>,
    safe: Option<Resources>,
    #[serde(default)]
    time_zone: String,
    #[serde(default)]
    slos: Vec<GroupSlo>,
    /// What `get` tells beside what was declared.
    #[serde(rename = "apis", default)]
    _apis: IgnoredAny,
}

impl From<Template> for v1::Template {
    fn from(t: Template) -> Self {
        let (pinned_tier, unpinned) = Pin::out(t.pinned_tier);
        v1::Template {
            name: t.name,
            selector: Some(t.selector.into()),
            mode: mode(t.mode),
            base_tier: tier(t.base_tier),
            lowest_tier: tier(t.lowest_tier),
            highest_tier: tier(t.highest_tier),
            pinned_tier,
            unpinned,
            weight: t.weight,
            floor: t.floor.map(Into::into),
            ceiling: t.ceiling.map(Into::into),
            safe: t.safe.map(Into::into),
            time_zone: t.time_zone,
            slos: t.slos.into_iter().map(|slo| slo.0).collect(),
            apis: vec![],
        }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Judged {
    #[default]
    Each,
    Together,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    latency: Option<Latency>,
    availability: Option<IgnoredAny>,
    objective: Objective,
    #[serde(alias = "window_s")]
    window: Seconds,
    #[serde(default)]
    judged: Judged,
}

/// An SLO of a template. Read with what must be said once, so that the error has the line of the SLO.
#[derive(Debug)]
struct GroupSlo(v1::TemplateSlo);

impl<'de> Deserialize<'de> for GroupSlo {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use v1::template_slo::Indicator;
        let slo = Written::deserialize(from)?;
        let indicator = match indicated(slo.latency, slo.availability).map_err(D::Error::custom)? {
            Some(latency) => Indicator::Latency(v1::LatencyIndicator {
                threshold: latency.0,
            }),
            None => Indicator::Availability(v1::AvailabilityIndicator {}),
        };
        let judged = match slo.judged {
            Judged::Each => v1::Judged::Each,
            Judged::Together => v1::Judged::Together,
        };
        Ok(Self(v1::TemplateSlo {
            name: slo.name,
            indicator: Some(indicator),
            objective: slo.objective.0,
            window_s: slo.window.0,
            judged: judged.into(),
        }))
    }
}
