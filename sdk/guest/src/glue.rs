//! The usual glue between a model crate and the trait of forecasters.
//!
//! Six of the shipped forecasters differ in nothing but their names: the thinking is in their models.
//! A macro of plain rules and not a blanket impl over a trait of models, because models do not know
//! this crate, and the exported type must be the plugin's own. A model with other names, or more to
//! decide, implements [`ForecasterPolicy`](crate::ForecasterPolicy) by hand.

/// Makes a policy of a model crate, and exports it: `forecaster_of!(Ets, tidegate_model_ets)`.
///
/// For models of one series each that have the usual names: `Config`, `CONFIG_SCHEMA`, `FORMAT`,
/// `State` with `update_with`, `predict_with`, `encode` and `decode`, and `fit_with`. In brackets,
/// what else the crate has: `validate` (of the config), `migrate` (of older states).
#[macro_export]
macro_rules! forecaster_of {
    ($policy:ident, $model:ident $(, [$($also:ident),*])?) => {
        /// The policy.
        #[derive(Debug)]
        pub struct $policy;

        impl $crate::Policy for $policy {
            const CONFIG_SCHEMA: &str = $model::CONFIG_SCHEMA;
            const STATE_FORMAT: u32 = $model::FORMAT;
            type Config = $model::Config;
            type State = $model::State;

            $($($crate::__also!($also, $model);)*)?

            // The state's own encoding, because it checks what it reads.
            fn encode(state: &$model::State) -> Result<Vec<u8>, $crate::Error> {
                state.encode()
            }

            fn decode(bytes: &[u8]) -> Result<$model::State, $crate::Error> {
                $model::State::decode(bytes)
            }
        }

        impl $crate::ForecasterPolicy for $policy {
            fn fit(
                config: &$model::Config,
                history: &$crate::SeriesView<'_>,
            ) -> Result<$model::State, $crate::Error> {
                $model::fit_with(config, &history.series(), &history.covariates.known())
            }

            fn update(
                _: &$model::Config,
                state: &mut $model::State,
                rows: &$crate::SeriesView<'_>,
            ) -> Result<(), $crate::Error> {
                state.update_with(rows.values, &rows.covariates.known());
                Ok(())
            }

            fn predict(
                _: &$model::Config,
                state: &$model::State,
                ask: &$crate::Horizon<'_>,
            ) -> Result<$crate::Prediction, $crate::Error> {
                state.predict_with(ask.steps, ask.levels, ask.seed, &ask.covariates.known())
            }
        }

        $crate::export_forecaster!($policy);
    };
}

/// What only some model crates have.
#[doc(hidden)]
#[macro_export]
macro_rules! __also {
    (validate, $model:ident) => {
        fn validate(config: &$model::Config) -> Result<(), $crate::Error> {
            config.validate()
        }
    };
    (migrate, $model:ident) => {
        fn migrate(format: u32, bytes: &[u8]) -> Result<$model::State, $crate::Error> {
            $model::migrate(format, bytes)
        }
    };
}
