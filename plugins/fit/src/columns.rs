//! One pool as columns, in the shape of the interface `allocation`.
//!
//! Owned vectors, so that the glue of a component moves what it was given without a copy.
//! Matrices are flat and row-major. [`PoolColumns::validate`] is the one place where shapes and
//! ranges are checked; whatever passed it can be indexed without a panic.

use crate::Error;

/// Stands for "no bound" in ceilings, quotas and raw limits.
pub const UNBOUNDED: f64 = f64::MAX;

/// Amounts at or above this are read as [`UNBOUNDED`]: sums over any real number of apis stay
/// finite below it.
pub(crate) const HUGE: f64 = 1e250;

/// How much an api's share is guaranteed, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Best effort.
    Bronze,
    /// Priority.
    Silver,
    /// Guaranteed.
    Gold,
}

impl Tier {
    /// All tiers, the most guaranteed first: the order in which they are served.
    pub const SERVED: [Self; 3] = [Self::Gold, Self::Silver, Self::Bronze];

    /// The tier's name as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
        }
    }
}

/// A dimension of a pool's capacity vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Cores.
    Cpu,
    /// Bytes.
    Memory,
    /// Bytes/s.
    Network,
    /// Operations/s.
    Io,
    /// Requests/s.
    Requests,
}

impl Dimension {
    /// The dimension's name as in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Network => "network",
            Self::Io => "io",
            Self::Requests => "requests",
        }
    }
}

/// One pool and its apis over the coming steps: n apis, S steps, D dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolColumns {
    /// S, at least 1.
    pub steps: usize,
    /// D entries, at least 1, no duplicates.
    pub dimensions: Vec<Dimension>,
    /// `[step][dimension]`: what is ready at that step.
    pub capacity: Vec<f64>,
    /// `[dimension]`: what the pool can grow to.
    pub capacity_max: Vec<f64>,
    /// Stable keys, one per api.
    pub apis: Vec<u64>,
    /// One per api.
    pub tiers: Vec<Tier>,
    /// One per api, > 0; counts within a tier.
    pub weights: Vec<f64>,
    /// One per api: index into `quota`.
    pub tenants: Vec<u32>,
    /// `[api][dimension]`.
    pub floor: Vec<f64>,
    /// `[api][dimension]`, may be [`UNBOUNDED`].
    pub ceiling: Vec<f64>,
    /// `[api][step][dimension]`: demand at the quantile that the tier buys.
    pub demand: Vec<f64>,
    /// `[api][step][dimension]`: median demand.
    pub median: Vec<f64>,
    /// `[api][dimension]`: ordinary load, the trailing 7-day median unless configured.
    pub expected: Vec<f64>,
    /// `[api][dimension]`: measured in the last step.
    pub usage: Vec<f64>,
    /// `[api][dimension]`: guaranteed by the plan in force; below zero for a new api.
    pub previous_guaranteed: Vec<f64>,
    /// `[api][dimension]`: limit of the plan in force; below zero for a new api.
    pub previous_limit: Vec<f64>,
    /// One per api, >= 1: largest factor by which a limit may rise from step to step.
    pub step_up: Vec<f64>,
    /// One per api, 0 to 1: smallest factor to which a limit may fall from step to step.
    pub step_down: Vec<f64>,
    /// One per api: not 0 where the api may exceed its step bounds.
    pub emergency: Vec<u8>,
    /// `[tenant][dimension]`, may be [`UNBOUNDED`].
    pub quota: Vec<f64>,
    /// One per api: not 0 where its unused guarantee may be lent.
    pub lends: Vec<u8>,
    /// One per api: not 0 where it may borrow.
    pub borrows: Vec<u8>,
    /// One per tier, lowest first: most that its apis hold together, as a part of the capacity, 0 to 1.
    pub max_share: Vec<f64>,
}

impl PoolColumns {
    /// An empty pool with one tenant without quota. `capacity` is `[step][dimension]` and tells
    /// the number of steps; the pool can grow to its largest step.
    #[must_use]
    pub fn new(dimensions: Vec<Dimension>, capacity: Vec<f64>) -> Self {
        let d = dimensions.len().max(1);
        let capacity_max = (0..dimensions.len())
            .map(|k| {
                capacity
                    .iter()
                    .skip(k)
                    .step_by(d)
                    .fold(0.0, |a: f64, &b| a.max(b))
            })
            .collect();
        Self {
            steps: capacity.len() / d,
            quota: vec![UNBOUNDED; dimensions.len()],
            dimensions,
            capacity,
            capacity_max,
            apis: Vec::new(),
            tiers: Vec::new(),
            weights: Vec::new(),
            tenants: Vec::new(),
            floor: Vec::new(),
            ceiling: Vec::new(),
            demand: Vec::new(),
            median: Vec::new(),
            expected: Vec::new(),
            usage: Vec::new(),
            previous_guaranteed: Vec::new(),
            previous_limit: Vec::new(),
            step_up: Vec::new(),
            step_down: Vec::new(),
            emergency: Vec::new(),
            lends: Vec::new(),
            borrows: Vec::new(),
            max_share: vec![1.0; Tier::SERVED.len()],
        }
    }

    /// Adds a new api of the first tenant: weight 1, no ceiling, no demand, wide step bounds; it lends
    /// and borrows.
    /// `floor` is `[dimension]`; a shorter one is filled up with zeros.
    pub fn push(&mut self, tier: Tier, floor: &[f64]) {
        let (d, cells) = (self.dimensions.len(), self.steps * self.dimensions.len());
        self.apis.push(self.apis.len() as u64);
        self.tiers.push(tier);
        self.weights.push(1.0);
        self.tenants.push(0);
        self.floor
            .extend((0..d).map(|k| floor.get(k).copied().unwrap_or(0.0)));
        self.ceiling.extend(std::iter::repeat_n(UNBOUNDED, d));
        self.demand.extend(std::iter::repeat_n(0.0, cells));
        self.median.extend(std::iter::repeat_n(0.0, cells));
        self.expected.extend(std::iter::repeat_n(0.0, d));
        self.usage.extend(std::iter::repeat_n(0.0, d));
        self.previous_guaranteed
            .extend(std::iter::repeat_n(-1.0, d));
        self.previous_limit.extend(std::iter::repeat_n(-1.0, d));
        self.step_up.push(UNBOUNDED);
        self.step_down.push(0.0);
        self.emergency.push(0);
        self.lends.push(1);
        self.borrows.push(1);
    }

    /// n.
    #[must_use]
    pub fn len(&self) -> usize {
        self.apis.len()
    }

    /// Whether the pool has no apis.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.apis.is_empty()
    }

    /// D.
    #[must_use]
    pub fn width(&self) -> usize {
        self.dimensions.len()
    }

    /// The place of `[api][step][dimension]` in a flat matrix.
    #[must_use]
    pub fn cell(&self, api: usize, step: usize, dimension: usize) -> usize {
        (api * self.steps + step) * self.dimensions.len() + dimension
    }

    /// Most that the apis of a tier hold together, as a part of the capacity.
    #[must_use]
    pub fn share_of(&self, tier: Tier) -> f64 {
        self.max_share.get(tier as usize).copied().unwrap_or(1.0)
    }

    /// The tiers that may not hold the whole pool, the most guaranteed first, each with its apis in input
    /// order.
    #[must_use]
    pub fn bounded_tiers(&self) -> Vec<(Tier, Vec<usize>)> {
        let bounded = Tier::SERVED.into_iter().filter(|t| self.share_of(*t) < 1.0);
        let own = |tier: Tier| (0..self.len()).filter(move |&api| self.tiers[api] == tier);
        bounded.map(|tier| (tier, own(tier).collect())).collect()
    }

    /// The quota of an api's tenant.
    pub(crate) fn quota_of(&self, api: usize, dimension: usize) -> f64 {
        self.quota[self.tenants[api] as usize * self.width() + dimension]
    }

    /// The capacity that the demand asks for, `[step][dimension]`: per step the sum over apis of
    /// demand at the tier's quantile (of a Gold api at least its floor; never above a ceiling),
    /// times `1 + margin`, at most `capacity_max`.
    #[must_use]
    pub fn wanted(&self, margin: f64) -> Vec<f64> {
        let d = self.width();
        let mut wanted = vec![0.0; self.steps * d];
        for api in 0..self.len() {
            for (cell, total) in wanted.iter_mut().enumerate() {
                let at = api * d + cell % d;
                let least = if self.tiers[api] == Tier::Gold {
                    self.floor[at]
                } else {
                    0.0
                };
                let need = self.demand[api * self.steps * d + cell].max(least);
                *total += need.min(self.ceiling[at]);
            }
        }
        for (cell, total) in wanted.iter_mut().enumerate() {
            *total = (*total * (1.0 + margin)).min(self.capacity_max[cell % d]);
        }
        wanted
    }

    /// Checks every shape and range.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] naming the column, the place and the value.
    pub fn validate(&self) -> Result<(), Error> {
        let (n, s, d) = (self.len(), self.steps, self.width());
        if s == 0 || d == 0 {
            return Err(Error::InvalidInput(format!(
                "a pool has at least one step and one dimension, here {s} and {d}"
            )));
        }
        for (k, dimension) in self.dimensions.iter().enumerate() {
            if self.dimensions[..k].contains(dimension) {
                let name = dimension.name();
                return Err(Error::InvalidInput(format!(
                    "dimension {name} occurs twice"
                )));
            }
        }
        let (nd, nsd) = (n.saturating_mul(d), n.saturating_mul(s).saturating_mul(d));
        let amount = |v: f64| (0.0..HUGE).contains(&v);
        let bound = |v: f64| v >= 0.0;
        column(
            "capacity",
            &self.capacity,
            s.saturating_mul(d),
            "in 0..1e250",
            amount,
        )?;
        column("capacity-max", &self.capacity_max, d, ">= 0", bound)?;
        column("weights", &self.weights, n, "in 1e-100..1e100", |v| {
            (1e-100..1e100).contains(&v)
        })?;
        column("floor", &self.floor, nd, "in 0..1e250", amount)?;
        column("ceiling", &self.ceiling, nd, ">= 0", bound)?;
        column("demand", &self.demand, nsd, "in 0..1e250", amount)?;
        column("median", &self.median, nsd, "in 0..1e250", amount)?;
        column("expected", &self.expected, nd, "in 0..1e250", amount)?;
        column("usage", &self.usage, nd, "in 0..1e250", amount)?;
        let previous = |v: f64| v < HUGE;
        column(
            "previous-guaranteed",
            &self.previous_guaranteed,
            nd,
            "below 1e250",
            previous,
        )?;
        column(
            "previous-limit",
            &self.previous_limit,
            nd,
            "below 1e250",
            previous,
        )?;
        column("step-up", &self.step_up, n, ">= 1", |v| v >= 1.0)?;
        column("step-down", &self.step_down, n, "in 0..=1", |v| {
            (0.0..=1.0).contains(&v)
        })?;
        column("quota", &self.quota, self.quota.len(), ">= 0", bound)?;
        length("tiers", self.tiers.len(), n)?;
        length("tenants", self.tenants.len(), n)?;
        length("emergency", self.emergency.len(), n)?;
        length("lends", self.lends.len(), n)?;
        length("borrows", self.borrows.len(), n)?;
        column("max-share", &self.max_share, 3, "in 0..=1", |v| {
            (0.0..=1.0).contains(&v)
        })?;
        if !self.quota.len().is_multiple_of(d) {
            return Err(Error::InvalidInput(format!(
                "quota has {} values, not a multiple of the {d} dimensions",
                self.quota.len()
            )));
        }
        let tenants = self.quota.len() / d;
        match self.tenants.iter().position(|&t| t as usize >= tenants) {
            Some(api) => Err(Error::InvalidInput(format!(
                "tenants[{api}] is {}, but quota has {tenants} rows",
                self.tenants[api]
            ))),
            None => Ok(()),
        }
    }
}

/// Refuses a column of the wrong length or with a value outside of its range.
pub(crate) fn column(
    name: &str,
    values: &[f64],
    expected: usize,
    range: &str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), Error> {
    length(name, values.len(), expected)?;
    match values.iter().position(|&v| !holds(v)) {
        Some(at) => Err(Error::InvalidInput(format!(
            "{name}[{at}] is {}, but every value must be {range}",
            values[at]
        ))),
        None => Ok(()),
    }
}

fn length(name: &str, got: usize, expected: usize) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::InvalidInput(format!(
        "{name} has {got} values where the pool's shape asks for {expected}"
    )))
}
