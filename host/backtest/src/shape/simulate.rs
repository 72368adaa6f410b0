//! The clock: second by second, every api of a case under one policy.
//!
//! All policies walk the same way: the same arrivals, the same start, the same delay, replicas in whole
//! numbers. In an elastic pool what is asked for is bought. In a scarce one who asks first is served
//! first, as pods wait for a node; a policy that divides the pool itself never asks for more than there
//! is, so nobody of its apis waits.

use super::case::{Case, Supply};
use super::replicas::Replicas;
use super::scaler::{Failure, Observed, SYNC_S, Scaler};
use super::service::{Minute, Service};

/// What became of one api in the scored minutes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trail {
    /// Per minute: its objective was missed.
    pub bad: Vec<bool>,
    /// Per minute: replicas that served, on average.
    pub serving: Vec<f32>,
    /// Replica-seconds paid for.
    pub held_s: f64,
    /// Core-seconds used.
    pub used_s: f64,
    /// Replicas that were asked for or given up.
    pub churn: u64,
    /// Requests that came.
    pub requests: f64,
    /// Refused or timed out.
    pub errors: f64,
    /// Answered too late.
    pub slow: f64,
}

/// One api while it runs.
struct Running {
    service: Service,
    replicas: Replicas,
    minute: Minute,
    served: f64,
    scrape: Scrape,
    trail: Trail,
    /// Since when it waits for capacity.
    waiting: Option<usize>,
}

/// The scrape that is taken, and the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Scrape {
    now: (f64, u32),
    last: (f64, u32),
}

impl Running {
    fn new(replicas: u32) -> Self {
        Self {
            service: Service::default(),
            replicas: Replicas::ready(replicas),
            minute: Minute::default(),
            served: 0.0,
            scrape: Scrape::default(),
            trail: Trail::default(),
            waiting: None,
        }
    }

    fn observed(&self) -> Observed {
        let (used, serving) = self.scrape.last;
        let all = f64::from(serving) * SYNC_S as f64;
        Observed {
            serving: self.replicas.serving(),
            held: self.replicas.held(),
            measured: serving.min(self.replicas.serving()),
            used_each: if all > 0.0 { used / all } else { 0.0 },
        }
    }

    fn second(&mut self, requests: f64, cost: f64, is_scored: bool) {
        let serving = self.replicas.serving();
        let tick = self.service.tick(requests, cost, serving);
        self.minute.add(&tick);
        self.served += f64::from(serving);
        self.scrape.now.0 += tick.cpu;
        self.scrape.now.1 = self.scrape.now.1.min(serving);
        if is_scored {
            self.trail.held_s += f64::from(self.replicas.held());
        }
    }

    fn end_of_minute(&mut self, is_scored: bool) -> Minute {
        let minute = std::mem::take(&mut self.minute);
        let served = std::mem::take(&mut self.served);
        if is_scored {
            let trail = &mut self.trail;
            trail.bad.push(minute.is_bad());
            trail.serving.push((served / 60.0) as f32);
            trail.used_s += minute.cpu;
            trail.requests += minute.requests;
            trail.errors += minute.errors;
            trail.slow += minute.slow;
        }
        minute
    }
}

/// Runs a case from where policies begin to its end; one trail per api.
///
/// `progress` is told of every minute that is over.
///
/// # Errors
/// When the policy cannot go on.
pub fn run(
    case: &Case,
    scaler: &mut dyn Scaler,
    progress: &dyn Fn(),
) -> Result<Vec<Trail>, Failure> {
    let first: Vec<u32> = case.apis.iter().map(|a| a.first).collect();
    let mut all: Vec<Running> = first.iter().map(|n| Running::new(*n)).collect();
    let mut wishes = first;
    for second in case.begin..case.end {
        for api in &mut all {
            api.replicas.settle(second);
        }
        if second.is_multiple_of(SYNC_S) {
            let seen: Vec<Observed> = all.iter().map(Running::observed).collect();
            scaler.sync(second, &seen, &mut wishes)?;
            grant(case, second, &wishes, &mut all);
            for api in &mut all {
                api.scrape.last = api.scrape.now;
                api.scrape.now = (0.0, u32::MAX);
            }
        }
        let is_scored = second >= case.score;
        for (api, of) in all.iter_mut().zip(&case.apis) {
            let cost = f64::from(of.costs[second / 60]);
            api.second(f64::from(of.requests[second]), cost, is_scored);
        }
        if (second + 1).is_multiple_of(60) {
            let minutes: Vec<Minute> = all.iter_mut().map(|a| a.end_of_minute(is_scored)).collect();
            scaler.minute(second + 1 - 60, &minutes);
            progress();
        }
    }
    Ok(all.into_iter().map(|a| a.trail).collect())
}

/// Puts the wishes in force, as far as there is capacity.
fn grant(case: &Case, second: usize, wishes: &[u32], all: &mut [Running]) {
    let put = |api: &mut Running, target: u32| {
        let moved = api.replicas.set(target, second, case.lead_s);
        if second >= case.score {
            api.trail.churn += u64::from(moved);
        }
    };
    let mut order: Vec<(usize, usize)> = vec![];
    for (i, (api, wish)) in all.iter_mut().zip(wishes).enumerate() {
        // Nothing runs on no replica; a deployment that idles keeps one.
        let wish = (*wish).max(1);
        if wish > api.replicas.held() {
            order.push((*api.waiting.get_or_insert(second), i));
        } else {
            api.waiting = None;
            put(api, wish);
        }
    }
    order.sort_unstable();
    for (_, i) in order {
        let free = match case.supply {
            Supply::Elastic => u32::MAX,
            Supply::Scarce(all_there_is) => {
                all_there_is.saturating_sub(all.iter().map(|a| a.replicas.held()).sum())
            }
        };
        let held = all[i].replicas.held();
        let more = (wishes[i] - held).min(free);
        put(&mut all[i], held + more);
        if held + more == wishes[i] {
            all[i].waiting = None;
        }
    }
}

/// What was measured before policies begin, under capacity that never was short: one row per minute,
/// one entry per api.
#[must_use]
pub fn history(case: &Case) -> Vec<Vec<Minute>> {
    let mut rows: Vec<Vec<Minute>> = vec![Vec::with_capacity(case.apis.len()); case.begin / 60];
    for api in &case.apis {
        let mut service = Service::default();
        for (minute, row) in rows.iter_mut().enumerate() {
            let mut measured = Minute::default();
            for second in minute * 60..(minute + 1) * 60 {
                let requests = f64::from(api.requests[second]);
                let cost = f64::from(api.costs[minute]);
                measured.add(&service.tick(requests, cost, api.first.saturating_mul(2)));
            }
            row.push(measured);
        }
    }
    rows
}
