//! Regression with ARIMA errors as a component: glue over [`tidegate_model_arima`], which has the
//! thinking.
//!
//! Nothing is decided here. Events and other known values reach the model as they come.

tidegate_guest::forecaster_of!(Arima, tidegate_model_arima, [validate]);
