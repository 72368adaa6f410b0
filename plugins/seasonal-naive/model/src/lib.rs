//! The seasonal-naive policy as a pure crate.
