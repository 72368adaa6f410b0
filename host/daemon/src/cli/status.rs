//! `tidegate status`, `alerts` and `advance`: how the daemon fares.

use super::connect::Session;
use super::errors::Told as _;
use super::{get, health, json, policy, standing, words};
use crate::clock::wall;
use crate::config::Seconds;
use crate::render::table::Table;
use anyhow::Result;
use serde_json::json;
use tidegate_client::v1;
use tidegate_client::v1::object::Object as Which;
use tidegate_core::time::Timestamp;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// To when.
#[derive(Debug, clap::Args)]
pub(crate) struct AdvanceArgs {
    /// RFC 3339, or seconds since the epoch
    #[arg(value_parser = words::parse_instant)]
    time: i64,
}

/// Tells how the daemon fares.
pub(crate) async fn run(session: Session) -> Result<()> {
    let client = &session.client;
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let health = HealthClient::new(client.transport())
        .check(request)
        .await
        .told()?;
    let health = match health.status() {
        ServingStatus::Serving => "serving",
        ServingStatus::NotServing => "not serving: it starts or drains",
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => "unknown",
    };
    let fares = client
        .status()
        .get_status(v1::GetStatusRequest {})
        .await
        .told()?;
    let now = client.clock().now(v1::NowRequest {}).await.told()?.now_ms;
    let pools = client
        .plans()
        .list_pools(v1::ListPoolsRequest {})
        .await
        .told()?
        .pools;
    let slots = client
        .policies()
        .list_slots(v1::ListSlotsRequest {})
        .await
        .told()?
        .slots;
    let alerts = client
        .alerts()
        .list_alerts(v1::ListAlertsRequest {})
        .await
        .told()?
        .alerts;
    let applied = client
        .plans()
        .list_applied(v1::ListAppliedRequest {})
        .await
        .told()?
        .reports;
    let tenants = tenants(client).await?;
    session.print(
        || {
            let pools = pools
                .iter()
                .map(|p| json!({"pool": p.pool, "generation": p.generation}));
            json!({
                "server": session.server, "health": health, "now": json::instant(now),
                "version": fares.version, "client_version": env!("CARGO_PKG_VERSION"),
                "started_at": json::instant(fares.started_at_ms), "store_bytes": fares.store_bytes,
                "store": fares.store.as_ref().map(|store| health::as_json(&health::taken(store))),
                "ledger": kept(&fares.ledger),
                "apis": fares.apis, "series": fares.series, "modules": fares.modules,
                "forecasts": forecasts(&fares), "pools": pools.collect::<Vec<_>>(),
                "slots": slots.iter().map(json::slot).collect::<Vec<_>>(),
                "tenants": tenants.iter().map(json::usage).collect::<Vec<_>>(),
                "alerts": alerts.iter().map(json::alert).collect::<Vec<_>>(),
                "enforcers": applied.iter().map(enforcer).collect::<Vec<_>>(),
            })
        },
        || {
            let mut text = format!(
                "{} is {health}; its clock says {}\n{}\n\n",
                session.server,
                words::instant(now),
                about(&fares, env!("CARGO_PKG_VERSION"), wall())
            );
            text += &match pools.is_empty() {
                true => "no pool is declared; `tidegate apply -f FILE` declares some\n".to_owned(),
                false => pools_table(&pools, &fares.ledger),
            };
            if !slots.is_empty() {
                text += &format!("\n{}", policy::table(&slots));
            }
            if !tenants.is_empty() {
                let mut table = Table::new(&[
                    "tenant",
                    "series",
                    "samples/s",
                    "modules",
                    "refused",
                    "pools",
                ]);
                for tenant in &tenants {
                    table.row(get::row(&Which::Tenant(tenant.clone())));
                }
                text += &format!("\n{table}");
            }
            if let Some(store) = &fares.store {
                text += &format!("\n{}\n", health::as_text(&health::taken(store)));
            }
            let standing = fares.forecasts.clone().unwrap_or_default();
            text += &format!("\n{}", standing::summary(&standing));
            let fallen = applied.iter().filter(|r| r.safe).count();
            text += &format!(
                "\n{} reports of enforcers, {fallen} of them on safe capacity\n",
                applied.len()
            );
            text += &match alerts.len() {
                0 => "no alerts\n".to_owned(),
                1 => "1 alert; `tidegate alerts` shows it\n".to_owned(),
                n => format!("{n} alerts; `tidegate alerts` shows them\n"),
            };
            text
        },
    )
}

/// Pools with their newest plan, and how far back plans can be explained, where that is told.
fn pools_table(pools: &[v1::PoolPlan], ledger: &[v1::KeptRecords]) -> String {
    let mut table = match ledger.is_empty() {
        true => Table::new(&["pool", "newest plan"]),
        false => Table::new(&["pool", "newest plan", "records since", "records", "size"]),
    };
    for pool in pools {
        let generation = match pool.generation {
            0 => "none yet".into(),
            g => format!("generation {g}"),
        };
        let mut row = vec![pool.pool.clone(), generation];
        if !ledger.is_empty() {
            let kept = ledger.iter().find(|kept| kept.pool == pool.pool);
            row.extend(match kept {
                Some(kept) => [
                    words::instant(kept.since_ms),
                    (kept.newest - kept.oldest + 1).to_string(),
                    format!("{}B", words::bytes(kept.bytes as f64)),
                ],
                None => ["-", "-", "-"].map(str::to_owned),
            });
        }
        table.row(row);
    }
    table.to_string()
}

fn kept(ledger: &[v1::KeptRecords]) -> Vec<serde_json::Value> {
    let one = |kept: &v1::KeptRecords| {
        json!({
            "pool": kept.pool, "oldest": kept.oldest, "newest": kept.newest,
            "since": json::instant(kept.since_ms), "bytes": kept.bytes,
        })
    };
    ledger.iter().map(one).collect()
}

/// What runs there, since when, and how much it holds.
fn about(fares: &v1::GetStatusResponse, client: &str, wall: Timestamp) -> String {
    let mut text = format!("tidegate {}", fares.version);
    if fares.version != client {
        text += &format!(
            " (this command is tidegate {client}: what only one of them knows will not work)"
        );
    }
    // A machine whose clock is behind the daemon's must not tell of a negative age.
    let up_s = wall.since_ms(Timestamp(fares.started_at_ms)).max(0) / 1000;
    let up = Seconds(u32::try_from(up_s).unwrap_or(u32::MAX));
    text += &format!(
        ", up {up} since {}\n{} apis, {} series, {} modules",
        words::instant(fares.started_at_ms),
        fares.apis,
        fares.series,
        fares.modules
    );
    if let Some(bytes) = fares.store_bytes {
        text += &format!(", {}B on disk", words::bytes(bytes as f64));
    }
    text
}

fn forecasts(fares: &v1::GetStatusResponse) -> serde_json::Value {
    let summary = fares.forecasts.clone().unwrap_or_default();
    json!({
        "better": summary.better, "not_better": summary.not_better, "too_early": summary.too_early,
        "worst": summary.worst.iter().map(json::standing).collect::<Vec<_>>(),
    })
}

/// Tenants that the caller may see, with what they use; the first page is enough for a glance.
async fn tenants(client: &tidegate_client::Client) -> Result<Vec<v1::Tenant>> {
    let request = v1::ListObjectsRequest {
        kind: v1::ObjectKind::Tenant.into(),
        ..v1::ListObjectsRequest::default()
    };
    let page = client.catalog().list(request).await.told()?;
    let objects = page.objects.into_iter().filter_map(|o| o.object?.object);
    Ok(objects
        .filter_map(|object| match object {
            Which::Tenant(tenant) => Some(tenant),
            _ => None,
        })
        .collect())
}

fn enforcer(report: &v1::AppliedReport) -> serde_json::Value {
    json!({
        "api": report.api, "actuator": report.actuator, "generation": report.generation,
        "at": json::instant(report.at_ms), "limit": json::resources(report.limit.as_ref()), "safe": report.safe,
    })
}

/// Lists what stands.
pub(crate) async fn alerts(session: Session) -> Result<()> {
    let alerts = session
        .client
        .alerts()
        .list_alerts(v1::ListAlertsRequest {})
        .await
        .told()?
        .alerts;
    session.print(
        || alerts.iter().map(json::alert).collect(),
        || {
            if alerts.is_empty() {
                return "no alerts".into();
            }
            let mut table = Table::new(&["severity", "kind", "where", "seen", "what"]);
            for alert in &alerts {
                let place = alert
                    .api
                    .clone()
                    .or_else(|| alert.pool.clone())
                    .unwrap_or_else(|| alert.subject.clone());
                table.row(vec![
                    words::lower(alert.severity().as_str_name(), "SEVERITY_"),
                    words::lower(alert.kind().as_str_name(), "ALERT_KIND_").replace('_', " "),
                    place,
                    words::instant(alert.at_ms),
                    alert.message.clone(),
                ]);
            }
            table.to_string()
        },
    )
}

/// Moves a driven clock.
pub(crate) async fn advance(args: AdvanceArgs, session: Session) -> Result<()> {
    let request = v1::AdvanceRequest { now_ms: args.time };
    let now = session.client.clock().advance(request).await.told()?.now_ms;
    session.print(
        || json!({"now": json::instant(now)}),
        || format!("the clock says {}", words::instant(now)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_another_version_is_told_and_its_age_is_never_negative() {
        let fares = v1::GetStatusResponse {
            version: "0.2.0".into(),
            started_at_ms: 60_000,
            store_bytes: Some(3 << 20),
            apis: 2,
            series: 9,
            modules: 14,
            forecasts: None,
            ledger: vec![],
            store: None,
        };
        let same = about(&fares, "0.2.0", Timestamp(3_660_000));
        assert!(
            same.starts_with("tidegate 0.2.0, up 1h since 1970"),
            "{same}"
        );
        assert!(
            same.ends_with("2 apis, 9 series, 14 modules, 3MiB on disk"),
            "{same}"
        );
        let other = about(&fares, "0.1.0", Timestamp(0));
        assert!(other.contains("this command is tidegate 0.1.0"), "{other}");
        assert!(other.contains("up 0s"), "{other}");
    }
    #[test]
    fn a_pool_is_told_with_how_far_back_its_plans_can_be_explained() {
        let pool = |pool: &str, generation| v1::PoolPlan {
            pool: pool.into(),
            generation,
        };
        let pools = [pool("edge", 12), pool("new", 0)];
        assert!(!pools_table(&pools, &[]).contains("records"));
        let kept = v1::KeptRecords {
            pool: "edge".into(),
            oldest: 3,
            newest: 12,
            since_ms: 60_000,
            bytes: 3 << 20,
        };
        let told = pools_table(&pools, &[kept]);
        let edge = told.lines().find(|line| line.starts_with("edge")).unwrap();
        let cells: Vec<&str> = edge.split_whitespace().collect();
        assert_eq!(cells[1..3], ["generation", "12"]);
        assert!(
            edge.contains("1970-01-01") && edge.contains(" 10 ") && edge.contains("MiB"),
            "{edge}"
        );
    }
}
