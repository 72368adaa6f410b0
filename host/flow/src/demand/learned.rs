//! What is known of one api's needs, from step to step: costs, latency against utilisation, and which
//! forecast of a resource to believe.
//!
//! Kept in the pool's state and written into each record, so that a restart goes on where it was and a
//! cycle stays a function of its inputs. Each part remembers how far it has read; what has ended since
//! is read and nothing else, so a cycle's cost does not depend on how much is remembered. A step is
//! taken when both of its series have gone past it.
//!
//! Utilisation is the use that was foreseen when capacity was decided, the lead time before, over the
//! capacity that was *there* for it: less what was asked for in case that the forecast errs, which else
//! would be paid twice, once as insurance and once as headroom. What was there is noted: the limit in force at each step is noted, the least
//! of those since the pool's lead time before, because what was just granted is not ready yet. In a pool
//! that declares a minimum below what is ready, an autoscaler follows `wanted`, and each api can count
//! on its part of that only. Where plans are not enforced, nothing is noted, and no latency is learned.

use super::codec::{Reader, Writer};
use super::cost::{Cost, Observed};
use super::duel::{Duel, Promise, Source};
use super::few::Few;
use super::latency::Curve;
use crate::tier::Seen;
use tidegate_core::catalog::{Api, Mode, Pool};
use tidegate_core::ids::ScopedId;
use tidegate_core::plan::Plan;
use tidegate_core::policy::Blob;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::{Indicator, Slo};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Resources, Signal};

/// Number of the layout of [`Learned::blob`].
const FORMAT: u32 = 2;
/// Seconds of history that a cost is learned from at first.
const FIRST_S: i64 = 86_400;
/// Seconds for which a note is kept beyond the lead time: longer than samples take to settle.
const NOTED_S: i64 = 1_800;
/// For so long after a filled step, use is not taken for need.
const STARVED_MS: i64 = 3_600_000;
/// Bytes that most blobs fit into.
const ROOM: usize = 768;
/// Notes that are kept at most.
const NOTES: usize = 240;

/// What the world looks like to the learner.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The cycle's time.
    pub now: Timestamp,
    /// Resolution of the cycle.
    pub step: Step,
    /// Whose needs.
    pub api: &'a Api,
    /// Its pool.
    pub pool: &'a Pool,
    /// The plan that was last published.
    pub last: Option<&'a Plan>,
    /// Its limits, summed over its apis ([`granted`]).
    pub granted: &'a [f64],
    /// Configured target utilisation.
    pub target: f64,
    /// Part of the steps that may miss an objective.
    pub tolerance: f64,
}

/// One resource.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Use {
    /// End of the steps that were learned from.
    until: Option<Timestamp>,
    cost: Cost,
    duel: Duel,
    /// Newest measured use, and the end of its step.
    last: Option<(Timestamp, f64)>,
    /// End of the newest step whose use filled its grant.
    filled: Option<Timestamp>,
}

/// One SLO's curves, per resource that was the scarcest.
#[derive(Debug, Clone, PartialEq, Default)]
struct Objective {
    until: Option<Timestamp>,
    curves: Few<Dimension, Curve>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Learned {
    /// Start of a step, and what could be used in it.
    notes: Vec<(Timestamp, Resources)>,
    /// Start of a step, and the median use that was foreseen of it.
    foreseen: Vec<(Timestamp, Resources)>,
    /// Start of a step, and what was asked for on top in case that the forecast errs.
    insured: Vec<(Timestamp, Resources)>,
    uses: Few<Dimension, Use>,
    objectives: Few<ScopedId, Objective>,
}

/// Resources for which requests queue, so that latency depends on their utilisation. Memory does not
/// queue, and a request rate is a limit.
#[must_use]
pub fn queues(dimension: Dimension) -> bool {
    matches!(
        dimension,
        Dimension::Cpu | Dimension::Network | Dimension::Io
    )
}

impl Learned {
    /// Reads what has ended since the last time.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub fn advance(
        &mut self,
        history: &dyn History,
        look: &Look<'_>,
        slos: &[(&Slo, Seen<'_>)],
    ) -> Result<(), StoreError> {
        self.note(look);
        let dimensions = look.pool.ready.dimensions();
        for &dimension in &dimensions {
            self.learn_use(history, look, dimension)?;
        }
        let of = |id: &ScopedId| slos.iter().any(|(slo, _)| slo.id == *id);
        self.objectives.retain(|id, _| of(id));
        for (slo, seen) in slos {
            if let Indicator::Latency { threshold } = slo.indicator {
                self.learn_latency(look, slo, threshold, *seen);
            }
        }
        self.let_go(look);
        Ok(())
    }

    /// Lets go of notes that every part has read past: they would only be carried through each record.
    fn let_go(&mut self, look: &Look<'_>) {
        let parts = self.uses.values().map(|of| of.until);
        let parts = parts.chain(self.objectives.values().map(|of| of.until));
        // Nothing is before what has read nothing yet.
        let Some(read) = parts.min().flatten() else {
            return;
        };
        let reach = i64::from(look.pool.lead_time_s) * 1000 + look.step.ms();
        self.notes.retain(|(t, _)| read.since_ms(*t) <= reach);
        let is_learning = !self.objectives.is_empty();
        for told in [&mut self.foreseen, &mut self.insured] {
            told.retain(|(t, _)| is_learning && *t >= read);
        }
    }

    /// Notes what could be used in the steps that have begun since the last note.
    fn note(&mut self, look: &Look<'_>) {
        let current = look.now.floor(look.step);
        if look.api.mode != Mode::Enforce {
            self.notes.clear();
            self.foreseen.clear();
            self.insured.clear();
            return;
        }
        // A plan that is published within a step serves from the next cycle on: what is noted of a
        // step is the plan that was in force when it ended.
        if let Some(plan) = look.last.filter(|p| p.made_at < current) {
            let noted = self.notes.last().map(|(t, _)| t.plus_steps(look.step, 1));
            let mut step = noted.map_or(plan.grid.start, |t| t.max(plan.grid.start));
            while step < current {
                self.notes
                    .extend(in_force(plan, look, step).map(|capacity| (step, capacity)));
                step = step.plus_steps(look.step, 1);
            }
        }
        let oldest = NOTED_S + i64::from(look.pool.lead_time_s) + 2 * i64::from(look.step.secs());
        self.notes
            .retain(|(t, _)| *t <= current && current.since_ms(*t) <= oldest * 1000);
        for told in [&mut self.foreseen, &mut self.insured] {
            told.retain(|(t, _)| current.since_ms(*t) <= oldest * 1000);
        }
        for notes in [&mut self.notes, &mut self.foreseen, &mut self.insured] {
            let surplus = notes.len().saturating_sub(NOTES);
            notes.drain(..surplus);
        }
    }

    /// What could be used in a step: the least that was noted since the lead time before it.
    fn capacity(&self, pool: &Pool, start: Timestamp, dimension: Dimension) -> Option<f64> {
        let at = self.notes.binary_search_by_key(&start, |(t, _)| *t).ok()?;
        let lead = i64::from(pool.lead_time_s) * 1000;
        let since = self.notes[..=at].iter().rev();
        since
            .take_while(|(t, _)| start.since_ms(*t) <= lead)
            .filter_map(|(_, c)| c.get(dimension))
            .reduce(f64::min)
            .filter(|c| *c > 0.0)
    }

    /// Foreseen use of a step, over what was there beside what insures against a wrong forecast: the
    /// figure that demand is made with, so that an aim is learned where it is used. 0 to 1.
    fn planned(&self, pool: &Pool, start: Timestamp, dimension: Dimension) -> Option<f64> {
        let at = self
            .foreseen
            .binary_search_by_key(&start, |(t, _)| *t)
            .ok()?;
        let used = self.foreseen[at].1.get(dimension)?;
        let insured = self.insured.get(at).and_then(|(_, i)| i.get(dimension));
        let there = self.capacity(pool, start, dimension)? - insured.unwrap_or(0.0);
        Some(if there > used { used / there } else { 1.0 })
    }

    fn learn_use(
        &mut self,
        history: &dyn History,
        look: &Look<'_>,
        dimension: Dimension,
    ) -> Result<(), StoreError> {
        let key = |signal| SeriesKey {
            api: look.api.id.clone(),
            signal,
        };
        let (used, load) = (key(dimension.signal()), key(Signal::Requests));
        let Some(measured) = history.newest(&used) else {
            return Ok(());
        };
        let both = history.newest(&load).unwrap_or(measured).min(measured);
        let end = both.min(look.now).floor(look.step);
        let mut of = self.uses.get(&dimension).copied().unwrap_or_default();
        let first = end.plus_ms(-FIRST_S * 1000).floor(look.step);
        let from = of.until.map_or(first, |until| until.max(first));
        let count = usize::try_from(end.since_ms(from) / look.step.ms()).unwrap_or(0);
        if count > 0 {
            let grid = Grid {
                start: from,
                step: look.step,
                count,
            };
            let (used, load) = (history.column(&used, grid)?, history.column(&load, grid)?);
            let mut steps = vec![];
            for (i, (&used, &load)) in used.values.iter().zip(&load.values).enumerate() {
                let is_sound = |x: f64| x.is_finite() && x >= 0.0;
                let start = grid.at(i);
                let capacity = self.capacity(look.pool, start, dimension);
                if of.duel.target().is_some_and(|t| t <= start) {
                    let is_free = capacity.is_none_or(|c| used < 0.95 * c);
                    let due = of.duel.target() == Some(start) && is_sound(used) && is_free;
                    of.duel.outcome(due.then_some(used));
                }
                if is_sound(used) {
                    of.last = Some((grid.at(i + 1), used));
                    if capacity.is_some_and(|c| used >= 0.95 * c) {
                        of.filled = Some(grid.at(i + 1));
                    }
                    if is_sound(load) {
                        steps.push(Observed {
                            load,
                            used,
                            capacity,
                        });
                    }
                }
            }
            of.cost.learn(&steps, f64::from(look.step.secs()));
            of.until = Some(end);
        }
        self.uses.insert(dimension, of);
        Ok(())
    }

    fn learn_latency(&mut self, look: &Look<'_>, slo: &Slo, threshold: f64, seen: Seen<'_>) {
        let mut of = self.objectives.remove(&slo.id).unwrap_or_default();
        let fresh = Curve::new(1.0 - slo.objective, threshold, look.target, look.tolerance);
        of.curves.retain(|_, c| c.is_of(&fresh));
        let known = of.curves.values_mut();
        known.for_each(|curve| curve.tolerate(look.tolerance));
        let from = of.until.unwrap_or(Timestamp(i64::MIN));
        let dimensions: Vec<Dimension> = look.pool.ready.dimensions();
        for (start, events) in seen.settled_since(from) {
            of.until = Some(start.plus_steps(look.step, 1));
            let scarcest = dimensions
                .iter()
                .filter(|d| queues(**d))
                .filter_map(|&d| Some((d, self.planned(look.pool, start, d)?)))
                .max_by(|(_, a), (_, b)| a.total_cmp(b));
            if let Some((dimension, utilisation)) = scarcest {
                of.curves.or_insert_with(dimension, || fresh.clone()).learn(
                    events,
                    utilisation,
                    f64::from(look.step.secs()),
                );
            }
        }
        self.objectives.insert(slo.id.clone(), of);
    }

    /// Cost per request and base of a resource; `None` where it was never measured.
    #[must_use]
    pub fn cost(&self, dimension: Dimension) -> Option<&Cost> {
        let of = self.uses.get(&dimension)?;
        of.cost.is_known().then_some(&of.cost)
    }

    /// Newest measured use that is not older than six hours.
    #[must_use]
    pub fn usage(&self, dimension: Dimension, now: Timestamp) -> Option<f64> {
        let (end, used) = self.uses.get(&dimension)?.last?;
        (now.since_ms(end) <= 6 * 3_600_000).then_some(used)
    }

    /// Which forecast of a resource to believe. While a grant was filled, and an hour after, use says
    /// what was granted and not what was needed; its own forecast alone would starve who is starved.
    #[must_use]
    pub fn source(&self, dimension: Dimension, now: Timestamp) -> Source {
        let of = self.uses.get(&dimension).copied().unwrap_or_default();
        let is_starved = of.filled.is_some_and(|t| now.since_ms(t) <= STARVED_MS);
        match of.duel.source() {
            Source::Itself | Source::Mean if is_starved => Source::Higher,
            source => source,
        }
    }

    /// Waits for what was said of a step.
    pub(super) fn promise(&mut self, dimension: Dimension, promise: Promise) {
        if let Some(of) = self.uses.get_mut(&dimension) {
            of.duel.promise(promise);
        }
    }

    /// Remembers the median use that is foreseen of a step, and what is insured on top; what was said
    /// first stands.
    pub(super) fn foresee(&mut self, step: Timestamp, used: Resources, insured: Resources) {
        if self.foreseen.last().is_none_or(|(t, _)| *t < step) {
            self.foreseen.push((step, used));
            self.insured.push((step, insured));
        }
    }

    /// The curve that asks for the lowest utilisation of a resource, and its SLO.
    #[must_use]
    pub fn strictest(&self, dimension: Dimension) -> Option<(&ScopedId, &Curve)> {
        let all = self.objectives.iter();
        all.filter_map(|(id, of)| Some((id, of.curves.get(&dimension)?)))
            .min_by(|(_, a), (_, b)| a.aim().total_cmp(&b.aim()))
    }

    /// The bytes that a record keeps.
    #[must_use]
    pub fn blob(&self) -> Blob {
        let mut to = Writer(Vec::with_capacity(ROOM));
        for notes in [&self.notes, &self.foreseen, &self.insured] {
            to.count(notes.len());
            for (t, amounts) in notes {
                to.int(t.0);
                to.count(amounts.iter().count());
                for (dimension, amount) in amounts.iter() {
                    to.text(dimension.name());
                    to.float(amount);
                }
            }
        }
        to.count(self.uses.iter().len());
        for (dimension, of) in self.uses.iter() {
            to.text(dimension.name());
            to.int(of.until.map_or(i64::MIN, |t| t.0));
            of.cost.write(&mut to);
            of.duel.write(&mut to);
            let (end, used) = of.last.unwrap_or((Timestamp(i64::MIN), 0.0));
            to.int(end.0);
            to.float(used);
            to.int(of.filled.map_or(i64::MIN, |t| t.0));
        }
        to.count(self.objectives.iter().len());
        for (id, of) in self.objectives.iter() {
            to.text(&id.to_string());
            to.int(of.until.map_or(i64::MIN, |t| t.0));
            to.count(of.curves.iter().len());
            for (dimension, curve) in of.curves.iter() {
                to.text(dimension.name());
                curve.write(&mut to);
            }
        }
        Blob {
            format: FORMAT,
            bytes: to.0,
        }
    }

    /// What a record has kept; nothing is known where it cannot be read.
    #[must_use]
    pub fn of(blob: &Blob) -> Self {
        if blob.format != FORMAT {
            return Self::default();
        }
        Self::read(&mut Reader(&blob.bytes)).unwrap_or_default()
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut all = Self::default();
        let since = |t: i64| (t != i64::MIN).then_some(Timestamp(t));
        for notes in [&mut all.notes, &mut all.foreseen, &mut all.insured] {
            for _ in 0..from.count(12)? {
                let at = Timestamp(from.int()?);
                let mut amounts = Resources::NONE;
                for _ in 0..from.count(12)? {
                    amounts = amounts.with(Dimension::parse(from.text()?)?, from.sound()?);
                }
                notes.push((at, amounts));
            }
        }
        for _ in 0..from.count(12)? {
            let dimension = Dimension::parse(from.text()?)?;
            let of = Use {
                until: since(from.int()?),
                cost: Cost::read(from)?,
                duel: Duel::read(from)?,
                last: since(from.int()?).zip(Some(from.sound()?)),
                filled: since(from.int()?),
            };
            all.uses.insert(dimension, of);
        }
        for _ in 0..from.count(12)? {
            let id: ScopedId = from.text()?.parse().ok()?;
            let until = since(from.int()?);
            let mut curves = Few::default();
            for _ in 0..from.count(12)? {
                curves.insert(Dimension::parse(from.text()?)?, Curve::read(from)?);
            }
            all.objectives.insert(id, Objective { until, curves });
        }
        Some(all)
    }
}

/// `[step][dimension]`: a plan's limits, summed over its apis. Once a cycle, since every api of a pool
/// asks for it.
#[must_use]
pub fn granted(plan: Option<&Plan>) -> Vec<f64> {
    let Some(plan) = plan else {
        return vec![];
    };
    let mut sums = vec![0.0; plan.grid.count * plan.dimensions.len()];
    for api in &plan.apis {
        for (sum, limit) in sums.iter_mut().zip(&api.limit) {
            *sum += limit;
        }
    }
    sums
}

/// What an api could use in a step under a plan.
fn in_force(plan: &Plan, look: &Look<'_>, step: Timestamp) -> Option<Resources> {
    let limit = plan.limit(&look.api.id, step)?;
    let row = plan.step_at(step);
    let (limits, wanted) = (plan.dimensions.len(), plan.row(&plan.wanted, row));
    let capacity = limit.map(|dimension, limit| {
        let least = look.pool.min.get(dimension).unwrap_or(f64::INFINITY);
        let Some(k) = plan.dimensions.iter().position(|d| *d == dimension) else {
            return limit;
        };
        if least >= look.pool.ready.get(dimension).unwrap_or(0.0) {
            return limit;
        }
        let granted = look.granted.get(row * limits + k).copied();
        let granted = granted.unwrap_or(0.0);
        let there = wanted.get(dimension).unwrap_or(granted).max(least);
        limit * (there / granted).min(1.0)
    });
    Some(capacity)
}
