//! The slo-tiers policy as a component.
