//! Admits samples: authorises, checks against the catalog, bounds cardinality and rate.
//!
//! A batch is admitted series by series, so that one bad series does not lose its neighbours; every
//! refusal names its field and its remedy. Dedupe is the store's, because only it knows what is
//! already there.

use std::collections::BTreeMap;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::TenantId;
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
}

/// The batch as a whole is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tenant sends faster than it may.
    #[error(
        "tenant `{tenant}` may send {limit} samples/s; retry in {retry_ms} ms or raise `max_samples_per_s` of the tenant"
    )]
    Rate {
        /// Who.
        tenant: TenantId,
        /// Its limit.
        limit: u64,
        /// When to retry.
        retry_ms: u64,
    },
}

/// How far ahead of the clock a sample may lie: clocks differ, but a sample from next week is a
/// sender's mistake that would move every watermark.
pub const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// Token buckets per tenant, one second deep times [`Meter::BURST`].
#[derive(Debug, Clone, Default)]
pub struct Meter {
    buckets: BTreeMap<TenantId, (f64, Timestamp)>,
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
    ) -> Result<(), Error> {
        let rate = limit.max(1) as f64;
        let depth = rate * Self::BURST;
        let (level, at) = self.buckets.get(tenant).copied().unwrap_or((depth, now));
        let elapsed = now.since_ms(at).max(0) as f64 / 1000.0;
        let level = (level + elapsed * rate).min(depth);
        // A single batch larger than the bucket passes a full bucket, or it could never pass.
        let wanted = (samples as f64).min(depth);
        if level < wanted {
            // Refilled so far, from now on: after the clock stepped back, `at` may lie far ahead.
            self.buckets.insert(tenant.clone(), (level, now));
            let retry_ms = ((wanted - level) / rate * 1000.0).ceil() as u64;
            return Err(Error::Rate {
                tenant: tenant.clone(),
                limit,
                retry_ms,
            });
        }
        self.buckets
            .insert(tenant.clone(), (level - samples as f64, now));
        Ok(())
    }
}

/// Admits a batch.
///
/// # Errors
/// When a tenant's rate is exceeded: the sender must back off, nothing is stored.
pub fn run(input: Input<'_>, meter: &mut Meter) -> Result<Output, Error> {
    let mut output = Output::default();
    let mut fresh: BTreeMap<TenantId, u64> = BTreeMap::new();
    let mut per_tenant: BTreeMap<TenantId, u64> = BTreeMap::new();
    for (i, series) in input.batch.series.into_iter().enumerate() {
        let samples = series.times.len() as u64;
        let verdict = check(&series, input.caller, input.catalog, input.now).and_then(|()| {
            let tenant = &series.key.api.tenant;
            if input.known.has(&series.key) {
                return Ok(());
            }
            let limit = input
                .catalog
                .tenants
                .get(tenant)
                .map_or(0, |t| t.value.max_series);
            let new = fresh.entry(tenant.clone()).or_default();
            if input.known.count(tenant) + *new >= limit {
                return Err((
                    "api".into(),
                    format!(
                        "tenant `{tenant}` has its {limit} series; raise `max_series` of the tenant"
                    ),
                ));
            }
            *new += 1;
            Ok(())
        });
        match verdict {
            Ok(()) => {
                *per_tenant.entry(series.key.api.tenant.clone()).or_default() += samples;
                output.batch.series.push(series);
            }
            Err((field, reason)) => {
                output.rejections.push(Rejection {
                    field: format!("series[{i}].{field}"),
                    samples,
                    reason,
                });
            }
        }
    }
    for (tenant, samples) in per_tenant {
        let limit = input
            .catalog
            .tenants
            .get(&tenant)
            .map_or(0, |t| t.value.max_samples_per_s);
        meter.take(&tenant, limit, samples, input.arrived)?;
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
mod tests {
    use super::*;

    #[test]
    fn a_tenant_over_its_rate_is_told_when_to_retry() {
        let shop: TenantId = "shop".parse().unwrap();
        let mut meter = Meter::default();
        assert!(meter.take(&shop, 100, 1000, Timestamp(0)).is_ok());
        let Error::Rate { retry_ms, .. } = meter.take(&shop, 100, 50, Timestamp(0)).unwrap_err();
        assert_eq!(retry_ms, 500);
        assert!(meter.take(&shop, 100, 50, Timestamp(500)).is_ok());
    }

    #[test]
    fn a_clock_that_stepped_back_does_not_keep_a_bucket_empty() {
        let shop: TenantId = "shop".parse().unwrap();
        let mut meter = Meter::default();
        let hour = 3_600_000;
        assert!(meter.take(&shop, 100, 1000, Timestamp(hour)).is_ok());
        assert!(meter.take(&shop, 100, 50, Timestamp(0)).is_err());
        assert!(meter.take(&shop, 100, 50, Timestamp(500)).is_ok());
    }

    #[test]
    fn one_tenants_rate_is_not_anothers() {
        let mut meter = Meter::default();
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(meter.take(&a, 10, 100, Timestamp(0)).is_ok());
        assert!(meter.take(&a, 10, 1, Timestamp(0)).is_err());
        assert!(meter.take(&b, 10, 100, Timestamp(0)).is_ok());
    }

    #[test]
    fn a_replay_that_outruns_its_clock_is_metered_by_the_machines() {
        use tidegate_core::catalog::{Object, Pool, Tenant};
        use tidegate_core::ids::Generation;
        use tidegate_core::time::Step;
        use tidegate_core::units::{Dimension, Resources};

        struct Unknown;
        impl Known for Unknown {
            fn has(&self, _key: &SeriesKey) -> bool {
                true
            }
            fn count(&self, _tenant: &TenantId) -> u64 {
                1
            }
        }
        let mut catalog = Catalog::default();
        let tenant = Tenant {
            id: "shop".parse().unwrap(),
            max_series: 1,
            max_samples_per_s: 1,
            max_modules: 0,
        };
        let pool = Pool {
            id: "edge".parse().unwrap(),
            ready: Resources::NONE.with(Dimension::Cpu, 1.0),
            max: Resources::NONE,
            min: Resources::NONE,
            lead_time_s: 0,
            unit_cost: Resources::NONE,
            quotas: BTreeMap::new(),
        };
        catalog.insert(Object::Tenant(tenant), Generation(1));
        catalog.insert(Object::Pool(pool), Generation(1));
        let api = crate::fake::api("shop/orders");
        catalog.insert(Object::Api(api), Generation(1));
        let mut meter = Meter::default();
        let mut send = |arrived: Timestamp| {
            let batch = SampleBatch {
                series: vec![SeriesSamples {
                    key: SeriesKey {
                        api: "shop/orders".parse().unwrap(),
                        signal: Signal::Cpu,
                    },
                    step: Step::MINUTE,
                    times: (0..10).map(|m| Timestamp(m * 60_000)).collect(),
                    values: Values::Numbers(vec![1.0; 10]),
                }],
            };
            let input = Input {
                caller: &Principal::local(),
                catalog: &catalog,
                now: Timestamp(i64::MAX / 2),
                arrived,
                batch,
                known: &Unknown,
            };
            run(input, &mut meter).map(|o| o.batch.len())
        };
        assert_eq!(send(Timestamp(0)), Ok(10));
        assert!(send(Timestamp(0)).is_err());
        assert_eq!(send(Timestamp(10_000)), Ok(10));
    }
}
