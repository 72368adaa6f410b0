//! The service that is simulated: a fluid queue behind a fixed number of replicas, second by second.
//!
//! Work (core-seconds) flows in and is worked off first come, first served, by as many cores as there
//! are replicas; what is left over waits (fluid queues: Kleinrock, Queueing Systems II, 1976, chapter
//! 2). A request's latency is its wait and a lognormal service time (measured service times are closer
//! to lognormal than to exponential: Feitelson, Workload Modeling, 2015). So latency is flat until
//! bursts and saturation make a queue, and then grows with the *length* of the overload: no formula of
//! a stationary queue, such as demand derivation may use, is assumed or fitted here.
//!
//! Cost and service time grow with utilisation, since neighbours on a machine share caches and
//! pipelines (Zhang et al., CPI2, EuroSys 2013). In-flight requests are limited per replica; beyond
//! it a request is refused, and one that waits too long times out. Both are errors. There are no
//! retries, so that every policy meets the same arrivals.

mod latency;
mod minute;

pub use latency::tail;
pub use minute::Minute;

/// Requests/s that a replica serves at most, at nominal cost. Traces are scaled to it, so that a
/// replica is as small a part of any trace and counting noise does not depend on the trace's unit.
pub const RATE_PER_REPLICA: f64 = 100.0;
/// Core-seconds of a request in a fully used replica of one core.
const COST_S: f64 = 1.0 / RATE_PER_REPLICA;
/// Part of the cost that does not depend on utilisation.
const COST_ALONE: f64 = 0.85;
/// Median service time, seconds.
const MEDIAN_S: f64 = 0.05;
/// Standard deviation of the logarithm of service times.
const SIGMA: f64 = 0.5;
/// Requests in flight per replica before more are refused.
const IN_FLIGHT: f64 = 128.0;
/// Seconds after which a client gives up.
const TIMEOUT_S: f64 = 2.0;
/// Seconds over which utilisation is felt.
const HEAT_S: f64 = 10.0;

/// The objective that a minute must meet: 95 % of its requests within 200 ms, 99 % without an error.
pub const THRESHOLD_S: f64 = 0.2;
/// Part of requests that may be slower than [`THRESHOLD_S`].
pub const SLOW_SHARE: f64 = 0.05;
/// Part of requests that may fail.
pub const ERROR_SHARE: f64 = 0.01;

/// One api's replicas and what waits before them.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Core-seconds that wait.
    backlog: f64,
    /// Utilisation, smoothed.
    heat: f64,
}

/// What happened in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tick {
    /// Requests that came.
    pub requests: f64,
    /// Of them, refused at the door.
    pub refused: f64,
    /// Core-seconds worked.
    pub cpu: f64,
    /// Seconds that a request which came now waits.
    pub wait: f64,
    /// Median service time now, seconds.
    pub median: f64,
}

impl Service {
    /// One second: so many requests come, each at a multiple of the nominal cost, and so many replicas
    /// work.
    pub fn tick(&mut self, requests: f64, cost: f64, replicas: u32) -> Tick {
        let cores = f64::from(replicas.max(1));
        let contention = COST_ALONE + (1.0 - COST_ALONE) * self.heat;
        let each = COST_S * cost * contention;
        let before = self.backlog;
        let total = before + requests * each;
        let cpu = total.min(cores);
        let left = total - cpu;
        // Work is refused before it begins: the queue holds what may be in flight and no more.
        let refused = (left - cores * IN_FLIGHT * each)
            .max(0.0)
            .min(requests * each);
        self.backlog = left - refused;
        self.heat += (cpu / cores - self.heat) / HEAT_S;
        Tick {
            requests,
            refused: if each > 0.0 { refused / each } else { 0.0 },
            cpu,
            wait: 0.5 * (before + self.backlog) / cores,
            median: MEDIAN_S * contention,
        }
    }
}

impl Tick {
    /// Requests that got in.
    fn admitted(&self) -> f64 {
        self.requests - self.refused
    }

    /// Requests that got in and take longer than so many seconds.
    #[must_use]
    pub fn beyond(&self, seconds: f64) -> f64 {
        self.admitted() * tail(seconds - self.wait, self.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(rate: f64, replicas: u32) -> (Minute, Service) {
        let mut service = Service::default();
        let mut minute = Minute::default();
        for _ in 0..60 {
            minute.add(&service.tick(rate, 1.0, replicas));
        }
        (minute, service)
    }

    #[test]
    fn a_service_with_room_is_fast_and_one_without_is_not() {
        let (quiet, _) = minute(500.0, 10);
        assert!(!quiet.is_bad(), "{quiet:?}");
        let (busy, _) = minute(1_300.0, 10);
        assert!(busy.is_bad(), "{busy:?}");
    }

    #[test]
    fn what_is_worked_is_what_came_in_or_all_that_there_is() {
        let (quiet, service) = minute(500.0, 10);
        assert!(service.backlog < 1e-9);
        assert!(
            quiet.cpu > 60.0 * 5.0 * COST_ALONE && quiet.cpu < 60.0 * 5.0,
            "{}",
            quiet.cpu
        );
        let (busy, _) = minute(2_000.0, 10);
        assert!((busy.cpu - 600.0).abs() < 1e-6, "{}", busy.cpu);
    }

    #[test]
    fn an_overload_refuses_what_does_not_fit_and_is_over_soon_after() {
        let mut service = Service::default();
        let ticks: Vec<Tick> = (0..60).map(|_| service.tick(3_000.0, 1.0, 10)).collect();
        assert!(ticks.last().is_some_and(|t| t.refused > 1_000.0));
        let after: Vec<Tick> = (0..10).map(|_| service.tick(100.0, 1.0, 10)).collect();
        assert!(after.last().is_some_and(|t| t.wait < 1e-9), "{after:?}");
    }
}
