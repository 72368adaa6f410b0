//! What shall be in force, as a function of what was heard and of the time.
//!
//! Times inside are on the data's clock. The caller's own clock may be wrong by hours, so every
//! answer that carries the server's time moves [`Machine::sync`]'s offset: a grant is then valid
//! for `expires - server now` from the moment it was heard, whatever the caller's clock says. While
//! nothing is heard, the caller's clock runs on alone and the expiry comes without any message.

use std::collections::BTreeMap;
use tidegate_proto::v1;

/// What to put in force for one api.
#[derive(Debug, Clone, PartialEq)]
pub struct Directive {
    /// TENANT/NAME.
    pub api: String,
    /// The plan that it comes from; 0 when none was ever made.
    pub generation: u64,
    /// The tier in that plan.
    pub tier: v1::Tier,
    /// Kept for it.
    pub guaranteed: v1::Resources,
    /// What it may use.
    pub limit: v1::Resources,
    /// Whether this is the fallback after an expiry.
    pub safe: bool,
}

/// What the machine made of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// It is in charge from now on.
    Accepted,
    /// It is older than what is held, and was refused.
    Stale,
    /// It does not hold together (a matrix of another shape) and was refused.
    Malformed,
}

#[derive(Debug, Clone)]
struct Stage {
    from_ms: i64,
    guaranteed: v1::Resources,
    limit: v1::Resources,
}

#[derive(Debug, Clone)]
struct Held {
    pool: String,
    generation: u64,
    made_at_ms: i64,
    tier: v1::Tier,
    /// Ascending by instant; never empty.
    stages: Vec<Stage>,
    expires_at_ms: i64,
    safe: v1::Resources,
}

/// The state of an enforcer; see the module.
#[derive(Debug, Default)]
pub struct Machine {
    offset_ms: i64,
    held: BTreeMap<String, Held>,
    in_force: BTreeMap<String, Directive>,
}

impl Machine {
    /// Aligns the caller's clock with the server's: both in milliseconds, read at one moment.
    pub fn sync(&mut self, server_ms: i64, own_ms: i64) {
        self.offset_ms = server_ms.saturating_sub(own_ms);
    }

    /// The data's clock when the caller's reads `own_ms`.
    #[must_use]
    pub fn now(&self, own_ms: i64) -> i64 {
        own_ms.saturating_add(self.offset_ms)
    }

    /// Generation that is held for an api.
    #[must_use]
    pub fn generation(&self, api: &str) -> Option<u64> {
        self.held.get(api).map(|h| h.generation)
    }

    /// Hears a grant. Within one generation, the one that began later wins.
    pub fn hear_grant(&mut self, grant: v1::Grant) -> Hearing {
        let tier = grant.tier();
        let (Some(limit), safe) = (grant.limit, grant.safe.unwrap_or_default()) else {
            return Hearing::Malformed;
        };
        let guaranteed = grant.guaranteed.unwrap_or_default();
        self.take(
            grant.api,
            Held {
                pool: grant.pool,
                generation: grant.generation,
                made_at_ms: grant.from_ms,
                tier,
                stages: vec![Stage {
                    from_ms: grant.from_ms,
                    guaranteed,
                    limit,
                }],
                expires_at_ms: grant.expires_at_ms,
                safe,
            },
        )
    }

    /// Hears a plan: every api of it, step by step. Refused as a whole or taken as a whole. An api
    /// that a newer plan of the pool no longer names keeps what it has until that expires.
    pub fn hear_plan(&mut self, plan: &v1::Plan) -> Hearing {
        let steps = plan.step_count as usize;
        let width = plan.dimensions.len();
        let shaped = |m: &[f64]| m.len() == steps.saturating_mul(width);
        if steps == 0
            || plan
                .apis
                .iter()
                .any(|a| !shaped(&a.limit) || !shaped(&a.guaranteed))
        {
            return Hearing::Malformed;
        }
        let dimensions: Vec<v1::Dimension> = plan.dimensions().collect();
        let newest = self
            .held
            .values()
            .filter(|h| h.pool == plan.pool)
            .map(|h| h.generation)
            .max();
        if newest.is_some_and(|g| g > plan.generation) {
            return Hearing::Stale;
        }
        for api in &plan.apis {
            let row = |m: &[f64], i: usize| resources(&dimensions, &m[i * width..(i + 1) * width]);
            let stages = (0..steps).map(|i| Stage {
                from_ms: plan
                    .start_ms
                    .saturating_add(i as i64 * i64::from(plan.step_s) * 1000),
                guaranteed: row(&api.guaranteed, i),
                limit: row(&api.limit, i),
            });
            self.take(
                api.api.clone(),
                Held {
                    pool: plan.pool.clone(),
                    generation: plan.generation,
                    made_at_ms: plan.made_at_ms,
                    tier: api.tier(),
                    stages: stages.collect(),
                    expires_at_ms: plan.expires_at_ms,
                    safe: api.safe.unwrap_or_default(),
                },
            );
        }
        Hearing::Accepted
    }

    fn take(&mut self, api: String, new: Held) -> Hearing {
        if let Some(old) = self.held.get(&api) {
            // An api that moved to another pool meets that pool's own count of generations.
            let older = (new.generation, new.made_at_ms) < (old.generation, old.made_at_ms);
            if old.pool == new.pool && older {
                return Hearing::Stale;
            }
        }
        self.held.insert(api, new);
        Hearing::Accepted
    }

    /// Lets an api go: it is no longer this enforcer's, and neither a limit nor a fallback is due.
    pub fn release(&mut self, api: &str) {
        self.held.remove(api);
        self.in_force.remove(api);
    }

    /// What shall be in force when the caller's clock reads `own_ms`, and is not yet. Call
    /// [`Machine::applied`] for each that was.
    #[must_use]
    pub fn due(&self, own_ms: i64) -> Vec<Directive> {
        let now = self.now(own_ms);
        let wanted = self.held.iter().map(|(api, held)| held.at(api, now));
        wanted
            .filter(|d| self.in_force.get(&d.api) != Some(d))
            .collect()
    }

    /// Notes that a directive is in force.
    pub fn applied(&mut self, directive: Directive) {
        self.in_force.insert(directive.api.clone(), directive);
    }

    /// What is in force for an api.
    #[must_use]
    pub fn in_force(&self, api: &str) -> Option<&Directive> {
        self.in_force.get(api)
    }

    /// When, on the caller's clock, something changes by itself: a step begins or a grant expires.
    #[must_use]
    pub fn next_change(&self, own_ms: i64) -> Option<i64> {
        let now = self.now(own_ms);
        let instants = self.held.values().flat_map(|h| {
            let steps = h
                .stages
                .iter()
                .map(|s| s.from_ms)
                .filter(|&t| t < h.expires_at_ms);
            steps.chain([h.expires_at_ms]).filter(move |&t| t > now)
        });
        instants.min().map(|t| t.saturating_sub(self.offset_ms))
    }
}

impl Held {
    fn at(&self, api: &str, now: i64) -> Directive {
        let safe = now >= self.expires_at_ms;
        // Before the first step, the first step's row: a plan may be heard a moment early.
        let stage = self
            .stages
            .iter()
            .rev()
            .find(|s| s.from_ms <= now)
            .unwrap_or(&self.stages[0]);
        Directive {
            api: api.to_owned(),
            generation: self.generation,
            tier: self.tier,
            guaranteed: if safe { self.safe } else { stage.guaranteed },
            limit: if safe { self.safe } else { stage.limit },
            safe,
        }
    }
}

fn resources(dimensions: &[v1::Dimension], row: &[f64]) -> v1::Resources {
    let mut amounts = v1::Resources::default();
    for (dimension, &amount) in dimensions.iter().zip(row) {
        let place = match dimension {
            v1::Dimension::Cpu => &mut amounts.cpu,
            v1::Dimension::Memory => &mut amounts.memory,
            v1::Dimension::Network => &mut amounts.network,
            v1::Dimension::Io => &mut amounts.io,
            v1::Dimension::Requests => &mut amounts.requests,
            // A dimension of a later server: this client cannot enforce what it has no word for.
            v1::Dimension::Unspecified => continue,
        };
        *place = Some(amount);
    }
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(requests: f64) -> v1::Resources {
        v1::Resources {
            requests: Some(requests),
            ..Default::default()
        }
    }

    fn grant(generation: u64, limit: f64, from_ms: i64, expires_at_ms: i64) -> v1::Grant {
        v1::Grant {
            api: "shop/pay".into(),
            pool: "edge".into(),
            generation,
            limit: Some(rate(limit)),
            guaranteed: Some(rate(limit / 2.0)),
            safe: Some(rate(10.0)),
            from_ms,
            expires_at_ms,
            ..Default::default()
        }
    }

    fn plan(generation: u64, limits: &[f64]) -> v1::Plan {
        v1::Plan {
            pool: "edge".into(),
            generation,
            made_at_ms: 1_000,
            start_ms: 60_000,
            step_s: 60,
            step_count: limits.len() as u32,
            expires_at_ms: 600_000,
            dimensions: vec![v1::Dimension::Requests.into()],
            apis: vec![v1::ApiPlan {
                api: "shop/pay".into(),
                guaranteed: limits.to_vec(),
                limit: limits.to_vec(),
                safe: Some(rate(10.0)),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// What is put in force at an instant, in requests/s, and whether it is the fallback.
    fn step(machine: &mut Machine, own_ms: i64) -> Option<(f64, bool)> {
        let due = machine.due(own_ms);
        assert!(due.len() <= 1);
        let directive = due.into_iter().next()?;
        let seen = (directive.limit.requests.unwrap(), directive.safe);
        machine.applied(directive);
        Some(seen)
    }

    #[test]
    fn silence_ends_in_the_safe_capacity_and_a_new_grant_ends_the_silence() {
        let mut machine = Machine::default();
        assert_eq!(
            machine.hear_grant(grant(1, 100.0, 0, 5_000)),
            Hearing::Accepted
        );
        assert_eq!(step(&mut machine, 0), Some((100.0, false)));
        assert_eq!(machine.next_change(0), Some(5_000));
        assert_eq!(step(&mut machine, 4_999), None);
        assert_eq!(step(&mut machine, 5_000), Some((10.0, true)));
        assert_eq!(step(&mut machine, 9_000), None);
        machine.hear_grant(grant(2, 80.0, 9_000, 15_000));
        assert_eq!(step(&mut machine, 9_000), Some((80.0, false)));
    }

    #[test]
    fn a_stale_generation_is_refused_and_changes_nothing() {
        let mut machine = Machine::default();
        machine.hear_grant(grant(7, 100.0, 0, 5_000));
        step(&mut machine, 0);
        assert_eq!(machine.hear_grant(grant(6, 1.0, 0, 50_000)), Hearing::Stale);
        assert_eq!(machine.hear_plan(&plan(6, &[1.0])), Hearing::Stale);
        assert_eq!(step(&mut machine, 1), None);
        assert_eq!(step(&mut machine, 5_000), Some((10.0, true)));
    }

    #[test]
    fn the_same_grant_again_is_not_applied_again_but_renews_the_expiry() {
        let mut machine = Machine::default();
        machine.hear_grant(grant(1, 100.0, 0, 5_000));
        step(&mut machine, 0);
        machine.hear_grant(grant(1, 100.0, 0, 9_000));
        assert_eq!(step(&mut machine, 6_000), None);
        assert_eq!(step(&mut machine, 9_000), Some((10.0, true)));
    }

    #[test]
    fn an_expiry_counts_from_the_servers_clock_whatever_the_own_clock_says() {
        let mut machine = Machine::default();
        machine.sync(1_000_000, 50);
        machine.hear_grant(grant(1, 100.0, 1_000_000, 1_003_000));
        assert_eq!(step(&mut machine, 50), Some((100.0, false)));
        assert_eq!(machine.next_change(50), Some(3_050));
        assert_eq!(step(&mut machine, 3_049), None);
        assert_eq!(step(&mut machine, 3_050), Some((10.0, true)));
    }

    #[test]
    fn a_plan_is_walked_step_by_step_without_another_message() {
        let mut machine = Machine::default();
        assert_eq!(
            machine.hear_plan(&plan(3, &[100.0, 100.0, 140.0])),
            Hearing::Accepted
        );
        assert_eq!(step(&mut machine, 60_000), Some((100.0, false)));
        assert_eq!(
            step(&mut machine, 120_000),
            None,
            "the same numbers need no second call"
        );
        assert_eq!(step(&mut machine, 180_000), Some((140.0, false)));
        assert_eq!(
            step(&mut machine, 599_999),
            None,
            "the last step holds until the expiry"
        );
        assert_eq!(step(&mut machine, 600_000), Some((10.0, true)));
    }

    #[test]
    fn what_could_not_be_applied_stays_due() {
        let mut machine = Machine::default();
        machine.hear_grant(grant(1, 100.0, 0, 5_000));
        assert_eq!(machine.due(0).len(), 1);
        assert_eq!(machine.due(1).len(), 1);
    }

    #[test]
    fn a_plan_of_another_shape_is_refused_and_never_read_beyond_its_end() {
        let mut machine = Machine::default();
        let mut broken = plan(1, &[1.0, 2.0]);
        broken.step_count = 3;
        assert_eq!(machine.hear_plan(&broken), Hearing::Malformed);
        broken.step_count = 0;
        assert_eq!(machine.hear_plan(&broken), Hearing::Malformed);
        assert!(machine.due(60_000).is_empty());
    }

    #[test]
    fn an_api_that_was_let_go_gets_neither_limits_nor_a_fallback() {
        let mut machine = Machine::default();
        machine.hear_grant(grant(1, 100.0, 0, 5_000));
        step(&mut machine, 0);
        machine.release("shop/pay");
        assert_eq!(step(&mut machine, 5_000), None);
        machine.hear_grant(grant(2, 100.0, 5_000, 9_000));
        assert_eq!(step(&mut machine, 5_000), Some((100.0, false)));
    }

    #[test]
    fn an_api_that_moved_to_another_pool_obeys_that_pools_generations() {
        let mut machine = Machine::default();
        machine.hear_grant(grant(40, 100.0, 0, 5_000));
        let mut moved = grant(1, 70.0, 100, 6_000);
        moved.pool = "core".into();
        assert_eq!(machine.hear_grant(moved), Hearing::Accepted);
        assert_eq!(step(&mut machine, 100), Some((70.0, false)));
    }
}
