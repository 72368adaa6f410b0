//! The laws of every forecaster, held by the combination of them.

tidegate_model_kit::forecaster_laws!(tidegate_model_ensemble);
