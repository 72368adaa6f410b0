//! The seasonal-naive policy as a component.
