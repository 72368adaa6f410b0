//! Admits samples: authorises, checks against the catalog, bounds cardinality and rate.
//!
//! A batch is admitted series by series, so that one bad series does not lose its neighbours; every
//! refusal names its field and its remedy. Dedupe is the store's, because only it knows what is
//! already there.

use std::collections::BTreeMap;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::TenantId;
use tidegate_core::quota::{Exceeded, Quota};
use tidegate_core::sample::{Rejection, SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::time::Timestamp;
use tidegate_core::units::Signal;

/// What the room needs.
pub struct Input<'a> {
    /// Who sends.
    pub caller: &'a Principal,
    /// What is declared.
    pub catalog: &'a Catalog,
    /// The time on the daemon's clock, against which samples may not lie ahead.
    pub now: Timestamp,
    /// When the batch arrived by the machine's clock, on which rates are measured: a replay's clock
    /// stands still between its steps.
    pub arrived: Timestamp,
    /// What is sent.
    pub batch: SampleBatch,
    /// Whether a series is already known, and how many the tenant has.
    pub known: &'a dyn Known,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// What the room must know about stored series.
pub trait Known {
    /// Whether the series has samples.
    fn has(&self, key: &SeriesKey) -> bool;
    /// Number of series of a tenant.
    fn count(&self, tenant: &TenantId) -> u64;
}

/// What may pass and what may not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// To be stored.
    pub batch: SampleBatch,
    /// Refused.
    pub rejections: Vec<Rejection>,
    /// Quotas that refused part of it, and how many samples each.
    pub over: Vec<(Exceeded, u64)>,
}

/// The batch as a whole is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing is left of it, and nothing but quotas is why: with how many samples each refused, and first those
    /// that pass by themselves, as by then some of it will.
    #[error("{}", first(.0))]
    Quota(Vec<(Exceeded, u64)>),
}

fn first(over: &[(Exceeded, u64)]) -> String {
    over.first()
        .map_or_else(String::new, |(exceeded, _)| exceeded.to_string())
}

/// How far ahead of the clock a sample may lie: clocks differ, but a sample from next week is a
/// sender's mistake that would move every watermark.
pub const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// Token buckets per tenant, one second deep times [`Meter::BURST`], and what passed through them.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    buckets: BTreeMap<TenantId, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Samples that may pass at `at`.
    level: f64,
    at: Timestamp,
    /// Minute of the epoch, and what passed in it so far.
    minute: (i64, u64),
    /// What passed in the minute before.
    before: u64,
    /// Refused since the start, by any quota.
    refused: u64,
}

const MINUTE_MS: i64 = 60_000;

impl Bucket {
    fn full(depth: f64, now: Timestamp) -> Self {
        Self {
            level: depth,
            at: now,
            minute: (now.0.div_euclid(MINUTE_MS), 0),
            before: 0,
            refused: 0,
        }
    }

    /// The bucket with its counters as of `now`.
    fn turned(mut self, now: Timestamp) -> Self {
        let minute = now.0.div_euclid(MINUTE_MS);
        if minute != self.minute.0 {
            let follows = minute == self.minute.0.saturating_add(1);
            self.before = if follows { self.minute.1 } else { 0 };
            self.minute = (minute, 0);
        }
        self
    }
}

impl Meter {
    /// Seconds of its rate that a tenant may send at once.
    pub const BURST: f64 = 10.0;

    /// Takes `samples` from the tenant's bucket.
    ///
    /// # Errors
    /// When the bucket is empty; nothing is taken then.
    pub fn take(
        &mut self,
        tenant: &TenantId,
        limit: u64,
        samples: u64,
        now: Timestamp,
    ) -> Result<(), Exceeded> {
        let rate = limit.max(1) as f64;
        let depth = rate * Self::BURST;
        let known = self.buckets.get(tenant).copied();
        let mut bucket = known
            .unwrap_or_else(|| Bucket::full(depth, now))
            .turned(now);
        let elapsed = now.since_ms(bucket.at).max(0) as f64 / 1000.0;
        // Refilled so far, from now on: after the clock stepped back, `at` may lie far ahead.
        bucket.level = (bucket.level + elapsed * rate).min(depth);
        bucket.at = now;
        // A single batch larger than the bucket passes a full bucket, or it could never pass.
        let wanted = (samples as f64).min(depth);
        let passes = bucket.level >= wanted;
        let missing = wanted - bucket.level;
        if passes {
            bucket.level -= samples as f64;
            bucket.minute.1 = bucket.minute.1.saturating_add(samples);
        }
        self.buckets.insert(tenant.clone(), bucket);
        if passes {
            return Ok(());
        }
        Err(Exceeded {
            tenant: tenant.clone(),
            quota: Quota::Samples,
            limit,
            retry_ms: Some((missing / rate * 1000.0).ceil() as u64),
        })
    }

    /// Samples per second that passed in the last full minute.
    #[must_use]
    pub fn rate(&self, tenant: &TenantId, now: Timestamp) -> f64 {
        let bucket = self.buckets.get(tenant).map(|b| b.turned(now));
        bucket.map_or(0.0, |b| b.before as f64 / 60.0)
    }

    /// Samples of a tenant that quotas refused since the start.
    #[must_use]
    pub fn refused(&self, tenant: &TenantId) -> u64 {
        self.buckets.get(tenant).map_or(0, |b| b.refused)
    }

    fn refuse(&mut self, tenant: &TenantId, samples: u64, now: Timestamp) {
        let unmetered = || Bucket::full(f64::MAX, now);
        let bucket = self.buckets.entry(tenant.clone()).or_insert_with(unmetered);
        bucket.refused = bucket.refused.saturating_add(samples);
    }
}

/// Admits a batch. A quota that is used up refuses what goes beyond it and nothing else: neither the
/// series of another tenant in the same batch, nor those of its own that are there already.
///
/// # Errors
/// When quotas leave nothing of the batch and nothing else is wrong with it: the sender must back off.
pub fn run(input: Input<'_>, meter: &mut Meter) -> Result<Output, Error> {
    let mut output = Output::default();
    let mut fresh: BTreeMap<TenantId, u64> = BTreeMap::new();
    let mut admitted: BTreeMap<TenantId, Vec<(usize, SeriesSamples)>> = BTreeMap::new();
    let mut over: BTreeMap<(TenantId, Quota), (Exceeded, u64)> = BTreeMap::new();
    let mut note = |exceeded: Exceeded, samples: u64| {
        let of = (exceeded.tenant.clone(), exceeded.quota);
        over.entry(of).or_insert((exceeded, 0)).1 += samples;
    };
    for (i, series) in input.batch.series.into_iter().enumerate() {
        let samples = series.times.len() as u64;
        let tenant = series.key.api.tenant.clone();
        let mut reject = |field: &str, reason: String| {
            output.rejections.push(Rejection {
                field: format!("series[{i}].{field}"),
                samples,
                reason,
                retry_ms: None,
            });
        };
        if let Err((field, reason)) = check(&series, input.caller, input.catalog, input.now) {
            reject(&field, reason);
            continue;
        }
        if !input.known.has(&series.key) {
            let declared = input.catalog.tenants.get(&tenant);
            let limit = declared.map_or(0, |t| t.value.max_series);
            let new = fresh.entry(tenant.clone()).or_default();
            if input.known.count(&tenant) + *new >= limit {
                let exceeded = Exceeded {
                    tenant: tenant.clone(),
                    quota: Quota::Series,
                    limit,
                    retry_ms: None,
                };
                reject("api", exceeded.to_string());
                note(exceeded, samples);
                continue;
            }
            *new += 1;
        }
        admitted.entry(tenant).or_default().push((i, series));
    }
    let mut passed = vec![];
    for (tenant, series) in admitted {
        let declared = input.catalog.tenants.get(&tenant);
        let limit = declared.map_or(0, |t| t.value.max_samples_per_s);
        let samples = series.iter().map(|(_, s)| s.times.len() as u64).sum();
        match meter.take(&tenant, limit, samples, input.arrived) {
            Ok(()) => passed.extend(series),
            Err(exceeded) => {
                output
                    .rejections
                    .extend(series.iter().map(|(i, s)| Rejection {
                        field: format!("series[{i}]"),
                        samples: s.times.len() as u64,
                        reason: exceeded.to_string(),
                        retry_ms: exceeded.retry_ms,
                    }));
                note(exceeded, samples);
            }
        }
    }
    passed.sort_by_key(|(i, _)| *i);
    output.batch.series = passed.into_iter().map(|(_, series)| series).collect();
    output.over = over.into_values().collect();
    for (exceeded, samples) in &output.over {
        meter.refuse(&exceeded.tenant, *samples, input.arrived);
    }
    let refused: u64 = output.rejections.iter().map(|r| r.samples).sum();
    let by_quota: u64 = output.over.iter().map(|(_, samples)| samples).sum();
    if output.batch.is_empty() && by_quota > 0 && refused == by_quota {
        output
            .over
            .sort_by_key(|(exceeded, _)| exceeded.retry_ms.is_none());
        return Err(Error::Quota(output.over));
    }
    Ok(output)
}

fn check(
    series: &SeriesSamples,
    caller: &Principal,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<(), (String, String)> {
    let key = &series.key;
    let unknown = || {
        (
            "api".into(),
            format!(
                "there is no api `{}`; declare it with `tidegate apply`",
                key.api
            ),
        )
    };
    if !caller.sees(&key.api.tenant) || !catalog.apis.contains_key(&key.api) {
        return Err(unknown());
    }
    if !caller.may(Role::Writer, &key.api.tenant) {
        return Err((
            "api".into(),
            "this credential may read, not feed; use one with role `writer`".into(),
        ));
    }
    if series.times.len() != series.values.len() {
        let text = format!(
            "{} times but {} values",
            series.times.len(),
            series.values.len()
        );
        return Err(("values".into(), text));
    }
    if series.times.is_empty() {
        return Err(("times".into(), "holds no sample".into()));
    }
    for (i, &t) in series.times.iter().enumerate() {
        if t.floor(series.step) != t {
            let text = format!("{} is not the start of a step of {}", t.0, series.step);
            return Err((format!("times[{i}]"), text));
        }
        if t.since_ms(now) > MAX_AHEAD_MS {
            let text = format!(
                "{} lies more than 10 minutes ahead of the daemon's clock ({})",
                t.0, now.0
            );
            return Err((format!("times[{i}]"), text));
        }
        if t.0 < 0 {
            return Err((format!("times[{i}]"), format!("{} lies before 1970", t.0)));
        }
    }
    match &series.values {
        Values::Numbers(_) if key.signal == Signal::Latency => Err((
            "values".into(),
            "latency is sent as distributions, not as numbers".into(),
        )),
        Values::Numbers(numbers) => {
            for (i, &v) in numbers.iter().enumerate() {
                if !(v.is_finite() && v >= 0.0) {
                    let text = format!("{v} is not a finite number >= 0 ({})", key.signal.unit());
                    return Err((format!("values[{i}]"), text));
                }
            }
            Ok(())
        }
        Values::Distributions(_) if key.signal != Signal::Latency => Err((
            "values".into(),
            format!(
                "{} is sent as numbers, not as distributions",
                key.signal.name()
            ),
        )),
        Values::Distributions(all) => {
            for (i, d) in all.iter().enumerate() {
                if let Some(problem) = d.problem() {
                    return Err((format!("values[{i}]"), problem));
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
