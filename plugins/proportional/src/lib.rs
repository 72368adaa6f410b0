//! The proportional policy as a component.
