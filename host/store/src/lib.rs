//! The only crate that sees sled.
