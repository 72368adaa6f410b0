//! Two tenants that share a pool, one of which bears a mark in everything that it has.

use super::wire::Wire;
use anyhow::{Context, Result};
use prost::Message as _;
use std::path::Path;
use tidegate_e2e::{Daemon, Gate, catalog, feed, gate};
use tidegate_proto::v1::object::Object;
use tidegate_proto::v1::{self, push_module_request::Part};
use tonic::transport::Channel;

/// Requests/s that only the bank has.
pub(super) const LOAD: f64 = 31_337.0;
/// The bank's quota of the shared pool.
pub(super) const QUOTA: f64 = 4_242.5;
/// Seconds of a step.
const STEP_S: u32 = 300;

/// A token is its name, since nobody outside the test may know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credential {
    pub(super) name: &'static str,
    pub(super) role: &'static str,
    pub(super) tenant: Option<&'static str>,
}

/// Every role, for one tenant and for all.
pub(super) const CREDENTIALS: [Credential; 7] = [
    of("shop-reader", "reader", Some("shop")),
    of("shop-writer", "writer", Some("shop")),
    of("shop-operator", "operator", Some("shop")),
    of("shop-admin", "admin", Some("shop")),
    of("reader", "reader", None),
    of("operator", "operator", None),
    of("root", "admin", None),
];

const fn of(name: &'static str, role: &'static str, tenant: Option<&'static str>) -> Credential {
    Credential { name, role, tenant }
}

/// The part of the configuration that knows the credentials.
pub(super) fn auth() -> String {
    let mut yaml = "auth:\n  tokens:\n".to_owned();
    for Credential { name, role, tenant } in CREDENTIALS {
        let sha256 = tidegate_core::ids::Digest::of(name.as_bytes());
        yaml += &format!("    - name: {name}\n      sha256: \"{sha256}\"\n      role: {role}\n");
        if let Some(tenant) = tenant {
            yaml += &format!("      tenants: [{tenant}]\n");
        }
    }
    yaml
}

/// See the module.
pub(super) struct World {
    pub(super) gate: Gate,
    pub(super) daemon: Daemon,
    pub(super) channel: Channel,
    /// The bank's module, as it was pushed, and its digest.
    pub(super) module: Vec<u8>,
    pub(super) digest: String,
    /// What the bank has in the catalog.
    pub(super) bank: Vec<Vec<u8>>,
}

/// A shipped component, as the daemon's build left it.
pub(super) fn shipped(name: &str) -> Result<Vec<u8>> {
    let binary = tidegate_e2e::binary()?;
    let target = binary
        .parent()
        .and_then(Path::parent)
        .context("the binary lies at the root")?;
    let components = target.join("guests").join("components");
    Ok(std::fs::read(components.join(format!("{name}.wasm")))?)
}

/// A component under another name of the same length: the manifest and the code both say it.
pub(super) fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(from.len())
        .position(|w| w == from.as_bytes())
    {
        bytes[at + found..at + found + to.len()].copy_from_slice(to.as_bytes());
        at += found + to.len();
    }
    bytes
}

/// A component with one more custom section: other bytes, the same policy.
pub(super) fn marked(component: &[u8], mark: u8) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.extend_from_slice(&[0, 3, 1, mark, 0]);
    bytes
}

/// The messages of an upload.
pub(super) fn upload(component: &[u8], tenant: &str) -> Vec<Vec<u8>> {
    let header = v1::PushModuleHeader {
        size: component.len() as u64,
        digest: String::new(),
        tenant: tenant.into(),
        signature: vec![],
    };
    let chunks = component.chunks(1 << 18);
    let parts =
        std::iter::once(Part::Header(header)).chain(chunks.map(|c| Part::Chunk(c.to_vec())));
    parts
        .map(|part| v1::PushModuleRequest { part: Some(part) }.encode_to_vec())
        .collect()
}

/// The question for a pool's newest plan.
pub(super) fn plan_of(pool: &str) -> v1::GetPlanRequest {
    v1::GetPlanRequest {
        pool: pool.into(),
        generation: None,
    }
}

/// A binding of a forecaster.
pub(super) fn binding(name: &str, tenant: &str, module: &str) -> Object {
    Object::Binding(v1::Binding {
        name: name.into(),
        kind: v1::ModuleKind::Forecaster.into(),
        selector: Some(v1::Selector {
            tenant: tenant.into(),
            ..v1::Selector::default()
        }),
        module: module.into(),
        config: String::new(),
        ..v1::Binding::default()
    })
}

/// A template of a tenant, of everybody where none is named, that says what its SLO is.
pub(super) fn template(name: &str, tenant: &str) -> Object {
    Object::Template(v1::Template {
        name: name.into(),
        selector: Some(v1::Selector {
            tenant: tenant.into(),
            category: "templated".into(),
            ..v1::Selector::default()
        }),
        weight: Some(2.0),
        ..v1::Template::default()
    })
}

/// A change set.
pub(super) fn set(objects: Vec<Object>, dry_run: bool) -> v1::ApplyRequest {
    v1::ApplyRequest {
        changes: objects.into_iter().map(catalog::put).collect(),
        dry_run,
    }
}

fn slo(name: &str, api: &str) -> Object {
    Object::Slo(v1::Slo {
        name: name.into(),
        api: api.into(),
        indicator: Some(v1::slo::Indicator::Availability(
            v1::AvailabilityIndicator {},
        )),
        objective: 0.99,
        window_s: 86_400,
        origin: None,
    })
}

fn event(name: &str, api: &str, kind: &str) -> Object {
    Object::Event(v1::Event {
        name: name.into(),
        apis: vec![api.into()],
        kind: kind.into(),
        start_ms: feed::START_MS + 86_400_000,
        duration_s: 3_600,
        ..v1::Event::default()
    })
}

fn objects() -> Vec<Object> {
    let mut objects = catalog::shop();
    let mut edge = v1::Pool {
        name: "edge".into(),
        ready: Some(catalog::requests(100.0)),
        ..v1::Pool::default()
    };
    edge.quotas
        .insert("zzqbank".into(), catalog::requests(QUOTA));
    let pay = v1::Api {
        labels: [("zzqlabel".to_owned(), "zzqvalue".to_owned())].into(),
        category: "zzqkind".into(),
        safe: Some(catalog::requests(5.0)),
        ..catalog::api("zzqbank/pay", "edge", v1::Tier::Gold)
    };
    objects.extend([
        Object::Pool(edge),
        catalog::pool("vault", 50.0),
        catalog::tenant("zzqbank"),
        Object::Api(pay),
        Object::Api(catalog::api("zzqbank/safe", "vault", v1::Tier::Bronze)),
        slo("zzqbank/slo", "zzqbank/pay"),
        event("zzqbank/sale", "zzqbank/pay", "zzqevent"),
        slo("shop/slo", "shop/orders"),
        event("shop/sale", "shop/orders", "sale"),
        binding("shop/own", "shop", "seasonal-naive"),
    ]);
    objects
}

impl World {
    /// Two tenants, fed, planned, with bindings and modules of their own.
    pub(super) async fn open() -> Result<Self> {
        let gate = gate()?.also(&auth());
        let daemon = gate.start().await?;
        let channel = daemon.connect().await?;
        let module = renamed(
            &shipped("seasonal-naive")?,
            "seasonal-naive",
            "zzqmodel-naive",
        );
        let mut world = Self {
            gate,
            daemon,
            channel,
            digest: tidegate_core::ids::Digest::of(&module).to_string(),
            module,
            bank: vec![],
        };
        world.apply(objects()).await?;
        let pushed = world
            .wire()
            .call(
                "tidegate.v1.Policies/Push",
                Some("root"),
                upload(&world.module, "zzqbank"),
                false,
            )
            .await?;
        anyhow::ensure!(pushed.code() == tonic::Code::Ok, "{pushed}");
        let shops = renamed(
            &shipped("seasonal-naive")?,
            "seasonal-naive",
            "shopmodel-nice",
        );
        let pushed = world
            .wire()
            .call(
                "tidegate.v1.Policies/Push",
                Some("root"),
                upload(&shops, "shop"),
                false,
            )
            .await?;
        anyhow::ensure!(pushed.code() == tonic::Code::Ok, "{pushed}");
        world
            .apply(vec![
                // Behind `shop/own`, so that it is used and serves nothing.
                binding("shop/spare", "shop", "shopmodel-nice"),
                template("zzqbank/tpl", "zzqbank"),
                template("zzq-generally", "zzqbank"),
                template("shop/tpl", "shop"),
                template("everybody-all", ""),
                binding("zzqbank/own", "zzqbank", "zzqmodel-naive"),
                // As an operator names it.
                binding("zzq-operators", "zzqbank", "zzqmodel-naive"),
            ])
            .await?;
        world.feed(0, 24).await?;
        world.advance(24).await?;
        let report = v1::ReportAppliedRequest {
            report: Some(v1::AppliedReport {
                api: "zzqbank/pay".into(),
                generation: 1,
                actuator: "zzqenvoy".into(),
                ..v1::AppliedReport::default()
            }),
        };
        let _: v1::ReportAppliedResponse = world
            .wire()
            .one("tidegate.v1.Plans/ReportApplied", "root", &report)
            .await?;
        world.bank = world.objects_of_the_bank().await?;
        Ok(world)
    }

    /// Calls by name.
    pub(super) fn wire(&self) -> Wire {
        Wire(self.channel.clone())
    }

    /// Applies as the administrator.
    pub(super) async fn apply(&self, objects: Vec<Object>) -> Result<()> {
        let _: v1::ApplyResponse = self
            .wire()
            .one("tidegate.v1.Catalog/Apply", "root", &set(objects, false))
            .await?;
        Ok(())
    }

    /// Binds as the administrator.
    pub(super) async fn bind(&self, binding: &str, module: &str) -> Result<()> {
        let request = v1::BindRequest {
            binding: binding.into(),
            module: module.into(),
            config: None,
        };
        let _: v1::BindResponse = self
            .wire()
            .one("tidegate.v1.Policies/Bind", "root", &request)
            .await?;
        Ok(())
    }

    /// Feeds steps of the shop and of the bank.
    pub(super) async fn feed(&self, from: i64, count: usize) -> Result<()> {
        let series = |api: &str, rate: f64| v1::PushSeries {
            api: api.into(),
            signal: v1::Signal::Requests.into(),
            step_s: STEP_S,
            columns: Some(v1::Columns {
                start_ms: at(from),
                values: vec![rate * f64::from(STEP_S); count],
                ..v1::Columns::default()
            }),
        };
        let request = v1::PushRequest {
            series: vec![series("shop/orders", 20.0), series("zzqbank/pay", LOAD)],
        };
        let answer: v1::PushResponse = self
            .wire()
            .one("tidegate.v1.Ingest/Push", "root", &request)
            .await?;
        anyhow::ensure!(answer.rejections.is_empty(), "{answer:?}");
        Ok(())
    }

    /// Moves the clock to the start of a step.
    pub(super) async fn advance(&self, step: i64) -> Result<()> {
        let request = v1::AdvanceRequest { now_ms: at(step) };
        let _: v1::AdvanceResponse = self
            .wire()
            .one("tidegate.v1.Clock/Advance", "root", &request)
            .await?;
        Ok(())
    }

    /// Everything in the catalog that bears the mark, as it stands.
    pub(super) async fn objects_of_the_bank(&self) -> Result<Vec<Vec<u8>>> {
        let mut all = vec![];
        for kind in [
            v1::ObjectKind::Api,
            v1::ObjectKind::Slo,
            v1::ObjectKind::Event,
            v1::ObjectKind::Binding,
            v1::ObjectKind::Template,
            v1::ObjectKind::Pool,
        ] {
            let request = v1::ListObjectsRequest {
                kind: kind.into(),
                ..v1::ListObjectsRequest::default()
            };
            let list: v1::ListObjectsResponse = self
                .wire()
                .one("tidegate.v1.Catalog/List", "root", &request)
                .await?;
            let listed = list.objects.iter().map(prost::Message::encode_to_vec);
            all.extend(listed.filter(|o| super::holds(o, b"zzq")));
        }
        Ok(all)
    }
}

/// Start of a step of the feeds.
pub(super) fn at(step: i64) -> i64 {
    feed::START_MS + step * i64::from(STEP_S) * 1000
}
