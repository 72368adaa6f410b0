//! Trend, seasons and events as a component: glue over [`tidegate_model_prophet`], which has the
//! thinking.
//!
//! Nothing is decided here. What is known beside the series (local calendar, declared events) is
//! handed on, because this model is the one that is made of it.

tidegate_guest::forecaster_of!(Prophet, tidegate_model_prophet, [validate]);
