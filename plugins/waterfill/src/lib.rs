//! The waterfill policy as a component.
