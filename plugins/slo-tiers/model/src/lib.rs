//! The slo-tiers policy as a pure crate.
