//! Signals, dimensions, resource vectors and quantile levels.

use std::fmt;

/// A measured quantity of an api.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Requests; sampled as a count per step, read as 1/s.
    Requests,
    /// Failed requests; sampled as a count per step, read as 1/s.
    Errors,
    /// Latency; sampled as a distribution, read as the mean in seconds.
    Latency,
    /// Cores.
    Cpu,
    /// Bytes.
    Memory,
    /// Bytes/s.
    Network,
    /// Operations/s.
    Io,
}

impl Signal {
    /// All, in their fixed order.
    pub const ALL: [Signal; 7] = [
        Signal::Requests,
        Signal::Errors,
        Signal::Latency,
        Signal::Cpu,
        Signal::Memory,
        Signal::Network,
        Signal::Io,
    ];

    /// The name in APIs, files and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Requests => "requests",
            Signal::Errors => "errors",
            Signal::Latency => "latency",
            Signal::Cpu => "cpu",
            Signal::Memory => "memory",
            Signal::Network => "network",
            Signal::Io => "io",
        }
    }

    /// The unit in which a frame gives it.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Signal::Requests | Signal::Errors => "1/s",
            Signal::Latency => "s",
            Signal::Cpu => "cores",
            Signal::Memory => "bytes",
            Signal::Network => "bytes/s",
            Signal::Io => "1/s",
        }
    }

    /// Whether a sample is a count over its step, so that reading it divides by the step.
    #[must_use]
    pub fn is_count(self) -> bool {
        matches!(self, Signal::Requests | Signal::Errors)
    }

    /// The signal of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
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
    /// 1/s.
    Requests,
}

impl Dimension {
    /// All, in their fixed order: the order of [`Resources`].
    pub const ALL: [Dimension; 5] = [
        Dimension::Cpu,
        Dimension::Memory,
        Dimension::Network,
        Dimension::Io,
        Dimension::Requests,
    ];

    /// What is forecast of an api in a pool of these dimensions: requests, then the resources.
    #[must_use]
    pub fn signals(dimensions: &[Dimension]) -> Vec<Signal> {
        let resources = dimensions.iter().map(|d| d.signal());
        std::iter::once(Signal::Requests)
            .chain(resources.filter(|s| *s != Signal::Requests))
            .collect()
    }

    /// The name in APIs, files and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Cpu => "cpu",
            Dimension::Memory => "memory",
            Dimension::Network => "network",
            Dimension::Io => "io",
            Dimension::Requests => "requests",
        }
    }

    /// The unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Dimension::Cpu => "cores",
            Dimension::Memory => "bytes",
            Dimension::Network => "bytes/s",
            Dimension::Io | Dimension::Requests => "1/s",
        }
    }

    /// The signal that measures its use.
    #[must_use]
    pub fn signal(self) -> Signal {
        match self {
            Dimension::Cpu => Signal::Cpu,
            Dimension::Memory => Signal::Memory,
            Dimension::Network => Signal::Network,
            Dimension::Io => Signal::Io,
            Dimension::Requests => Signal::Requests,
        }
    }

    /// The dimension of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

/// One amount per dimension, each in the dimension's unit. Absent means "not this pool's concern"
/// for a capacity, and 0 for a demand.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Resources([Option<f64>; 5]);

impl Resources {
    /// Nothing set.
    pub const NONE: Resources = Resources([None; 5]);

    /// Sets one dimension.
    #[must_use]
    pub fn with(mut self, dimension: Dimension, amount: f64) -> Self {
        self.0[dimension as usize] = Some(amount);
        self
    }

    /// The amount, if set.
    #[must_use]
    pub fn get(&self, dimension: Dimension) -> Option<f64> {
        self.0[dimension as usize]
    }

    /// The set dimensions in their fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Dimension, f64)> + '_ {
        Dimension::ALL
            .into_iter()
            .filter_map(|d| self.get(d).map(|amount| (d, amount)))
    }

    /// The set dimensions.
    #[must_use]
    pub fn dimensions(&self) -> Vec<Dimension> {
        self.iter().map(|(d, _)| d).collect()
    }

    /// Each amount through `f`.
    #[must_use]
    pub fn map(&self, mut f: impl FnMut(Dimension, f64) -> f64) -> Self {
        self.iter()
            .fold(Self::NONE, |r, (d, amount)| r.with(d, f(d, amount)))
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (d, amount) in self.iter() {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            write!(f, "{} {:.3} {}", d.name(), amount, d.unit())?;
        }
        if first {
            f.write_str("nothing")
        } else {
            Ok(())
        }
    }
}

/// A quantile level as an integer per 10,000, from 1 to 9,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u16);

impl Level {
    /// The median.
    pub const P50: Level = Level(5000);
    /// 90 %.
    pub const P90: Level = Level(9000);
    /// 99 %.
    pub const P99: Level = Level(9900);
    /// What every forecast is asked for: 50, 80 and 95 % intervals, the median, and the one-sided
    /// 90 and 99 % that tiers buy.
    pub const STANDARD: [Level; 9] = [
        Level(250),
        Level(1000),
        Level(2500),
        Level(5000),
        Level(7500),
        Level(9000),
        Level(9500),
        Level(9750),
        Level(9900),
    ];

    /// A level, if it lies between 1 and 9,999.
    #[must_use]
    pub const fn new(per_10_000: u16) -> Option<Self> {
        if 0 < per_10_000 && per_10_000 < 10_000 {
            Some(Self(per_10_000))
        } else {
            None
        }
    }

    /// Per 10,000.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// As a probability.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(100) {
            write!(f, "p{}", self.0 / 100)
        } else {
            write!(f, "p{}", f64::from(self.0) / 100.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        for s in Signal::ALL {
            assert_eq!(Signal::parse(s.name()), Some(s));
        }
        for d in Dimension::ALL {
            assert_eq!(Dimension::parse(d.name()), Some(d));
        }
        assert_eq!(Signal::parse("Requests"), None);
    }

    #[test]
    fn a_vector_keeps_its_order_and_tells_absent_from_zero() {
        let r = Resources::NONE
            .with(Dimension::Requests, 5.0)
            .with(Dimension::Cpu, 0.0);
        assert_eq!(r.dimensions(), [Dimension::Cpu, Dimension::Requests]);
        assert_eq!(r.get(Dimension::Memory), None);
        assert_eq!(Level::new(9975).unwrap().to_string(), "p99.75");
    }
}
