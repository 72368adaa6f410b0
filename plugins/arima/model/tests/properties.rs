//! The laws of every forecaster, held by this one.

tidegate_model_kit::forecaster_laws!(tidegate_model_arima);
