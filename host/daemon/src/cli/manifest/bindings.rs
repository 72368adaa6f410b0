//! Bindings as people declare them: a module by its name alone, or with a config, and a gate in
//! percents and durations.

use super::amounts::Share;
use super::objects::{Kind, Selector};
use crate::config::Seconds;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tidegate_client::v1;

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModuleKind {
    Forecaster,
    Tierer,
    Allocator,
    Judge,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Binding {
    #[serde(rename = "kind")]
    _kind: Kind,
    name: String,
    #[serde(rename = "type")]
    kind: ModuleKind,
    #[serde(default)]
    selector: Selector,
    module: String,
    config: Option<serde_json::Value>,
    #[serde(default)]
    challengers: Vec<Beside>,
    shadow: Option<Beside>,
    gate: Option<Gate>,
}

/// When a shadow is promoted; what is left out is as by default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    promote: Option<Promotion>,
    alpha: Option<Share>,
    margin: Option<Share>,
    #[serde(alias = "min_duration_s")]
    min_duration: Option<Seconds>,
    #[serde(alias = "max_duration_s")]
    max_duration: Option<Seconds>,
    #[serde(alias = "watch_s")]
    watch: Option<Seconds>,
    backtest: Option<Backtest>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Promotion {
    Automatic,
    Manual,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backtest {
    #[serde(alias = "window_s")]
    window: Seconds,
    worse_by: Share,
}

impl From<Gate> for v1::Gate {
    fn from(g: Gate) -> Self {
        let promote = match g.promote {
            None => v1::Promotion::Unspecified,
            Some(Promotion::Automatic) => v1::Promotion::Automatic,
            Some(Promotion::Manual) => v1::Promotion::Manual,
        };
        v1::Gate {
            promote: promote.into(),
            alpha: g.alpha.map(|a| (a.0 * 10_000.0).round() as u32),
            margin: g.margin.map(|m| m.0),
            min_duration_s: g.min_duration.map(|s| s.0),
            max_duration_s: g.max_duration.map(|s| s.0),
            watch_s: g.watch.map(|s| s.0),
            backtest: g.backtest.map(|b| v1::BacktestGate {
                window_s: b.window.0,
                worse_by: b.worse_by.0,
            }),
        }
    }
}

/// A module beside a binding's own, a challenger or a shadow: its name alone, or a map with a config.
#[derive(Debug)]
struct Beside {
    module: String,
    config: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    module: String,
    config: Option<serde_json::Value>,
}

impl<'de> Deserialize<'de> for Beside {
    /// By hand and not as an untagged enum, which would say of every mistake only that nothing fits.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Beside;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a module, or `{module: NAME, config: {...}}`")
            }

            fn visit_str<E: serde::de::Error>(self, module: &str) -> Result<Beside, E> {
                Ok(Beside {
                    module: module.to_owned(),
                    config: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Beside, A::Error> {
                let read = Configured::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Beside {
                    module: read.module,
                    config: read.config,
                })
            }
        }

        from.deserialize_any(Either)
    }
}

/// A config as JSON text; what was written as text stays as it is.
fn config(given: Option<serde_json::Value>) -> String {
    match given {
        None => String::new(),
        Some(serde_json::Value::String(text)) => text,
        Some(map) => map.to_string(),
    }
}

impl From<Binding> for v1::Binding {
    fn from(b: Binding) -> Self {
        let kind = match b.kind {
            ModuleKind::Forecaster => v1::ModuleKind::Forecaster,
            ModuleKind::Tierer => v1::ModuleKind::Tierer,
            ModuleKind::Allocator => v1::ModuleKind::Allocator,
            ModuleKind::Judge => v1::ModuleKind::Judge,
        };
        v1::Binding {
            name: b.name,
            kind: kind.into(),
            selector: Some(b.selector.into()),
            module: b.module,
            config: config(b.config),
            challengers: b
                .challengers
                .into_iter()
                .map(|c| v1::Challenger {
                    module: c.module,
                    config: config(c.config),
                })
                .collect(),
            shadow: b.shadow.map(|s| v1::ShadowModule {
                module: s.module,
                config: config(s.config),
            }),
            gate: b.gate.map(Into::into),
        }
    }
}
