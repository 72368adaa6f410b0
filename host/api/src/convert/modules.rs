//! Modules, slots and forecasts on the wire. Digests travel as text, because a person compares them
//! with what `tidegate policy list` printed; levels as integers, because a float is not a key.

use super::words::{digest_out, module_kind_out, module_ref_out, served_out, signal_out};
use tidegate_core::forecast::Forecast;
use tidegate_core::ports::serve::{ForecastView, ModuleInfo, SlotInfo};
use tidegate_proto::v1;

/// A module on the wire.
pub(crate) fn module_out(info: ModuleInfo) -> v1::Module {
    let manifest = info.manifest;
    v1::Module {
        digest: info.digest.to_string(),
        manifest: Some(v1::Manifest {
            name: manifest.name,
            version: manifest.version,
            kind: module_kind_out(manifest.kind).into(),
            interface: manifest.interface,
            config_schema: manifest.config_schema,
            memory_bytes: manifest.memory_bytes,
            deadline_ms: manifest.deadline_ms,
            description: manifest.description,
        }),
        size: info.size,
        admitted_at_ms: info.admitted_at.0,
        pushed_by: info.pushed_by,
        quarantined: info.quarantined,
        serving: info.serving.iter().map(ToString::to_string).collect(),
    }
}

/// A slot on the wire.
pub(crate) fn slot_out(info: &SlotInfo) -> v1::Slot {
    v1::Slot {
        binding: info.binding.to_string(),
        kind: module_kind_out(info.kind).into(),
        active: Some(module_ref_out(&info.active)),
        last_good: info.last_good.as_ref().map(module_ref_out),
        epoch: info.epoch,
        calls: info.calls,
        faults: info.faults,
    }
}

/// A forecast with its recent history, on the wire.
pub(crate) fn forecast_out(view: ForecastView) -> v1::GetForecastResponse {
    let (recent_start, recent) = view.recent;
    v1::GetForecastResponse {
        forecast: Some(grid_out(view.forecast)),
        recent_start_ms: recent_start.0,
        recent,
        fitted_at_ms: view.fitted_at.0,
    }
}

fn grid_out(forecast: Forecast) -> v1::Forecast {
    v1::Forecast {
        api: forecast.key.api.to_string(),
        signal: signal_out(forecast.key.signal).into(),
        start_ms: forecast.grid.start.0,
        step_s: forecast.grid.step.secs(),
        levels: forecast.levels.iter().map(|l| l.get().into()).collect(),
        mean: forecast.mean,
        quantiles: forecast.quantiles,
        served: Some(served_out(&forecast.served)),
        state: digest_out(&forecast.state),
    }
}
