//! What stood in for a past that a series did not have, when it was fitted.
//!
//! Somebody who reads a forecast of an hour-old api has to know that its day is a guess.

use std::fmt;

/// A cold start: the model learned the usual day of other apis, scaled to this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prior {
    /// The category whose day it is.
    pub category: String,
    /// How many apis of the same tenant and category it was taken from.
    pub peers: u32,
    /// Seconds of own data that were there.
    pub own_s: u32,
}

/// `cold start: profile of category web from 3 apis, 2.0 h of own data`.
impl fmt::Display for Prior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            category, peers, ..
        } = self;
        let apis = if *peers == 1 { "api" } else { "apis" };
        let hours = f64::from(self.own_s) / 3600.0;
        write!(
            f,
            "cold start: profile of category {category} from {peers} {apis}, {hours:.1} h of own data"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_start_reads_as_a_sentence() {
        let prior = Prior {
            category: "web".into(),
            peers: 3,
            own_s: 9000,
        };
        let text = "cold start: profile of category web from 3 apis, 2.5 h of own data";
        assert_eq!(prior.to_string(), text);
    }
}
