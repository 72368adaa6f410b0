//! Turns a plugin crate into a validated component.
