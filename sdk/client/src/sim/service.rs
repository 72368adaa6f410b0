//! One api's service, step by step.
//!
//! [`Service::step`] is the only way forward, and it takes everything that it needs: rates, length
//! and grant. A grant holds for a whole step; who wants it to change sooner takes shorter steps.

use super::histogram::ExponentialHistogram;
use super::latency::{ServiceTimes, SlotSpeed, Wait, sample};
use super::queue::Queue;
use super::random::{Draws, Purpose};
use super::spec::{ServiceSpec, SpecError};

/// Up to this many requests in a second are costed one by one.
const INDIVIDUAL: u64 = 16;
/// Scale of the latency histogram: buckets 4.4 % wide.
const LATENCY_SCALE: u8 = 4;

/// What a service may use during a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grant {
    /// CPU limit, cores. What is not a number above 0 counts as none.
    pub cores: f64,
    /// Admission limit, requests per second with a burst of one second; none admits all.
    pub rate: Option<f64>,
}

impl Grant {
    /// This many cores and no admission limit.
    pub fn of_cores(cores: f64) -> Self {
        Self { cores, rate: None }
    }
}

/// What a collector would report of one step.
///
/// Conservation: `requests` + what was queued before = `served` + `errors()` + `queued`.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Length of the step, seconds.
    pub step_s: u32,
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that were answered.
    pub served: u64,
    /// Requests turned away by the admission limit.
    pub throttled: u64,
    /// Requests turned away because the queue was full.
    pub refused: u64,
    /// Requests given up after waiting for the timeout.
    pub timed_out: u64,
    /// Requests that still wait at the end of the step.
    pub queued: u64,
    /// CPU seconds used.
    pub cpu_seconds: f64,
    /// Mean memory, bytes.
    pub memory_bytes: f64,
    /// Latency of the served requests, seconds.
    pub latency: ExponentialHistogram,
    /// Served requests slower than each of [`ServiceSpec::slo_thresholds_s`], in that order.
    pub slow: Vec<u64>,
}

impl Observation {
    /// Requests that got no answer: throttled, refused or timed out.
    pub fn errors(&self) -> u64 {
        self.throttled + self.refused + self.timed_out
    }

    /// Mean cores in use; 0 for a step of no length.
    pub fn mean_cores(&self) -> f64 {
        if self.step_s == 0 {
            0.0
        } else {
            self.cpu_seconds / f64::from(self.step_s)
        }
    }
}

/// A simulated service and its waiting line.
#[derive(Clone, Debug)]
pub struct Service {
    spec: ServiceSpec,
    times: ServiceTimes,
    seed: u64,
    step: u64,
    slot: u64,
    /// Logarithm of the drift, a stationary Ornstein-Uhlenbeck process.
    drift: f64,
    admissible: f64,
    queue: Queue,
}

impl Service {
    /// An idle service before its first step.
    ///
    /// # Errors
    /// A [`SpecError`] names the first number that no service can have.
    pub fn new(spec: ServiceSpec, seed: u64) -> Result<Self, SpecError> {
        spec.check()?;
        let mut origin = Draws::new(seed, &spec.api, 0, Purpose::Origin);
        Ok(Self {
            times: ServiceTimes::new(spec.cpu.cv),
            seed,
            step: 0,
            slot: 0,
            drift: spec.cpu.drift_sd * origin.normal(),
            admissible: 0.0,
            queue: Queue::default(),
            spec,
        })
    }

    /// What was asked for.
    pub fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    /// Requests that wait now.
    pub fn queued(&self) -> u64 {
        self.queue.waiting()
    }

    /// Mean CPU seconds of a request in the step that comes next, before that step's own drift:
    /// the truth, for oracles and tests. No forecaster may see it.
    pub fn true_cost_s(&self) -> f64 {
        let sd = self.spec.cpu.drift_sd;
        self.spec.cpu.mean_s * libm::exp(self.drift - 0.5 * sd * sd)
    }

    /// Lives through `step_s` seconds in which the request rate goes from `rate_from` to
    /// `rate_to` (requests per second, linearly), under `grant`. Rates that are not finite or
    /// below 0 count as 0.
    pub fn step(&mut self, rate_from: f64, rate_to: f64, step_s: u32, grant: Grant) -> Observation {
        let (rate_from, rate_to) = (sane(rate_from), sane(rate_to));
        let cores = sane(grant.cores);
        let mut demand = Draws::new(self.seed, &self.spec.api, self.step, Purpose::Demand);
        let mut latency = Draws::new(self.seed, &self.spec.api, self.step, Purpose::Latency);
        self.advance_drift(f64::from(step_s), &mut demand);
        let cost_s = self.true_cost_s();

        let mut seen = Observation::empty(step_s, self.spec.slo_thresholds_s.len());
        let mut inside_s = 0.0;
        for second in 0..step_s {
            let part = (f64::from(second) + 0.5) / f64::from(step_s);
            let rate = rate_from + part * (rate_to - rate_from);
            let arrivals = demand.negative_binomial(rate, self.spec.burst_shape);
            let work = cost_of(arrivals, cost_s, self.spec.cpu.cv, &mut demand);
            let admitted = self.admit(arrivals, grant.rate);
            seen.requests += arrivals;
            seen.throttled += arrivals - admitted;

            let expired = self.queue.expire(self.slot, self.spec.timeout_s);
            seen.timed_out += expired;
            inside_s += expired as f64 * self.spec.timeout_s;
            if admitted > 0 {
                let share = admitted as f64 / arrivals as f64;
                self.queue.arrive(self.slot, admitted, work * share);
            }
            if cores > 0.0 {
                let wait = Wait::of_slot(admitted, cost_s, &self.times, cores, self.queue.work());
                let speed = SlotSpeed {
                    cost_s,
                    cores,
                    wait,
                };
                let Self {
                    queue, times, spec, ..
                } = self;
                seen.cpu_seconds += queue.serve(self.slot, cores, |served| {
                    seen.served += served.count;
                    sample(&served, &speed, times, &mut latency, |seconds, requests| {
                        inside_s += seconds * requests as f64;
                        seen.latency.record(seconds, requests);
                        for (slow, &limit) in seen.slow.iter_mut().zip(&spec.slo_thresholds_s) {
                            *slow += if seconds > limit { requests } else { 0 };
                        }
                    });
                });
            }
            seen.refused += self.queue.truncate(self.spec.queue_limit);
            self.slot += 1;
        }
        seen.queued = self.queue.waiting();
        // Little's law: requests inside on average = seconds spent inside / seconds.
        let inside = inside_s / f64::from(step_s.max(1));
        seen.memory_bytes =
            self.spec.memory_base_bytes + self.spec.memory_per_request_bytes * inside;
        self.step += 1;
        seen
    }

    /// One exact step of the Ornstein-Uhlenbeck process (Uhlenbeck & Ornstein 1930).
    fn advance_drift(&mut self, seconds: f64, demand: &mut Draws) {
        let kept = libm::exp(-seconds / self.spec.cpu.drift_time_s);
        let fresh = self.spec.cpu.drift_sd * (1.0 - kept * kept).sqrt();
        self.drift = kept * self.drift + fresh * demand.normal();
    }

    /// A token bucket that holds one second's worth, but at least one request.
    fn admit(&mut self, arrivals: u64, rate: Option<f64>) -> u64 {
        let Some(rate) = rate.map(sane) else {
            self.admissible = 0.0;
            return arrivals;
        };
        self.admissible = (self.admissible + rate).min(rate.max(1.0));
        let admitted = arrivals.min(self.admissible as u64);
        self.admissible -= admitted as f64;
        admitted
    }
}

impl Observation {
    fn empty(step_s: u32, thresholds: usize) -> Self {
        Self {
            step_s,
            requests: 0,
            served: 0,
            throttled: 0,
            refused: 0,
            timed_out: 0,
            queued: 0,
            cpu_seconds: 0.0,
            memory_bytes: 0.0,
            latency: ExponentialHistogram::new(LATENCY_SCALE),
            slow: vec![0; thresholds],
        }
    }
}

/// CPU seconds of `requests` together: each drawn where they are few, else one lognormal with the
/// sum's exact mean and variance (Fenton 1960).
fn cost_of(requests: u64, cost_s: f64, cv: f64, draws: &mut Draws) -> f64 {
    if requests <= INDIVIDUAL {
        return (0..requests).map(|_| draws.lognormal(cost_s, cv)).sum();
    }
    let n = requests as f64;
    draws.lognormal(n * cost_s, cv / n.sqrt())
}

/// Numbers from outside that are not finite or below 0 count as 0, and none is beyond 10^9: a
/// simulated second never holds more than a machine could count.
fn sane(value: f64) -> f64 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_many_costs_has_the_moments_of_the_single_ones() {
        let mut draws = Draws::new(7, "a", 0, Purpose::Demand);
        for requests in [5, 16, 17, 200] {
            let sums: Vec<f64> = (0..40_000)
                .map(|_| cost_of(requests, 0.02, 1.2, &mut draws))
                .collect();
            let mean = sums.iter().sum::<f64>() / 40_000.0;
            let variance = sums.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / 40_000.0;
            let n = requests as f64;
            assert!((mean / (n * 0.02) - 1.0).abs() < 0.03, "{requests}: {mean}");
            let wanted = n * (0.02f64 * 1.2).powi(2);
            assert!(
                (variance / wanted - 1.0).abs() < 0.15,
                "{requests}: {variance} {wanted}"
            );
        }
    }

    #[test]
    fn an_admission_limit_below_one_lets_through_one_request_now_and_then() {
        let mut service = Service::new(ServiceSpec::new("a", 0.001), 1).unwrap();
        let seen = service.step(
            50.0,
            50.0,
            100,
            Grant {
                cores: 1.0,
                rate: Some(0.25),
            },
        );
        assert_eq!(seen.served + seen.queued, 25);
        assert_eq!(seen.throttled, seen.requests - 25);
    }

    #[test]
    fn numbers_from_outside_that_mean_nothing_count_as_nothing() {
        let mut service = Service::new(ServiceSpec::new("a", 0.001), 1).unwrap();
        let odd = Grant {
            cores: f64::NAN,
            rate: Some(-1.0),
        };
        let seen = service.step(f64::NEG_INFINITY, f64::NAN, 10, odd);
        assert_eq!((seen.requests, seen.served), (0, 0));
        assert_eq!(service.step(5.0, 5.0, 0, Grant::of_cores(1.0)).requests, 0);
    }
}
