//! From evidence to a verdict, and the sentence that explains it.

use std::collections::BTreeSet;

use crate::Error;
use crate::config::Config;
use crate::evidence::State;
use crate::input::Input;

/// What should become of the shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough evidence yet.
    Continue,
    /// As good as production within the margin.
    Promote,
    /// Worse than production.
    RollBack,
    /// Too little data to ever decide at this share: raise the share or extend.
    Starved,
    /// Time is up without enough evidence: ended, not promoted.
    Inconclusive,
}

/// What speaks for the verdict, per metric (and for paired losses under the name `paired-loss`).
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The metric's name.
    pub metric: String,
    /// E-value against "no worse than rho-rollback" (or the severe ratio, where the dispersion is
    /// unknown), deflated by the dispersion.
    pub harm: f64,
    /// E-value against "no worse than rho-warn".
    pub warning: f64,
    /// E-value against "not within rho-promote".
    pub parity: f64,
    /// Anytime-valid bounds on shadow / production; of paired losses, on the mean difference.
    pub ratio_low: f64,
    /// See `ratio_low`; infinite while nothing is known.
    pub ratio_high: f64,
    /// Bad events of the shadow; of paired losses, decisions where the candidate lost more.
    pub shadow_events: u64,
    /// Requests of the shadow, or paired decisions.
    pub shadow_requests: u64,
}

/// A verdict with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence, for people.
    pub reason: String,
    /// In the order of the metrics.
    pub evidence: Vec<Evidence>,
    /// For the next call, under [`STATE_FORMAT`](crate::STATE_FORMAT).
    pub state: Vec<u8>,
}

/// The name under which paired losses stand in the evidence.
pub(crate) const PAIRED: &str = "paired-loss";

pub(crate) fn decide(config: &Config, input: &Input, state: &State) -> Result<Judgement, Error> {
    let (verdict, reason) = rules(config, input, state);
    Ok(Judgement {
        verdict,
        reason,
        evidence: evidence(config, input, state),
        state: state.bytes()?,
    })
}

fn rules(config: &Config, input: &Input, state: &State) -> (Verdict, String) {
    let mut critical: BTreeSet<&str> = input
        .metrics
        .iter()
        .filter(|m| m.critical)
        .map(|m| m.group.as_str())
        .collect();
    if input.paired() {
        critical.insert(PAIRED);
    }
    let one = -libm::log(config.alpha);
    let harmful = one + log_count(critical.len());

    for &name in &critical {
        let harm = match (name, &state.paired) {
            (PAIRED, Some(paired)) => paired.harm,
            _ => state.groups.get(name).map_or(0.0, |g| g.harm),
        };
        if harm >= harmful {
            let (e, need) = (shown(harm), shown(harmful));
            let text =
                format!("{name} is worse than production: evidence {e:.3e}, {need:.0} is enough");
            return (Verdict::RollBack, text);
        }
    }

    let warns = warnings(config, input, state);
    let lacking: Vec<String> = lacking(input, state, one);
    if lacking.is_empty() && (warns.is_empty() || config.promote_despite_warning) {
        let need = shown(one);
        let text =
            format!("every critical metric is within its margin: evidence above {need:.0} each");
        return (Verdict::Promote, text);
    }

    let mut waits = format!(
        "no verdict yet; not shown to be within its margin: {}",
        list(&lacking)
    );
    if lacking.is_empty() {
        waits = "within its margins, but a warning stands in the way of promotion".to_owned();
    }
    if !warns.is_empty() {
        waits = format!("warning: {} above rho-warn; {waits}", list(&warns));
    }
    if input.remaining == 0 {
        return (
            Verdict::Inconclusive,
            format!("time is up, not promoted: {waits}"),
        );
    }
    match starving(config, input, state) {
        Some(text) => (Verdict::Starved, text),
        None => (Verdict::Continue, waits),
    }
}

/// Groups whose warning evidence, at alpha split over all groups, is enough. Harm that may not roll
/// back by itself for want of a known dispersion appears here too, since rho-warn <= rho-rollback.
fn warnings(config: &Config, input: &Input, state: &State) -> Vec<String> {
    let groups: BTreeSet<&str> = input.metrics.iter().map(|m| m.group.as_str()).collect();
    let enough = -libm::log(config.alpha) + log_count(groups.len());
    let warns = |name: &&str| state.groups.get(*name).is_some_and(|g| g.warning >= enough);
    groups
        .iter()
        .filter(|name| warns(name))
        .map(|&name| name.to_owned())
        .collect()
}

/// Critical metrics that are not yet shown to be within their margin.
fn lacking(input: &Input, state: &State, enough: f64) -> Vec<String> {
    let best = |name: &str| state.metrics.get(name).map_or(0.0, |m| m.best_parity);
    let metrics = input
        .metrics
        .iter()
        .filter(|m| m.critical && best(&m.name) < enough);
    let mut lacking: Vec<String> = metrics.map(|m| m.name.clone()).collect();
    if input.paired() && state.paired.as_ref().is_none_or(|p| p.parity < enough) {
        lacking.push(PAIRED.to_owned());
    }
    lacking
}

/// Says so if, at the rate so far, the poorest critical metric ends with too few requests.
fn starving(config: &Config, input: &Input, state: &State) -> Option<String> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds and requests, far below 2^53"
    )]
    let number = |n: u64| n as f64;
    let elapsed = u64::try_from(input.now.saturating_sub(state.started) / 1000).unwrap_or(0);
    if elapsed < u64::from(config.patience_seconds) || elapsed == 0 {
        return None;
    }
    let mut sources: Vec<(&str, u64, u64)> = Vec::new();
    for metric in input.metrics.iter().filter(|m| m.critical) {
        let seen = state.metrics.get(&metric.name).map_or(0, |m| m.requests);
        sources.push((&metric.name, seen, config.least_requests));
    }
    if input.paired() {
        let seen = state.paired.as_ref().map_or(0, |p| p.test.seen().0);
        sources.push((PAIRED, seen, config.least_pairs));
    }
    sources.into_iter().find_map(|(name, seen, least)| {
        let until_end = number(seen) * (1.0 + f64::from(input.remaining) / number(elapsed));
        (until_end < number(least)).then(|| {
            format!(
                "{name} saw {seen} shadow requests in {elapsed} s and would end with \
                 {until_end:.0}, below {least}: raise the mirrored share or extend the release"
            )
        })
    })
}

fn evidence(config: &Config, input: &Input, state: &State) -> Vec<Evidence> {
    let mut rows = Vec::with_capacity(input.metrics.len() + 1);
    for (metric, &dispersion) in input.metrics.iter().zip(&input.dispersion) {
        let Some(found) = state.metrics.get(&metric.name) else {
            continue;
        };
        let (ratio_low, ratio_high) = found.bounds.get();
        let divisor = dispersion.max(1.0);
        rows.push(Evidence {
            metric: metric.name.clone(),
            harm: shown(found.log_harm(dispersion) / divisor),
            warning: shown(found.warning.log_e() / divisor),
            parity: shown(found.parity.log_e() / divisor),
            ratio_low,
            ratio_high,
            shadow_events: found.events,
            shadow_requests: found.requests,
        });
    }
    if let Some(paired) = state.paired.as_ref().filter(|_| input.paired()) {
        let (shadow_requests, shadow_events) = paired.test.seen();
        let (ratio_low, ratio_high) = paired.test.mean_bounds(config.alpha);
        let harm = shown(paired.test.log_harm());
        rows.push(Evidence {
            metric: PAIRED.to_owned(),
            harm,
            warning: harm,
            parity: shown(paired.test.log_parity()),
            ratio_low,
            ratio_high,
            shadow_events,
            shadow_requests,
        });
    }
    rows
}

fn log_count(n: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of groups")]
    let n = n.max(1) as f64;
    libm::log(n)
}

/// An E-value for people: finite.
fn shown(log_e: f64) -> f64 {
    libm::exp(log_e.min(690.0))
}

fn list(names: &[String]) -> String {
    names.join(", ")
}
