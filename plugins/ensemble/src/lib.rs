//! The combination of forecasters as a component: glue over [`tidegate_model_ensemble`].
//!
//! Nothing is decided here. The state's own encoding is used, because it checks what it reads.

tidegate_guest::forecaster_of!(Ensemble, tidegate_model_ensemble, [validate]);
