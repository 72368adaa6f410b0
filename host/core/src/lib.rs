//! Tidegate's vocabulary, invariants and ports: no I/O, no async, no clock.
