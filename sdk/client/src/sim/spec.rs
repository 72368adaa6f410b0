//! What a simulated service is like, checked once when the service is made.
//!
//! The fields are plain numbers in SI units, because they come from a table (the demo's
//! `services.csv`); [`ServiceSpec::new`] fills in what a table leaves out. The check is in one place,
//! so that the arithmetic behind it never meets a zero cost or a negative shape.

use thiserror::Error;

/// The CPU time that one request costs: lognormal, with a mean that drifts.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuCost {
    /// Long-run mean, CPU seconds per request, > 0.
    pub mean_s: f64,
    /// Coefficient of variation between requests, >= 0.
    pub cv: f64,
    /// Standard deviation of the logarithm of the drifting mean, >= 0; 0 switches the drift off.
    pub drift_sd: f64,
    /// Time constant with which the drift returns to the long-run mean, seconds, > 0.
    pub drift_time_s: f64,
}

/// One api's service: its demand, its queue and its memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// The api's name; part of the seed, so that apis differ under one root seed.
    pub api: String,
    /// What a request costs.
    pub cpu: CpuCost,
    /// Shape of the gamma that modulates the rate of each second, > 0. The squared coefficient
    /// of variation of a second's arrivals is `1/mean + 1/burst_shape`: small is bursty.
    pub burst_shape: f64,
    /// Requests that may wait at the end of a second; more are refused.
    pub queue_limit: u64,
    /// Age at which a waiting request is given up, seconds, > 0, exact to about a second.
    pub timeout_s: f64,
    /// Memory of the idle service, bytes, >= 0.
    pub memory_base_bytes: f64,
    /// Memory that a request holds while it is inside, bytes, >= 0.
    pub memory_per_request_bytes: f64,
    /// Latencies beyond which served requests are counted exactly, seconds, each > 0.
    pub slo_thresholds_s: Vec<f64>,
}

/// A number of a [`ServiceSpec`] that no service can have.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("simulated service `{api}`: {field} is {value}; give a finite number {wanted}")]
pub struct SpecError {
    /// The api whose spec it is.
    pub api: String,
    /// The field at fault.
    pub field: &'static str,
    /// What it holds.
    pub value: f64,
    /// What it may hold.
    pub wanted: &'static str,
}

impl ServiceSpec {
    /// A service of ordinary habits: cost varies as much as its mean and drifts by 10 % over
    /// hours, a queue of 5,000, a timeout of 5 s, 256 MiB and 256 KiB per request, and no SLO.
    pub fn new(api: impl Into<String>, mean_cpu_s: f64) -> Self {
        Self {
            api: api.into(),
            cpu: CpuCost {
                mean_s: mean_cpu_s,
                cv: 1.0,
                drift_sd: 0.1,
                drift_time_s: 4.0 * 3600.0,
            },
            burst_shape: 30.0,
            queue_limit: 5_000,
            timeout_s: 5.0,
            memory_base_bytes: 256.0 * 1024.0 * 1024.0,
            memory_per_request_bytes: 256.0 * 1024.0,
            slo_thresholds_s: Vec::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), SpecError> {
        let positive = [
            ("cpu.mean_s", self.cpu.mean_s),
            ("cpu.drift_time_s", self.cpu.drift_time_s),
            ("burst_shape", self.burst_shape),
            ("timeout_s", self.timeout_s),
        ];
        let not_negative = [
            ("cpu.cv", self.cpu.cv),
            ("cpu.drift_sd", self.cpu.drift_sd),
            ("memory_base_bytes", self.memory_base_bytes),
            ("memory_per_request_bytes", self.memory_per_request_bytes),
        ];
        let thresholds = self
            .slo_thresholds_s
            .iter()
            .map(|&t| ("slo_thresholds_s", t));
        for (field, value) in positive.into_iter().chain(thresholds) {
            self.demand(field, value, value.is_finite() && value > 0.0, "above 0")?;
        }
        for (field, value) in not_negative {
            self.demand(
                field,
                value,
                value.is_finite() && value >= 0.0,
                "of 0 or more",
            )?;
        }
        Ok(())
    }

    fn demand(
        &self,
        field: &'static str,
        value: f64,
        holds: bool,
        wanted: &'static str,
    ) -> Result<(), SpecError> {
        if holds {
            return Ok(());
        }
        Err(SpecError {
            api: self.api.clone(),
            field,
            value,
            wanted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl Fn(&mut ServiceSpec)) -> String {
        let mut spec = ServiceSpec::new("shop/orders", 0.01);
        change(&mut spec);
        spec.check()
            .map_or_else(|e| e.to_string(), |()| "accepted".into())
    }

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(refusal(|_| ()), "accepted");
    }

    #[test]
    fn a_refusal_names_the_api_the_field_and_the_remedy() {
        assert_eq!(
            refusal(|s| s.cpu.mean_s = 0.0),
            "simulated service `shop/orders`: cpu.mean_s is 0; give a finite number above 0"
        );
        assert_eq!(
            refusal(|s| s.cpu.cv = -1.0),
            "simulated service `shop/orders`: cpu.cv is -1; give a finite number of 0 or more"
        );
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        assert!(refusal(|s| s.burst_shape = f64::NAN).contains("burst_shape"));
        assert!(refusal(|s| s.timeout_s = f64::INFINITY).contains("timeout_s"));
        assert!(refusal(|s| s.slo_thresholds_s.push(-0.2)).contains("slo_thresholds_s"));
    }
}
