//! From a cohort's fluid delay to a distribution of latencies.
//!
//! latency = fluid delay + wait inside the second + service time. The fluid knows only means, so
//! what it smooths away inside a second is put back by a queueing approximation, and the service
//! time comes from the cost's own lognormal. Sampling each request was rejected (a thousand a
//! second and api); a few *stratified* requests of every cohort stand for the others, and because
//! the strata are jittered, the hundreds of cohorts in a step cover the tail.

use super::queue::Served;
use super::random::Draws;

/// Requests that stand for a cohort.
const STRATA: u64 = 8;
/// Entries in the table of service-time quantiles; the last one stands for 1 in 4,096.
const QUANTILES: u64 = 2_048;

/// The mean-one lognormal of service times, tabulated by equal probability.
#[derive(Clone, Debug)]
pub(super) struct ServiceTimes {
    cv: f64,
    factors: Vec<f64>,
}

impl ServiceTimes {
    pub(super) fn new(cv: f64) -> Self {
        let variance_of_log = libm::log1p(cv * cv);
        let factor = |i| {
            let z = normal_quantile((i as f64 + 0.5) / QUANTILES as f64);
            libm::exp(variance_of_log.sqrt() * z - 0.5 * variance_of_log)
        };
        Self {
            cv,
            factors: (0..QUANTILES).map(factor).collect(),
        }
    }

    /// The factor at probability `stratum / strata + bits / (2^21 * strata)`.
    fn factor(&self, stratum: u64, strata: u64, bits: u64) -> f64 {
        let index = ((((stratum << 21) | bits) * QUANTILES) / strata) >> 21;
        self.factors[index as usize]
    }
}

/// How long a request waits for the unevenness of arrivals and costs inside a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    probability: f64,
    mean_s: f64,
}

impl Wait {
    /// The wait in a slot with this many arrivals of this mean cost at `cores`, when `work` CPU
    /// seconds were on offer (backlog included).
    ///
    /// Sakasegawa (1977): a G/G/m queue waits on average
    /// `(ca2 + cs2)/2 * rho^(sqrt(2(m+1)) - 1) / (m (1 - rho))` service times; here split into the
    /// chance of waiting and the exponential mean of those who do (Kingman 1961). `ca2` is 1:
    /// burstiness beyond a second is in the slots themselves. Fewer than one core are one slow
    /// server. Near saturation a second is too short for that equilibrium; there the mean is what
    /// a reflected Brownian motion reaches in one second from empty, `sqrt(2/pi)` standard
    /// deviations of the second's work (Harrison 1985, ch. 1).
    pub(super) fn of_slot(
        arrivals: u64,
        cost_s: f64,
        times: &ServiceTimes,
        cores: f64,
        work: f64,
    ) -> Self {
        let utilisation = (work / cores).min(1.0);
        let servers = cores.max(1.0);
        let spread = 1.0 + times.cv * times.cv;
        let equilibrium = 0.5 * spread * cost_s / (cores - work).max(f64::MIN_POSITIVE);
        let fluctuation = cost_s * (spread * arrivals as f64).sqrt() / cores;
        Self {
            probability: libm::pow(utilisation, (2.0 * (servers + 1.0)).sqrt() - 1.0),
            mean_s: equilibrium.min((2.0 / std::f64::consts::PI).sqrt() * fluctuation),
        }
    }

    fn at(&self, u: f64) -> f64 {
        if u < self.probability {
            -self.mean_s * libm::log(u / self.probability)
        } else {
            0.0
        }
    }
}

/// What sampling needs to know of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotSpeed {
    /// Mean CPU cost of a request, seconds.
    pub(super) cost_s: f64,
    /// Granted cores, > 0.
    pub(super) cores: f64,
    /// The wait inside the second.
    pub(super) wait: Wait,
}

/// Latencies of the requests of `served`: calls `record(latency_s, requests)` for each stratum.
/// The requests add up to `served.count`.
pub(super) fn sample(
    served: &Served,
    speed: &SlotSpeed,
    times: &ServiceTimes,
    draws: &mut Draws,
    mut record: impl FnMut(f64, u64),
) {
    let strata = served.count.min(STRATA);
    // A request runs on one core at most, and slower than that when less than a core is granted.
    let stretched = speed.cost_s / speed.cores.min(1.0);
    for stratum in 0..strata {
        let bits = draws.bits();
        let position = ((bits >> 21) & 0x1f_ffff) as f64 / f64::from(1u32 << 21);
        let waiting = ((bits >> 42) as f64 + 0.5) / f64::from(1u32 << 22);
        let own = stretched * times.factor(stratum, strata, bits & 0x1f_ffff);
        let extra = u64::from(stratum < served.count % strata);
        record(
            served.delay(position) + speed.wait.at(waiting) + own,
            served.count / strata + extra,
        );
    }
}

/// The standard normal's quantile by bisection on `erfc`: slow and without magic numbers; it runs
/// once per table entry.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_service_times_has_mean_one_and_the_asked_variation() {
        for cv in [0.0, 0.5, 1.0, 1.5] {
            let times = ServiceTimes::new(cv);
            let n = times.factors.len() as f64;
            let mean = times.factors.iter().sum::<f64>() / n;
            let square = times.factors.iter().map(|f| f * f).sum::<f64>() / n;
            assert!((mean - 1.0).abs() < 0.005, "{cv}: {mean}");
            assert!(((square / mean / mean - 1.0).max(0.0).sqrt() - cv).abs() < 0.06 * (1.0 + cv));
        }
    }

    #[test]
    fn strata_cover_the_table_from_end_to_end() {
        let times = ServiceTimes::new(1.0);
        let ends = (times.factor(0, 16, 0), times.factor(15, 16, (1 << 21) - 1));
        assert!((ends.0 - times.factors[0]).abs() < 1e-12);
        assert!((ends.1 - times.factors[2_047]).abs() < 1e-12);
    }

    #[test]
    fn one_server_waits_as_pollaczek_and_khinchine_say() {
        // M/G/1 at rho 0.6: mean wait = rho/(1-rho) * (1+cv^2)/2 * cost, exact.
        let (cost, cv, rho) = (0.01, 1.3, 0.6);
        let wait = Wait::of_slot(60, cost, &ServiceTimes::new(cv), 1.0, rho);
        let mean = wait.probability * wait.mean_s;
        let exact = rho / (1.0 - rho) * (1.0 + cv * cv) / 2.0 * cost;
        assert!((mean / exact - 1.0).abs() < 1e-9, "{mean} {exact}");
    }

    #[test]
    fn waits_shrink_with_every_core_and_stay_finite_at_saturation() {
        let times = ServiceTimes::new(1.0);
        let mean = |cores: f64| {
            let wait = Wait::of_slot(200, 0.01, &times, cores, 2.0);
            wait.probability * wait.mean_s
        };
        let means: Vec<f64> = (5..60)
            .map(|tenths| mean(f64::from(tenths) / 10.0))
            .collect();
        assert!(means.windows(2).all(|w| w[1] <= w[0]), "{means:?}");
        assert!(means[0] < 1.0);
    }
}
