//! The waterfill policy as a pure crate.
