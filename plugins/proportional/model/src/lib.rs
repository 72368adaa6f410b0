//! The proportional policy as a pure crate.
