//! The seasonal-naive forecaster as a component: glue over [`tidegate_model_seasonal_naive`], which has the thinking.
//!
//! Nothing is decided here. The state's own encoding is used, because it checks what it reads.

tidegate_guest::forecaster_of!(SeasonalNaive, tidegate_model_seasonal_naive, [validate]);
