//! Generated code of tidegate.v1.
