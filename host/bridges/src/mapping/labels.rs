//! Labels: names to values, sorted, each name once.
//!
//! A point's own labels come before those of what sends it, as in Prometheus' translation of OTLP.
//! Names are kept as they were sent; [`Labels::get`] finds `service.name` also where a sender wrote
//! `service_name`, since Prometheus before 3.0 could not write a dot.

/// Sorted pairs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// From pairs, of which the first of a name stands.
    #[must_use]
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let mut pairs = pairs;
        // Stable: the first of a name stays first.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self(pairs)
    }

    /// The value of a label, by its name or with `_` for each `.` of it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.exactly(name).or_else(|| {
            if name.contains('.') {
                self.exactly(&name.replace('.', "_"))
            } else {
                None
            }
        })
    }

    fn exactly(&self, name: &str) -> Option<&str> {
        let at = self
            .0
            .binary_search_by(|(n, _)| n.as_str().cmp(name))
            .ok()?;
        Some(self.0[at].1.as_str()).filter(|v| !v.is_empty())
    }

    /// The first of several names that has a value.
    #[must_use]
    pub fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &str)> {
        names.iter().find_map(|n| Some((*n, self.get(n)?)))
    }

    /// All pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}
