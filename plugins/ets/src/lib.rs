//! Exponential smoothing as a component: glue over [`tidegate_model_ets`], which has the thinking.
//!
//! Nothing is decided here. The state's own encoding is used, because it checks what it reads.

tidegate_guest::forecaster_of!(Ets, tidegate_model_ets, [validate]);
