//! The sequential-judge policy as a pure crate.
