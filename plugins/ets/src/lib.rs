//! The ets policy as a component.
