//! The sequential-judge policy as a component.
