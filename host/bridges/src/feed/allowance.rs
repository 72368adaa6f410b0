//! What one tenant may send, so that it cannot take the room of the others.
//!
//! Points a second are a bucket of tokens, ten seconds deep, on the machine's clock. A request is taken
//! or refused as a whole: a sender repeats it, and what was taken of it would be told as a repetition.
//! Points of no concern cost nothing, since they cost nothing here either.
//!
//! How many streams a tenant may have is looked at where a stream is introduced
//! ([`crate::books::Books::introduce`]); the tenant's own quotas hold for the sums that come of both.

use super::Error;
use std::collections::BTreeMap;
use tidegate_core::ids::TenantId;

/// Seconds of its rate that a tenant may send at once.
const BURST: f64 = 10.0;

/// Buckets of tokens by tenant.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// What may pass, and at what instant that was so, in milliseconds.
    buckets: BTreeMap<TenantId, (f64, i64)>,
}

impl Allowance {
    /// Takes so many points of each tenant; all, or none.
    pub(super) fn take(
        &mut self,
        points: &BTreeMap<TenantId, u64>,
        rate: u64,
        now: i64,
    ) -> Result<(), Error> {
        let per_ms = rate as f64 / 1000.0;
        let depth = rate as f64 * BURST;
        let mut wait_ms = 0.0_f64;
        let mut over = None;
        for (tenant, n) in points {
            let bucket = self.buckets.entry(tenant.clone()).or_insert((depth, now));
            let elapsed = (now.saturating_sub(bucket.1)).max(0) as f64;
            *bucket = ((bucket.0 + elapsed * per_ms).min(depth), now);
            // What is larger than a bucket passes a full one, or it could never pass.
            let missing = (*n as f64).min(depth) - bucket.0;
            if missing > wait_ms * per_ms {
                wait_ms = missing / per_ms;
                over = Some(tenant);
            }
        }
        if let Some(tenant) = over {
            return Err(Error::Over {
                what: format!(
                    "tenant `{tenant}` may send {rate} points/s to feeds (`feeds.max_points_per_s`)"
                ),
                retry_ms: wait_ms.ceil() as u64,
            });
        }
        for (tenant, n) in points {
            if let Some(bucket) = self.buckets.get_mut(tenant) {
                bucket.0 -= *n as f64;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(&str, u64)]) -> BTreeMap<TenantId, u64> {
        of.iter().map(|(t, n)| (t.parse().unwrap(), *n)).collect()
    }

    #[test]
    fn a_tenant_that_is_over_waits_as_long_as_it_is_told_and_nobody_else_pays() {
        let mut allowance = Allowance::default();
        let mut take = |of: &[(&str, u64)], now| allowance.take(&points(of), 1000, now);
        assert_eq!(take(&[("a", 10_000)], 0), Ok(()));
        // A request of both is refused as a whole, and costs the other nothing.
        let both = [("a", 500), ("b", 9_000)];
        let Err(Error::Over { what, retry_ms }) = take(&both, 0) else {
            panic!("it is over");
        };
        assert_eq!(retry_ms, 500);
        assert!(
            what.contains("`a`") && what.contains("1000 points/s"),
            "{what}"
        );
        assert!(take(&both, 499).is_err());
        assert_eq!(take(&both, 500), Ok(()));
        assert_eq!(take(&[("b", 1000)], 500), Ok(()));
        // Larger than a bucket: it passes a full one, and is paid off afterwards.
        assert_eq!(take(&[("c", 50_000)], 500), Ok(()));
        let again = take(&[("c", 1)], 500);
        assert!(
            matches!(
                again,
                Err(Error::Over {
                    retry_ms: 40_001,
                    ..
                })
            ),
            "{again:?}"
        );
        // A clock that steps back takes nothing away.
        assert!(take(&[("b", 1)], 0).is_err());
        assert_eq!(take(&[("b", 1)], 10), Ok(()));
    }
}
