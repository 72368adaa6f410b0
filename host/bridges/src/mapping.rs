//! What a stream of numbers is in Tidegate's words: whose, of which api, which signals.
//!
//! OpenTelemetry's semantic conventions say enough that nothing has to be configured
//! ([`conventions`]), and so do the names of Envoy's statistics (`envoy`); whatever does not follow them is told by rules with matchers as in PromQL
//! ([`rules`]), which go first. A stream that neither knows is *passed over*: a collector sends
//! everything it has, and to refuse most of it in every answer would fill its log. A stream that is
//! known and cannot be used is *refused*, with the reason and the remedy. [`Mapping::decide`] is
//! asked once per stream, not per point, and its answer can be explained (`tidegate map test`).
//!
//! A sum must not be counted twice, and the same load is often told twice (`process.cpu.time` by a
//! service, `container.cpu.time` by its node). So an answer names its [`Basis`], and what adds up
//! holds one signal of one api to one basis.

pub mod conventions;
pub(crate) mod envoy;
pub mod labels;
pub mod rules;

pub use conventions::Granularity;
pub use labels::Labels;
pub use rules::{Matcher, Rule, RuleError};

use std::sync::Arc;
use tidegate_core::ids::{ApiId, Name, TenantId};
use tidegate_core::units::Signal;

/// What a stream's values are, whatever protocol they came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// It only grows; what counts is by how much.
    Counter,
    /// It is what it is when it is read.
    Level,
    /// Observations by bucket.
    Histogram,
    /// Observations by bucket, of which another stream tells how many there are: Prometheus'
    /// classic histograms have a `_count` beside their `_bucket`.
    Buckets,
}

/// A stream: a metric with one set of labels.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// Its unit in UCUM; empty where the protocol has none.
    pub unit: &'a str,
    /// What its values are.
    pub shape: Shape,
    /// Labels of the point and of what sends it.
    pub labels: &'a Labels,
}

/// How a stream's values become a signal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// What came is added up over the step.
    Count,
    /// What came is added up over the step and divided by its length.
    Rate,
    /// The mean over the step, added up over all that report it.
    Level,
    /// Distributions are merged.
    Latency,
}

/// What a signal's numbers rest on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Basis {
    /// Metrics that tell of the same thing and may be added up over instances.
    pub group: Arc<str>,
    /// Of one instance, only one metric of the group counts: during a migration, services send the
    /// old and the new one.
    pub metric: Arc<str>,
}

/// A stream in Tidegate's words.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The api.
    pub api: ApiId,
    /// The signals that it feeds, and how.
    pub feeds: Vec<(Signal, How)>,
    /// Sent values times this are in the signal's unit.
    pub factor: f64,
    /// What it rests on.
    pub basis: Basis,
    /// Why, in sentences.
    pub why: Vec<String>,
}

/// What becomes of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is used.
    Mapped(Box<Mapped>),
    /// It does not concern Tidegate; why.
    PassedOver(String),
    /// It would, but cannot be used; why, and what to do.
    Refused(String),
}

/// Which tenants a credential holds: `None` is all of them.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// Its tenants.
    pub tenants: Option<&'a std::collections::BTreeSet<TenantId>>,
}

/// How streams are read.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// Asked in this order; the first that matches decides.
    pub rules: Vec<Rule>,
    /// What an api is by convention.
    pub granularity: Granularity,
    /// Whose streams are that name no tenant, where the credential does not say it.
    pub tenant: Option<TenantId>,
}

/// The attribute by which a resource chooses among the tenants of its credential; in Prometheus'
/// spelling too.
pub const TENANT: [&str; 2] = ["tidegate.tenant", "tidegate_tenant"];

impl Mapping {
    /// Whether a metric of this name may be of use, so that the labels of its points are worth
    /// looking at.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        conventions::knows(name)
            || envoy::knows(name)
            || self.rules.iter().any(|rule| rule.may_match(name))
    }

    /// What becomes of a stream.
    #[must_use]
    pub fn decide(&self, stream: &Stream<'_>, holder: Holder<'_>) -> Verdict {
        let rule = self.rules.iter().position(|rule| rule.matches(stream));
        let drafted = match rule {
            Some(i) => self.rules[i].draft(i, stream),
            None => envoy::draft(self.granularity, stream)
                .unwrap_or_else(|| conventions::draft(self.granularity, stream)),
        };
        let draft = match drafted {
            Ok(draft) => draft,
            Err(verdict) => return verdict,
        };
        let mut why = draft.why;
        let tenant = match self.tenant_of(stream.labels, holder) {
            Ok((tenant, reason)) => {
                why.push(reason);
                tenant
            }
            Err(problem) => return Verdict::Refused(problem),
        };
        let name = match Name::new(&draft.api) {
            Ok(name) => name,
            Err(problem) => {
                return Verdict::Refused(format!(
                    "{problem}; give it another by a rule with `api:`"
                ));
            }
        };
        Verdict::Mapped(Box::new(Mapped {
            api: ApiId::new(tenant, name),
            feeds: draft.feeds,
            factor: draft.factor,
            basis: draft.basis,
            why,
        }))
    }

    fn tenant_of(&self, labels: &Labels, holder: Holder<'_>) -> Result<(TenantId, String), String> {
        let holds = |t: &TenantId| holder.tenants.is_none_or(|all| all.contains(t));
        if let Some((label, text)) = TENANT.iter().find_map(|l| Some((l, labels.get(l)?))) {
            let tenant = TenantId::new(text).map_err(|e| format!("`{label}`: {e}"))?;
            if !holds(&tenant) {
                return Err(format!(
                    "`{label}` says `{tenant}`, which this credential does not hold; use a credential of that tenant"
                ));
            }
            return Ok((
                tenant,
                format!("the tenant stands in the attribute `{label}`"),
            ));
        }
        if let Some(all) = holder.tenants
            && let Some(only) = all.first()
            && all.len() == 1
        {
            return Ok((
                only.clone(),
                "the tenant is the credential's only one".into(),
            ));
        }
        match &self.tenant {
            Some(tenant) if holds(tenant) => Ok((
                tenant.clone(),
                "the tenant is the configured one (`feeds.tenant`)".into(),
            )),
            _ => Err(format!(
                "it is not known whose it is, since the credential holds several tenants; set the resource attribute `{}`, or `feeds.tenant` in the configuration",
                TENANT[0]
            )),
        }
    }
}

/// What a rule or a convention makes of a stream, before names are checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) api: String,
    pub(crate) feeds: Vec<(Signal, How)>,
    pub(crate) factor: f64,
    pub(crate) basis: Basis,
    pub(crate) why: Vec<String>,
}

/// How values of a shape become a signal.
pub(crate) fn how(shape: Shape, signal: Signal) -> Result<How, String> {
    Ok(match (shape, signal) {
        (Shape::Counter | Shape::Histogram, Signal::Requests | Signal::Errors) => How::Count,
        (Shape::Histogram | Shape::Buckets, Signal::Latency) => How::Latency,
        (Shape::Counter, Signal::Cpu | Signal::Network | Signal::Io) => How::Rate,
        (Shape::Level, Signal::Cpu | Signal::Memory | Signal::Network | Signal::Io) => How::Level,
        (Shape::Level, Signal::Requests | Signal::Errors) => {
            return Err(format!(
                "{} are counted, and this is a gauge; map a counter or a histogram to them",
                signal.name()
            ));
        }
        (Shape::Buckets, _) => {
            return Err(format!(
                "buckets tell of latency, and {} is read from the `_count` beside them; map that",
                signal.name()
            ));
        }
        (_, Signal::Latency) => {
            return Err(
                "latency is read from histograms; map the histogram (in Prometheus its `_bucket`), not its sum or count".into(),
            );
        }
        (_, Signal::Memory) => {
            return Err(
                "memory is a level, and this only grows; map a gauge or an up-down counter".into(),
            );
        }
        (Shape::Histogram, _) => {
            return Err(format!(
                "{} is no histogram; map a counter or a gauge",
                signal.name()
            ));
        }
    })
}

/// An api's name out of parts of a route: what names do not admit becomes `_`, and empty parts go.
/// Routes that differ in such characters alone are one api.
pub(crate) fn name_of<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut name = String::new();
    for part in parts.flat_map(|p| p.split('/')).filter(|p| !p.is_empty()) {
        if !name.is_empty() {
            name.push('/');
        }
        let plain = |c: char| {
            let admitted = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if admitted { c } else { '_' }
        };
        name.extend(part.chars().map(plain));
    }
    name
}

#[cfg(test)]
mod tests;
