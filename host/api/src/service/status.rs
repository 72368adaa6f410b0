//! How the daemon fares, over the wire. The port counts; what is a summary and who is told by name is
//! decided here, so that an answer stays small however many series there are.

use super::Shared;
use crate::auth::caller;
use crate::convert::forecasts::champion_out;
use std::sync::Arc;
use tidegate_core::forecast::{Champion, Verdict};
use tidegate_core::ids::Name;
use tidegate_core::ports::health::{HeldSpan, StoreHealth};
use tidegate_core::ports::serve::{Extent, Fares, Holds};
use tidegate_proto::v1;
use tidegate_proto::v1::status_server::Status as Service;
use tonic::{Request, Response, Status};

/// Series that are told by name.
const WORST: usize = 20;

#[tonic::async_trait]
impl Service for Shared {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let caller = caller(&request)?;
        let fares = self.blocking(move |gate| gate.fares(&caller)).await?;
        Ok(Response::new(fares_out(fares)))
    }

    async fn copy_store(
        &self,
        request: Request<v1::CopyStoreRequest>,
    ) -> Result<Response<v1::CopyStoreResponse>, Status> {
        let caller = caller(&request)?;
        let v1::CopyStoreRequest { name, extent } = request.into_inner();
        let parsed: Result<Name, _> = name.parse();
        let name = parsed.map_err(|e| Status::invalid_argument(format!("name: `{name}`: {e}")))?;
        let extent = match v1::CopyExtent::try_from(extent) {
            Ok(v1::CopyExtent::Unspecified) => Extent::Replay,
            Ok(v1::CopyExtent::Whole) => Extent::Whole,
            Err(_) => {
                let text = format!(
                    "extent: {extent} is none that this daemon knows; it may be older than the caller"
                );
                return Err(Status::invalid_argument(text));
            }
        };
        let here = Arc::new(());
        // Held for as long as this call is: a caller who hangs up ends it, and the copy is nobody's then.
        let caller_waits = Arc::downgrade(&here);
        let (path, bytes) = self
            .blocking(move |gate| {
                let waits = || caller_waits.strong_count() > 0;
                gate.copy_store(&caller, &name, extent, &waits)
            })
            .await?;
        drop(here);
        Ok(Response::new(v1::CopyStoreResponse { path, bytes }))
    }

    async fn get_store(
        &self,
        request: Request<v1::GetStoreRequest>,
    ) -> Result<Response<v1::GetStoreResponse>, Status> {
        let caller = caller(&request)?;
        let holds = self
            .blocking(move |gate| gate.survey_store(&caller))
            .await?;
        Ok(Response::new(holds_out(holds)))
    }
}

fn holds_out(holds: Holds) -> v1::GetStoreResponse {
    let kinds = holds.kinds.into_iter();
    v1::GetStoreResponse {
        disk_bytes: holds.disk_bytes,
        series: holds.series,
        head_samples: holds.head_samples,
        sealed_samples: holds.sealed_samples,
        blocks: holds.blocks.0,
        block_bytes: holds.blocks.1,
        wal_records: holds.wal.0,
        wal_bytes: holds.wal.1,
        ledger_records: holds.ledger.0,
        ledger_bytes: holds.ledger.1,
        oldest_ms: holds.span.map(|(oldest, _)| oldest.0),
        newest_ms: holds.span.map(|(_, newest)| newest.0),
        kinds: kinds
            .map(|(kind, values, bytes)| v1::StoredKind {
                kind,
                values,
                bytes,
            })
            .collect(),
        health: Some(health_out(&holds.health)),
    }
}

fn health_out(health: &StoreHealth) -> v1::StoreHealth {
    let held = |of: HeldSpan| v1::HeldSpan {
        blocks: of.blocks,
        bytes: of.bytes,
        oldest_ms: of.oldest.map(|at| at.0),
    };
    v1::StoreHealth {
        disk_bytes: health.disk_bytes,
        free_bytes: health.free_bytes,
        raw: Some(held(health.raw)),
        five_minutes: Some(held(health.five_minutes)),
        hour: Some(held(health.hour)),
        head_samples: health.head.0,
        head_bytes: health.head.1,
        wal_records: health.wal.0,
        wal_bytes: health.wal.1,
        ledger_records: health.ledger.0,
        ledger_bytes: health.ledger.1,
        sealing_groups: health.sealing_groups,
        unrolled_blocks: health.unrolled_blocks,
        dropped: health.dropped.map(|dropped| v1::RetentionDrop {
            at_ms: dropped.at.0,
            blocks: dropped.blocks,
            bytes: dropped.bytes,
            early_blocks: dropped.early_blocks,
            early_bytes: dropped.early_bytes,
        }),
        over_bytes: health.over_bytes,
        backup: health.backup.map(|backup| v1::LastBackup {
            at_ms: backup.at.0,
            bytes: backup.bytes,
            checked: backup.is_checked,
        }),
    }
}

fn fares_out(fares: Fares) -> v1::GetStatusResponse {
    let forecasts = summary(&fares.champions);
    let ledger = fares.ledger.into_iter().map(|kept| v1::KeptRecords {
        pool: kept.pool.to_string(),
        oldest: kept.plans.0.0,
        newest: kept.plans.1.0,
        since_ms: kept.since.0,
        bytes: kept.bytes,
    });
    v1::GetStatusResponse {
        version: fares.version,
        started_at_ms: fares.started_at.0,
        store_bytes: fares.store.as_ref().map(|store| store.disk_bytes),
        store: fares.store.as_ref().map(health_out),
        apis: fares.apis,
        series: fares.series,
        modules: fares.modules,
        forecasts: Some(forecasts),
        ledger: ledger.collect(),
    }
}

fn summary(champions: &[Champion]) -> v1::ForecastSummary {
    let count = |verdict| champions.iter().filter(|c| c.verdict == verdict).count() as u64;
    let mut worst: Vec<&Champion> = champions
        .iter()
        .filter(|c| c.verdict == Verdict::NotBetter)
        .collect();
    let loss = |c: &Champion| c.loss.unwrap_or(f64::INFINITY);
    worst.sort_by(|a, b| loss(b).total_cmp(&loss(a)).then(a.key.cmp(&b.key)));
    v1::ForecastSummary {
        better: count(Verdict::Better),
        not_better: count(Verdict::NotBetter),
        too_early: count(Verdict::TooEarly),
        worst: worst.into_iter().take(WORST).map(champion_out).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::module::ModuleRef;
    use tidegate_core::sample::SeriesKey;
    use tidegate_core::units::Signal;

    fn champion(n: u32, loss: Option<f64>, verdict: Verdict) -> Champion {
        Champion {
            key: SeriesKey {
                api: format!("shop/api-{n:02}").parse().unwrap(),
                signal: Signal::Requests,
            },
            module: ModuleRef::native("last-value"),
            loss,
            verdict,
            outcomes: 40,
        }
    }

    #[test]
    fn who_is_not_better_is_told_by_name_worst_first_and_only_so_many() {
        let losing = (0..30).map(|n| {
            let loss = 1.0 + f64::from(n % 10) / 10.0;
            champion(n, Some(loss), Verdict::NotBetter)
        });
        let mut all: Vec<Champion> = losing.collect();
        all.push(champion(30, Some(0.5), Verdict::Better));
        all.push(champion(31, None, Verdict::TooEarly));
        all.push(champion(32, None, Verdict::TooEarly));
        let told = summary(&all);
        assert_eq!((told.better, told.not_better, told.too_early), (1, 30, 2));
        assert_eq!(told.worst.len(), WORST);
        let names: Vec<&str> = told.worst.iter().take(4).map(|s| s.api.as_str()).collect();
        assert_eq!(
            names,
            ["shop/api-09", "shop/api-19", "shop/api-29", "shop/api-08"]
        );
        assert!(told.worst.iter().all(|s| s.loss > Some(1.25)));
    }
}
