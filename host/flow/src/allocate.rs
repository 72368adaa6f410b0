//! Asks the allocator for one pool's plan and checks the invariants on its answer.
//!
//! A plan that breaks one is refused and counted against the module; the next link of the chain
//! answers. Nothing here repairs a plan.

use crate::demand;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::canonical::{self, Canonical};
use tidegate_core::catalog::{Api, Catalog, Pool};
use tidegate_core::ids::{ApiId, Digest};
use tidegate_core::invariant;
use tidegate_core::plan::{ApiPlan, Loan, Plan};
use tidegate_core::policy::{Allocation, AllocationInput, Allocator, Blob, Kept, UNBOUNDED};
use tidegate_core::roster::{Answer, Fault, Roster, Served};
use tidegate_core::tier::{Tier, TierState};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Resources};

/// One api's row.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// The api.
    pub api: &'a Api,
    /// Its tier in this plan, and why.
    pub tier: (TierState, String),
    /// What it needs.
    pub demand: demand::Output,
    /// Why its step bounds are lifted, if they are.
    pub emergency: Option<String>,
}

/// What the room needs, for one pool.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cycle's time.
    pub now: Timestamp,
    /// Root seed.
    pub seed: u64,
    /// The plan's steps.
    pub grid: Grid,
    /// Milliseconds from now until the plan expires.
    pub validity_ms: i64,
    /// The pool.
    pub pool: &'a Pool,
    /// Tier definitions.
    pub catalog: &'a Catalog,
    /// Ascending by api.
    pub rows: &'a [Row<'a>],
    /// The plan that was last published.
    pub previous: Option<&'a Plan>,
    /// Who allocates.
    pub roster: &'a Roster<dyn Allocator>,
    /// What the allocator returned last.
    pub state: &'a Kept,
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct Output {
    /// The plan.
    pub plan: Plan,
    /// What was asked, for the record.
    pub question: AllocationInput,
    /// With which config.
    pub config: String,
    /// What the allocator keeps.
    pub state: Blob,
}

/// Why there is no plan; the last one stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The pool has no api or no dimension.
    #[error("pool `{0}` has nothing to divide")]
    Empty(String),
    /// Active module, last good module and baseline all failed.
    #[error("no allocator gave a usable plan for pool `{0}`; the last plan stays in force")]
    NoAnswer(String),
}

/// Allocates.
///
/// # Errors
/// When there is nothing to divide or nobody answered.
pub fn run(input: &Input<'_>, faults: &mut Vec<Fault>) -> Result<Output, Error> {
    let question = question(input);
    let (n, s, d) = question.shape();
    if n == 0 || d == 0 || s == 0 {
        return Err(Error::Empty(input.pool.id.to_string()));
    }
    let (allocation, config, question, served) =
        ask(input.pool, input.roster, input.state, &question, faults)?;
    let inputs = inputs_digest(&question, &config, &served);
    Ok(Output {
        state: allocation.state.clone(),
        plan: assemble(input, &question, allocation, served, inputs),
        config: config.to_string(),
        question,
    })
}

/// Puts a question to the chain of allocators, each with the state that it can read. The answer upholds
/// AL1 to AL5; with it come its config, the question with that state, and who gave it.
pub(crate) fn ask(
    pool: &Pool,
    roster: &Roster<dyn Allocator>,
    state: &Kept,
    question: &AllocationInput,
    faults: &mut Vec<Fault>,
) -> Result<(Allocation, Arc<str>, AllocationInput, Served), Error> {
    let answer = roster.call(
        &format!("pool {}", pool.id),
        faults,
        |member| {
            let asked = AllocationInput {
                state: state.for_module(&member.module, |blob| member.policy.migrate(blob)),
                ..question.clone()
            };
            let answer = member.policy.allocate(&member.config, &asked)?;
            Ok((answer, member.config.clone(), asked))
        },
        |(answer, _, asked)| invariant::check_allocation(asked, answer),
    );
    let Answer {
        value: (allocation, config, question),
        served,
    } = answer.ok_or_else(|| Error::NoAnswer(pool.id.to_string()))?;
    Ok((allocation, config, question, served))
}

/// Hash of everything that a plan was made from: question, config and module.
#[must_use]
pub fn inputs_digest(question: &AllocationInput, config: &str, served: &Served) -> Digest {
    let mut encoder = canonical::Encoder::default();
    question.encode(&mut encoder);
    encoder
        .text(config)
        .text(&served.module.name)
        .raw(&served.module.digest.0);
    encoder.digest()
}

pub(crate) fn question(input: &Input<'_>) -> AllocationInput {
    let dimensions = input.pool.ready.dimensions();
    let ready: Vec<f64> = dimensions
        .iter()
        .map(|&d| input.pool.ready.get(d).unwrap_or(0.0))
        .collect();
    let mut tenants: BTreeMap<_, u32> = BTreeMap::new();
    for row in input.rows {
        let next = u32::try_from(tenants.len()).unwrap_or(u32::MAX);
        tenants.entry(&row.api.id.tenant).or_insert(next);
    }
    let mut by_index: Vec<_> = tenants.iter().map(|(t, &i)| (i, *t)).collect();
    by_index.sort_unstable();
    let quota = by_index
        .iter()
        .flat_map(|(_, tenant)| {
            let quota = input.pool.quotas.get(*tenant);
            dimensions
                .iter()
                .map(move |&d| quota.and_then(|q| q.get(d)).unwrap_or(UNBOUNDED))
        })
        .collect();
    let spec = |row: &Row<'_>| input.catalog.tier(row.tier.0.tier);
    let per_dimension = |f: &dyn Fn(&Row<'_>, usize, Dimension) -> f64| -> Vec<f64> {
        input
            .rows
            .iter()
            .flat_map(|row| {
                dimensions
                    .iter()
                    .enumerate()
                    .map(move |(i, &d)| f(row, i, d))
            })
            .collect()
    };
    let floor = per_dimension(&|row, i, d| {
        let of_expected = spec(row).floor_of_expected * row.demand.expected[i];
        row.api.floor.get(d).unwrap_or(of_expected).min(ready[i])
    });
    let before = |row: &Row<'_>, d: Dimension, pick: &dyn Fn(&ApiPlan) -> &[f64]| {
        input
            .previous
            .and_then(|plan| {
                let found = plan.api(&row.api.id)?;
                // After expiry it is the safe capacity that is in force, not the plan's last step.
                if input.now >= plan.expires_at {
                    found.safe.get(d)
                } else {
                    plan.row(pick(found), plan.step_at(input.now)).get(d)
                }
            })
            .unwrap_or(-1.0)
    };
    AllocationInput {
        now: input.now,
        seed: canonical::seed(input.seed, "allocate", input.pool.id.as_str(), input.now.0),
        state: Blob::default(), // each member gets its own
        grid: input.grid,
        capacity: (0..input.grid.count)
            .flat_map(|_| ready.iter().copied())
            .collect(),
        capacity_max: dimensions
            .iter()
            .zip(&ready)
            .map(|(&d, &r)| input.pool.max.get(d).unwrap_or(r).max(r))
            .collect(),
        apis: input
            .rows
            .iter()
            .map(|r| canonical::api_key(&r.api.id))
            .collect(),
        tiers: input.rows.iter().map(|r| r.tier.0.tier).collect(),
        weights: input
            .rows
            .iter()
            .map(|r| r.api.weight * spec(r).weight)
            .collect(),
        tenants: input
            .rows
            .iter()
            .map(|r| tenants[&r.api.id.tenant])
            .collect(),
        ceiling: per_dimension(&|row, _, d| row.api.ceiling.get(d).unwrap_or(UNBOUNDED)),
        demand: asked(input, &dimensions, &ready),
        median: input
            .rows
            .iter()
            .flat_map(|r| r.demand.median.iter().copied())
            .collect(),
        expected: input
            .rows
            .iter()
            .flat_map(|r| r.demand.expected.iter().copied())
            .collect(),
        usage: input
            .rows
            .iter()
            .flat_map(|r| r.demand.usage.iter().copied())
            .collect(),
        previous_guaranteed: per_dimension(&|row, _, d| {
            before(row, d, &|p| p.guaranteed.as_slice())
        }),
        previous_limit: per_dimension(&|row, _, d| before(row, d, &|p| p.limit.as_slice())),
        step_up: input.rows.iter().map(|r| spec(r).step_up).collect(),
        step_down: input.rows.iter().map(|r| spec(r).step_down).collect(),
        emergency: input.rows.iter().map(|r| r.emergency.is_some()).collect(),
        lends: (input.rows.iter()).map(|r| spec(r).sharing.lends).collect(),
        borrows: (input.rows.iter())
            .map(|r| spec(r).sharing.borrows)
            .collect(),
        max_share: Tier::ALL
            .map(|tier| input.catalog.tier(tier).sharing.max_share)
            .to_vec(),
        floor,
        quota,
        dimensions,
    }
}

/// Whether an autoscaler makes the pool as large as is wanted, in any dimension: it may grow above what is
/// ready, or shrink below.
pub(crate) fn is_moved(pool: &Pool) -> bool {
    pool.ready.iter().any(|(dimension, ready)| {
        let (least, most) = (pool.min.get(dimension), pool.max.get(dimension));
        least.is_some_and(|least| least < ready) || most.is_some_and(|most| most > ready)
    })
}

/// Steps by which demand must be met ahead of time for its capacity to be there. What is bought comes its
/// lead time after a cycle that runs within a step, so within a step too, and the beginning of that step is
/// for the cycle before to prepare: a step more. (A third of all missed minutes were such beginnings; a
/// sixth fewer were missed for 0.4 % more capacity.) In a pool that nobody moves the step more would be
/// another api's loss.
pub(crate) fn lead_steps(pool: &Pool, step: Step) -> u32 {
    let lead = pool.lead_time_s.div_ceil(step.secs());
    lead + u32::from(lead > 0 && is_moved(pool))
}

/// `[api][step][dimension]`: demand at each tier's guaranteed quantile, and above it as much of the way
/// to what the tier buys as the pool has room for or can grow to hold, the same part for everybody. So a
/// pool that can grow is asked to, in one that is full the guaranteed quantiles decide, and between the two
/// nobody's demand jumps. A choice of one or the other by a switch was rejected: it would flap at the
/// limit. A pool of one size is no other case: what is left of it insures those first who have little
/// insurance, before it is headroom by weight.
fn asked(input: &Input<'_>, dimensions: &[Dimension], ready: &[f64]) -> Vec<f64> {
    let d = dimensions.len();
    let cells = input.grid.count * d;
    let ceilings =
        |row: &Row<'_>, k: usize| row.api.ceiling.get(dimensions[k]).unwrap_or(UNBOUNDED);
    let part = |cell: usize| {
        let k = cell % d;
        let most = input
            .pool
            .max
            .get(dimensions[k])
            .unwrap_or(0.0)
            .max(ready[k]);
        let (mut sure, mut more) = (0.0, 0.0);
        for row in input.rows {
            let ceiling = ceilings(row, k);
            let demand = row.demand.demand[cell].min(ceiling);
            sure += demand;
            more += (row.demand.bought[cell].min(ceiling) - demand).max(0.0);
        }
        if more > 0.0 {
            ((most - sure) / more).clamp(0.0, 1.0)
        } else {
            1.0
        }
    };
    let parts: Vec<f64> = (0..cells).map(part).collect();
    let of = |row: &Row<'_>| -> Vec<f64> {
        let pairs = row.demand.demand.iter().zip(&row.demand.bought).zip(&parts);
        pairs
            .map(|((sure, bought), part)| sure + part * (bought - sure).max(0.0))
            .collect()
    };
    input.rows.iter().flat_map(of).collect()
}

fn assemble(
    input: &Input<'_>,
    question: &AllocationInput,
    allocation: Allocation,
    served: Served,
    inputs: Digest,
) -> Plan {
    let (n, s, d) = question.shape();
    let row = |matrix: &[f64], api: usize| matrix[api * s * d..(api + 1) * s * d].to_vec();
    let safe = safe_shares(question, input.rows);
    let parent = input.previous.map(|p| p.generation).unwrap_or_default();
    let apis = (0..n)
        .zip(allocation.reasons)
        .map(|(i, reason)| {
            let source = &input.rows[i];
            ApiPlan {
                api: source.api.id.clone(),
                tier: source.tier.0.tier,
                tier_since: source.tier.0.since,
                guaranteed: row(&allocation.guaranteed, i),
                limit: row(&allocation.limit, i),
                demand: row(&question.demand, i),
                safe: safe[i],
                reason,
                tier_reason: source.tier.1.clone(),
                emergency: source.emergency.clone(),
            }
        })
        .collect();
    let id = |i: u32| -> ApiId { input.rows[i as usize].api.id.clone() };
    let loans = allocation
        .loans
        .iter()
        .map(|l| Loan {
            lender: id(l.lender),
            borrower: id(l.borrower),
            dimension: question.dimensions[l.dimension as usize],
            amount: l.amount,
            from: input.grid.at(l.from_step as usize),
            until: input.grid.at(l.until_step as usize),
        })
        .collect();
    Plan {
        pool: input.pool.id.clone(),
        generation: parent.next(),
        parent,
        made_at: input.now,
        grid: input.grid,
        expires_at: input.now.plus_ms(input.validity_ms),
        dimensions: question.dimensions.clone(),
        capacity: question.capacity.clone(),
        wanted: allocation.wanted,
        apis,
        loans,
        served,
        inputs,
    }
}

/// What each api gets when the daemon is gone: its declared safe capacity, else its ordinary load, Gold before
/// Silver before Bronze, cut in proportion where a tier does not fit: first within each tenant's quota (AL4), so that
/// one tenant's large wish cuts no neighbour, then within the tier's share and the pool, whose size no sum exceeds.
fn safe_shares(question: &AllocationInput, rows: &[Row<'_>]) -> Vec<Resources> {
    let d = question.dimensions.len();
    let mut shares = vec![Resources::NONE; rows.len()];
    for (i, &dimension) in question.dimensions.iter().enumerate() {
        let mut left = question.capacity[i];
        let mut quota: Vec<f64> = question.quota.iter().skip(i).step_by(d).copied().collect();
        for tier in Tier::ALL.into_iter().rev() {
            let want = |api: usize| {
                let ordinary = question.expected[api * d + i].max(question.floor[api * d + i]);
                rows[api]
                    .api
                    .safe
                    .get(dimension)
                    .unwrap_or(ordinary)
                    .min(question.ceiling[api * d + i])
            };
            let members: Vec<usize> = (0..rows.len())
                .filter(|&a| question.tiers[a] == tier)
                .collect();
            let mut wants: Vec<f64> = members.iter().map(|&a| want(a)).collect();
            let tenant = |n: usize| question.tenants[members[n]] as usize;
            let mut asked = vec![0.0; quota.len()];
            for (n, want) in wants.iter().enumerate() {
                asked[tenant(n)] += want;
            }
            for (n, want) in wants.iter_mut().enumerate() {
                let (asked, room) = (asked[tenant(n)], quota[tenant(n)]);
                if asked > room {
                    *want *= room / asked * (1.0 - 1e-9);
                }
            }
            let total: f64 = wants.iter().sum();
            let room = left.min(most_of(question, tier, i));
            let scale = if total > room {
                room / total * (1.0 - 1e-9)
            } else {
                1.0
            };
            for (&a, want) in members.iter().zip(wants) {
                let share = want * scale;
                shares[a] = shares[a].with(dimension, share);
                left = (left - share).max(0.0);
                let room = &mut quota[question.tenants[a] as usize];
                *room = (*room - share).max(0.0);
            }
        }
        let mut column: Vec<f64> = shares
            .iter()
            .map(|s| s.get(dimension).unwrap_or(0.0))
            .collect();
        round_into(&mut column, question.capacity[i]);
        for (share, amount) in shares.iter_mut().zip(column) {
            *share = share.with(dimension, amount);
        }
    }
    shares
}

/// Most that the apis of a tier hold of dimension `i` together when nobody plans: the tier's share of the
/// pool, or its Gold floors where they are more.
fn most_of(question: &AllocationInput, tier: Tier, i: usize) -> f64 {
    let d = question.dimensions.len();
    let floors = question.floor.iter().skip(i).step_by(d);
    let gold = floors.zip(&question.tiers);
    let due = gold.filter(|(_, of)| **of == tier && tier == Tier::Gold);
    let due = due.map(|(floor, _)| floor).sum::<f64>();
    (question.share_of(tier) * question.capacity[i]).max(due)
}

/// Takes off what rounding put on top: shares that fit in each tier's arithmetic may still sum to
/// a little more than the capacity, and what does not fit by a bit does not fit.
fn round_into(shares: &mut [f64], capacity: f64) {
    while shares.iter().sum::<f64>() > capacity {
        shares.iter_mut().for_each(|x| *x *= 1.0 - 1e-13);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bought_is_asked_for_a_step_before_its_lead_and_what_is_shared_is_not() {
        let steps = |lead_time_s: u32, min: Resources| {
            let pool = Pool {
                id: "edge".parse().unwrap(),
                ready: Resources::NONE.with(Dimension::Cpu, 10.0),
                max: Resources::NONE,
                min,
                lead_time_s,
                unit_cost: Resources::NONE,
                quotas: BTreeMap::new(),
            };
            lead_steps(&pool, Step::MINUTE)
        };
        let shrinks = Resources::NONE.with(Dimension::Cpu, 1.0);
        let leads = [0, 60, 61];
        assert_eq!(leads.map(|s| steps(s, Resources::NONE)), [0, 1, 2]);
        assert_eq!(leads.map(|s| steps(s, shrinks)), [0, 2, 3]);
    }

    #[test]
    fn rounding_does_not_carry_safe_shares_over_the_pool() {
        let mut shares = vec![0.1; 3];
        assert!(shares.iter().sum::<f64>() > 0.3, "the case is one");
        round_into(&mut shares, 0.3);
        let sum: f64 = shares.iter().sum();
        assert!(sum <= 0.3 && sum > 0.3 - 1e-9, "{sum}");
        let mut fitting = vec![0.25; 4];
        round_into(&mut fitting, 1.0);
        assert_eq!(fitting, [0.25; 4]);
    }
}
