//! The ets policy as a pure crate.
