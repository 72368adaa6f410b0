//! Tests: harness.
