//! Who is fitted next: fair between tenants, most urgent first within one.
//!
//! Deficit round robin (M. Shreedhar and G. Varghese, "Efficient Fair Queuing Using Deficit Round
//! Robin", SIGCOMM 1995) over what fits were measured to cost: a tenant is served while it has
//! credit, its cost is taken off, and a new round gives everyone who waits the same. The cost of a
//! fit is not known before, so it is taken off afterwards and credit may fall below zero: who spent
//! a minute on one spinning fit waits until the others had a minute each. A queue of one's own per
//! tenant, and not one for all by urgency, because a thousand new series are all urgent.

use std::collections::{BTreeMap, VecDeque};
use tidegate_core::ids::TenantId;

/// Seconds that a round gives to each tenant that waits: a few small fits, so that turns are short.
const QUANTUM_S: f64 = 0.25;

/// Most series of a tenant that wait in memory; what is left out is found again by the next look.
pub(super) const MOST_WAITING: usize = 4096;

/// Why a series is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// It never was.
    New,
    /// The module that is to forecast it never learned it.
    Module,
    /// The module learned it with another config or at another step.
    Config,
    /// Its model stopped to fit.
    Drift,
    /// Its model is old.
    Stale,
}

impl Reason {
    /// The name in logs and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Reason::New => "new",
            Reason::Module => "module",
            Reason::Config => "config",
            Reason::Drift => "drift",
            Reason::Stale => "stale",
        }
    }
}

/// Whether somebody waits for the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// It serves the series.
    Serving,
    /// It runs beside who serves it.
    Challenger,
}

/// How urgent it is; the least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    part: Part,
    /// No usable state, drift, stale.
    need: u8,
}

impl Rank {
    pub(super) fn of(part: Part, reason: Reason) -> Self {
        let need = match reason {
            Reason::New | Reason::Module | Reason::Config => 0,
            Reason::Drift => 1,
            Reason::Stale => 2,
        };
        Self { part, need }
    }
}

/// What one tenant waits for.
#[derive(Debug)]
struct Lane<T> {
    /// Seconds that it may still spend in this round; below zero after a costly fit.
    credit: f64,
    /// Most urgent first.
    work: VecDeque<(Rank, T)>,
}

/// All lanes. `T` is a piece of work.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    lanes: BTreeMap<TenantId, Lane<T>>,
    /// Whose turn it is.
    turn: Option<TenantId>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            turn: None,
        }
    }
}

impl<T> Lanes<T> {
    /// Replaces what waits; what tenants spent is remembered. Within a rank, the order given stays.
    pub(super) fn replace(&mut self, work: impl IntoIterator<Item = (TenantId, Rank, T)>) {
        self.lanes.values_mut().for_each(|l| l.work.clear());
        for (tenant, rank, item) in work {
            let lane = self.lanes.entry(tenant).or_insert_with(|| Lane {
                credit: 0.0,
                work: VecDeque::new(),
            });
            lane.work.push_back((rank, item));
        }
        for lane in self.lanes.values_mut() {
            lane.work.make_contiguous().sort_by_key(|(rank, _)| *rank);
            lane.work.truncate(MOST_WAITING);
        }
        self.lanes
            .retain(|_, l| !l.work.is_empty() || l.credit < 0.0);
    }

    /// How many pieces wait.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.values().map(|l| l.work.len()).sum()
    }

    /// The next tenant's most urgent piece, and with it those behind it that `together` takes.
    pub(super) fn next(
        &mut self,
        mut together: impl FnMut(&[(Rank, T)], &(Rank, T)) -> bool,
    ) -> Option<(TenantId, Vec<(Rank, T)>)> {
        let tenant = self.choose()?;
        let lane = self.lanes.get_mut(&tenant)?;
        let mut taken: Vec<(Rank, T)> = lane.work.pop_front().into_iter().collect();
        while lane.work.front().is_some_and(|next| together(&taken, next)) {
            taken.extend(lane.work.pop_front());
        }
        self.turn = Some(tenant.clone());
        Some((tenant, taken))
    }

    /// Takes what a tenant's fit cost off its credit.
    pub(super) fn charge(&mut self, tenant: &TenantId, seconds: f64) {
        if let Some(lane) = self.lanes.get_mut(tenant) {
            lane.credit -= seconds.max(0.0);
        }
    }

    /// Who is served: whose turn it is while it has credit, else the next that has; a new round when
    /// nobody has.
    fn choose(&mut self) -> Option<TenantId> {
        let most = self
            .lanes
            .values()
            .filter(|l| !l.work.is_empty())
            .map(|l| l.credit)
            .reduce(f64::max)?;
        if most <= 0.0 {
            self.new_round(QUANTUM_S - most);
        }
        let served = |(tenant, lane): (&TenantId, &Lane<T>)| {
            (!lane.work.is_empty() && lane.credit > 0.0).then(|| tenant.clone())
        };
        let from_turn = self
            .turn
            .as_ref()
            .and_then(|turn| self.lanes.range(turn..).find_map(served));
        from_turn.or_else(|| self.lanes.iter().find_map(served))
    }

    /// Gives everyone who waits the same, and pays off what those owe who do not wait. Credit is not
    /// saved up: who had nothing to fit gets no more for it later.
    fn new_round(&mut self, seconds: f64) {
        for lane in self.lanes.values_mut() {
            lane.credit += seconds;
            if lane.work.is_empty() {
                lane.credit = lane.credit.min(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(series: &[(&str, usize)]) -> Lanes<usize> {
        let mut lanes = Lanes::default();
        refill(&mut lanes, series);
        lanes
    }

    fn refill(lanes: &mut Lanes<usize>, series: &[(&str, usize)]) {
        let rank = Rank::of(Part::Serving, Reason::New);
        let all = series.iter().flat_map(|(tenant, count)| {
            (0..*count).map(move |n| (tenant.parse().unwrap(), rank, n))
        });
        lanes.replace(all.collect::<Vec<_>>());
    }

    /// Serves `turns` times at a cost per tenant; who was served.
    fn serve(lanes: &mut Lanes<usize>, turns: usize, cost: impl Fn(&str) -> f64) -> Vec<String> {
        (0..turns)
            .map_while(|_| {
                let (tenant, _) = lanes.next(|_, _| false)?;
                lanes.charge(&tenant, cost(tenant.as_str()));
                Some(tenant.to_string())
            })
            .collect()
    }

    #[test]
    fn a_tenant_with_a_thousand_series_does_not_delay_one_with_one() {
        let mut lanes = lanes(&[("crowd", 1000), ("small", 1)]);
        let served = serve(&mut lanes, 1001, |_| 0.3);
        assert_eq!(served.iter().position(|t| t == "small"), Some(1));
        assert_eq!(served.len(), 1001);
    }

    #[test]
    fn tenants_get_the_same_time_and_not_the_same_number_of_fits() {
        let mut lanes = lanes(&[("cheap", 4000), ("dear", 4000)]);
        let cost = |t: &str| if t == "dear" { 1.0 } else { 0.01 };
        let served = serve(&mut lanes, 3000, cost);
        let spent = |t: &str| served.iter().filter(|s| *s == t).count() as f64 * cost(t);
        let (cheap, dear) = (spent("cheap"), spent("dear"));
        assert!((cheap - dear).abs() <= 1.0 + QUANTUM_S, "{cheap} {dear}");
    }

    #[test]
    fn a_fit_that_spins_is_paid_by_its_tenant() {
        let mut lanes = lanes(&[("spins", 10), ("works", 1000)]);
        let served = serve(&mut lanes, 300, |t| if t == "spins" { 60.0 } else { 0.25 });
        let spun = served.iter().filter(|t| *t == "spins").count();
        assert_eq!(spun, 2, "one at first, one after the other had a minute");
    }

    #[test]
    fn debt_outlives_a_look_at_the_world_and_credit_does_not_pile_up() {
        let mut lanes = lanes(&[("a", 1)]);
        serve(&mut lanes, 1, |_| 10.0);
        refill(&mut lanes, &[("a", 100), ("b", 100)]);
        let served = serve(&mut lanes, 39, |_| 0.25);
        assert!(served.iter().all(|t| t == "b"), "{served:?}");
        // `c` did not wait while `b` was served, so it gets its turn and not forty.
        refill(&mut lanes, &[("b", 100), ("c", 100)]);
        let served = serve(&mut lanes, 20, |_| 0.25);
        let of_c = served.iter().filter(|t| *t == "c").count();
        assert!((9..=11).contains(&of_c), "{served:?}");
    }

    #[test]
    fn what_has_no_state_goes_before_drift_before_age_and_challengers_come_last() {
        let order = [
            (Part::Challenger, Reason::New),
            (Part::Serving, Reason::Stale),
            (Part::Serving, Reason::Drift),
            (Part::Serving, Reason::Config),
            (Part::Challenger, Reason::Drift),
            (Part::Serving, Reason::New),
        ];
        let mut lanes = Lanes::default();
        let work = order.map(|(p, r)| ("a".parse().unwrap(), Rank::of(p, r), (p, r)));
        lanes.replace(work);
        let mut served = vec![];
        while let Some((_, taken)) = lanes.next(|_, _| false) {
            served.extend(taken.into_iter().map(|(_, item)| item));
        }
        assert_eq!(
            served,
            [order[3], order[5], order[2], order[1], order[0], order[4]]
        );
    }

    #[test]
    fn what_waits_is_bounded_and_the_most_urgent_stay() {
        let stale = Rank::of(Part::Serving, Reason::Stale);
        let new = Rank::of(Part::Serving, Reason::New);
        let tenant: TenantId = "a".parse().unwrap();
        let mut lanes = Lanes::default();
        let old = (0..2 * MOST_WAITING).map(|n| (tenant.clone(), stale, n));
        lanes.replace(old.chain([(tenant.clone(), new, usize::MAX)]));
        assert_eq!(lanes.waiting(), MOST_WAITING);
        let (_, first) = lanes.next(|_, _| false).unwrap();
        assert_eq!(first, [(new, usize::MAX)]);
    }

    #[test]
    fn neighbours_that_go_together_leave_in_one_batch() {
        let mut lanes = lanes(&[("a", 40)]);
        let (_, batch) = lanes.next(|taken, _| taken.len() < 16).unwrap();
        let items: Vec<usize> = batch.into_iter().map(|(_, n)| n).collect();
        assert_eq!(items, (0..16).collect::<Vec<_>>());
    }
}
