//! Every call, with what is asked of it: about oneself, about the bank, about nobody.

use super::names::Names;
use super::world::{self, binding, set, template};
use prost::Message;
use tidegate_e2e::{catalog, feed};
use tidegate_proto::v1;
use tidegate_proto::v1::object::Object;
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{self as reflection, server_reflection_request::MessageRequest};

/// How a question is put: the messages of a call.
type Ask = Box<dyn Fn(&Names) -> Vec<Vec<u8>> + Send + Sync>;

/// A call, and a question that is put to it.
pub(super) struct Stance {
    pub(super) rpc: &'static str,
    /// Whether it is answered without a token.
    pub(super) open: bool,
    pub(super) ask: Ask,
}

/// A question of one message.
fn one<M: Message>(rpc: &'static str, ask: impl Fn(&Names) -> M + Send + Sync + 'static) -> Stance {
    Stance {
        rpc,
        open: false,
        ask: Box::new(move |names| vec![ask(names).encode_to_vec()]),
    }
}

/// A question that anybody may put.
fn open<M: Message>(
    rpc: &'static str,
    ask: impl Fn(&Names) -> M + Send + Sync + 'static,
) -> Stance {
    Stance {
        open: true,
        ..one(rpc, ask)
    }
}

fn key(kind: v1::ObjectKind, name: &str) -> Option<v1::ObjectKey> {
    Some(v1::ObjectKey {
        kind: kind.into(),
        name: name.into(),
    })
}

/// Every call with every question that could tell something.
pub(super) fn all() -> Vec<Stance> {
    let mut all = vec![
        open("grpc.health.v1.Health/Check", |_| {
            HealthCheckRequest::default()
        }),
        open("grpc.health.v1.Health/Watch", |_| {
            HealthCheckRequest::default()
        }),
        one(
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            |_| reflection::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            },
        ),
    ];
    all.extend(ingest());
    all.extend(changes());
    all.extend(objects());
    all.extend(policies());
    all.extend(plans());
    all.extend(events());
    all.extend(rest());
    all
}

fn ingest() -> Vec<Stance> {
    vec![
        one("tidegate.v1.Ingest/Push", |n| v1::PushRequest {
            series: vec![v1::PushSeries {
                api: n.api.into(),
                signal: v1::Signal::Requests.into(),
                step_s: 300,
                columns: Some(v1::Columns {
                    start_ms: feed::START_MS,
                    values: vec![6_000.0],
                    ..v1::Columns::default()
                }),
            }],
        }),
        one("tidegate.v1.Ingest/StreamSamples", |n| v1::SampleFrame {
            sequence: 1,
            declare: vec![v1::SeriesDeclaration {
                series_ref: 1,
                api: n.api.into(),
                signal: v1::Signal::Requests.into(),
                step_s: 300,
            }],
            series: vec![v1::SeriesSamples {
                series_ref: 1,
                columns: Some(v1::Columns {
                    start_ms: feed::START_MS,
                    values: vec![6_000.0],
                    ..v1::Columns::default()
                }),
            }],
            ..Default::default()
        }),
    ]
}

/// Change sets, of which none is for real.
fn changes() -> Vec<Stance> {
    const APPLY: &str = "tidegate.v1.Catalog/Apply";
    let slo = |name: &str, api: &str| {
        Object::Slo(v1::Slo {
            name: name.into(),
            api: api.into(),
            indicator: Some(v1::slo::Indicator::Availability(
                v1::AvailabilityIndicator {},
            )),
            objective: 0.9,
            window_s: 3_600,
            origin: None,
        })
    };
    let delete = |kind, name: &str| v1::ApplyRequest {
        changes: vec![v1::Change {
            change: Some(v1::change::Change::Delete(v1::Deletion {
                key: key(kind, name),
                expect_generation: None,
            })),
        }],
        dry_run: true,
    };
    vec![
        one(APPLY, |n| {
            let api = catalog::api(n.api, "edge", v1::Tier::Bronze);
            set(vec![Object::Api(api)], true)
        }),
        one(APPLY, |n| set(vec![catalog::tenant(n.tenant)], true)),
        one(APPLY, move |n| set(vec![slo(n.slo, n.api)], true)),
        // One's own that refers to another's.
        one(APPLY, move |n| set(vec![slo("shop/new", n.api)], true)),
        one(APPLY, |n| {
            let event = v1::Event {
                name: "shop/new".into(),
                apis: vec![n.api.into()],
                kind: "sale".into(),
                start_ms: feed::START_MS,
                duration_s: 60,
                ..v1::Event::default()
            };
            set(vec![Object::Event(event)], true)
        }),
        // Bindings share a space of names; modules are named by them.
        one(APPLY, |n| {
            set(vec![binding(n.binding, "shop", "ets")], true)
        }),
        one(APPLY, |n| {
            set(vec![binding(n.operators, "shop", "ets")], true)
        }),
        one(APPLY, |n| {
            set(vec![binding(n.binding, n.tenant, "ets")], true)
        }),
        one(APPLY, |n| {
            set(vec![binding("shop/new", "shop", n.module)], true)
        }),
        one(APPLY, |n| {
            set(vec![binding("shop/new", "shop", &n.digest)], true)
        }),
        // Templates share a space of names as well.
        one(APPLY, |n| set(vec![template(n.template, "shop")], true)),
        one(APPLY, |n| set(vec![template(n.general, "shop")], true)),
        one(APPLY, |n| set(vec![template(n.template, n.tenant)], true)),
        one(APPLY, move |n| delete(v1::ObjectKind::Template, n.template)),
        one(APPLY, move |n| delete(v1::ObjectKind::Template, n.general)),
        one(APPLY, move |n| delete(v1::ObjectKind::Api, n.api)),
        one(APPLY, move |n| delete(v1::ObjectKind::Binding, n.binding)),
        one(APPLY, move |n| delete(v1::ObjectKind::Binding, n.operators)),
        one(APPLY, move |n| delete(v1::ObjectKind::Tenant, n.tenant)),
    ]
}

fn objects() -> Vec<Stance> {
    use v1::ObjectKind::{Api, Binding, Event, Pool, Slo, Template, Tenant, Tier};
    let mut all = vec![];
    type Of = fn(&Names) -> &str;
    let named: [(v1::ObjectKind, Of); 9] = [
        (Tenant, |n| n.tenant),
        (Api, |n| n.api),
        (Slo, |n| n.slo),
        (Event, |n| n.event),
        (Binding, |n| n.binding),
        (Binding, |n| n.operators),
        (Template, |n| n.template),
        (Template, |n| n.general),
        // Pools are the operator's, and known to all: what is asked for is always there.
        (Pool, |_| "edge"),
    ];
    for (kind, of) in named {
        all.push(one("tidegate.v1.Catalog/Get", move |n| {
            v1::GetObjectRequest {
                key: key(kind, of(n)),
            }
        }));
        all.push(one("tidegate.v1.Catalog/Delete", move |n| {
            v1::DeleteObjectRequest {
                key: key(kind, of(n)),
                expect_generation: None,
                dry_run: true,
            }
        }));
    }
    for kind in [Tenant, Pool, Tier, Api, Slo, Event, Binding, Template] {
        all.push(one("tidegate.v1.Catalog/List", move |_| {
            v1::ListObjectsRequest {
                kind: kind.into(),
                ..v1::ListObjectsRequest::default()
            }
        }));
    }
    // A page token is a name: whose, must not matter.
    all.push(one("tidegate.v1.Catalog/List", |n| {
        v1::ListObjectsRequest {
            kind: Api.into(),
            page_size: 1,
            page_token: n.api.into(),
        }
    }));
    all
}

fn remove(tenant: &str, module: &str) -> v1::RemoveModuleRequest {
    v1::RemoveModuleRequest {
        module: module.into(),
        tenant: tenant.into(),
    }
}

fn policies() -> Vec<Stance> {
    const BIND: &str = "tidegate.v1.Policies/Bind";
    let bind = |binding: &str, module: &str| v1::BindRequest {
        binding: binding.into(),
        module: module.into(),
        config: None,
    };
    let mut all = versions();
    all.extend([
        Stance {
            rpc: "tidegate.v1.Policies/Push",
            open: false,
            ask: Box::new(|n| world::upload(b"no component", n.tenant)),
        },
        one("tidegate.v1.Policies/Remove", |n| {
            remove(n.tenant, n.module)
        }),
        one("tidegate.v1.Policies/Remove", |n| remove("shop", n.module)),
        one("tidegate.v1.Policies/Remove", |n| remove("shop", &n.digest)),
        one("tidegate.v1.Policies/ListModules", |_| {
            v1::ListModulesRequest {}
        }),
        one(
            "tidegate.v1.Policies/ListSlots",
            |_| v1::ListSlotsRequest {},
        ),
        one(BIND, move |n| bind(n.binding, "seasonal-naive")),
        one(BIND, move |n| bind(n.operators, "seasonal-naive")),
        one(BIND, move |n| bind("shop/own", n.module)),
        // The digest of the bank's module, and one that no module has.
        one(BIND, move |n| bind("shop/own", &n.digest)),
        one("tidegate.v1.Policies/Rollback", |n| v1::RollbackRequest {
            binding: n.binding.into(),
        }),
        one("tidegate.v1.Policies/Rollback", |n| v1::RollbackRequest {
            binding: n.operators.into(),
        }),
    ]);
    all
}

/// What is asked of versions, their comparisons and their past.
fn versions() -> Vec<Stance> {
    const SHADOW: &str = "tidegate.v1.Policies/PutInShadow";
    const PROMOTE: &str = "tidegate.v1.Policies/Promote";
    const HISTORY: &str = "tidegate.v1.Policies/History";
    const QUARANTINE: &str = "tidegate.v1.Policies/Quarantine";
    const LIFT: &str = "tidegate.v1.Policies/Lift";
    const COMPARE: &str = "tidegate.v1.Policies/Compare";
    let shadow = |binding: &str, module: &str| v1::PutInShadowRequest {
        binding: binding.into(),
        module: module.into(),
        config: None,
    };
    let promote = |binding: &str, force| v1::PromoteRequest {
        binding: binding.into(),
        force,
    };
    let history = |of: &str| v1::HistoryRequest { of: of.into() };
    let quarantine = |module: &str, binding: &str| v1::QuarantineRequest {
        module: module.into(),
        binding: binding.into(),
    };
    let lift = |module: &str, binding: &str| v1::LiftRequest {
        module: module.into(),
        binding: binding.into(),
    };
    let compare = |a: &str, b: &str| v1::CompareRequest {
        a: a.into(),
        b: b.into(),
    };
    vec![
        one(SHADOW, move |n| shadow(n.binding, "ets")),
        one(SHADOW, move |n| shadow(n.operators, "ets")),
        one(SHADOW, move |n| shadow("shop/own", n.module)),
        one(SHADOW, move |n| shadow("shop/own", &n.digest)),
        one("tidegate.v1.Policies/EndShadow", |n| v1::EndShadowRequest {
            binding: n.binding.into(),
        }),
        one(PROMOTE, move |n| promote(n.binding, false)),
        one(PROMOTE, move |n| promote(n.operators, true)),
        one(HISTORY, move |n| history(n.binding)),
        one(HISTORY, move |n| history(n.operators)),
        one(HISTORY, move |n| history(n.module)),
        one(HISTORY, move |n| history(&n.digest)),
        one(QUARANTINE, move |n| quarantine("ets", n.binding)),
        one(QUARANTINE, move |n| quarantine(n.module, "shop/own")),
        one(QUARANTINE, move |n| quarantine(&n.digest, "")),
        one(LIFT, move |n| lift("ets", n.operators)),
        one(LIFT, move |n| lift(n.module, "shop/own")),
        one(COMPARE, move |n| compare(n.module, "ets")),
        one(COMPARE, move |n| compare("ets", &n.digest)),
    ]
}

fn plans() -> Vec<Stance> {
    vec![
        one("tidegate.v1.Plans/GetPlan", |n| world::plan_of(n.pool)),
        one("tidegate.v1.Plans/GetPlan", |n| v1::GetPlanRequest {
            pool: n.pool.into(),
            generation: Some(1),
        }),
        one("tidegate.v1.Plans/ListPools", |_| v1::ListPoolsRequest {}),
        one("tidegate.v1.Plans/WatchPlans", |n| v1::WatchPlansRequest {
            pool: n.pool.into(),
            after_generation: Some(0),
        }),
        one("tidegate.v1.Plans/Explain", |n| v1::ExplainRequest {
            api: n.api.into(),
            at_ms: None,
        }),
        one("tidegate.v1.Plans/Explain", |n| v1::ExplainRequest {
            api: n.api.into(),
            at_ms: Some(1),
        }),
        one("tidegate.v1.Plans/ReportApplied", |n| {
            v1::ReportAppliedRequest {
                report: Some(v1::AppliedReport {
                    api: n.api.into(),
                    generation: 1,
                    actuator: "envoy".into(),
                    ..v1::AppliedReport::default()
                }),
            }
        }),
        one("tidegate.v1.Plans/ListApplied", |_| {
            v1::ListAppliedRequest {}
        }),
        one("tidegate.v1.Limits/GetGrant", |n| v1::GetGrantRequest {
            api: n.api.into(),
        }),
        one("tidegate.v1.Limits/WatchGrant", |n| v1::WatchGrantRequest {
            api: n.api.into(),
        }),
    ]
}

fn events() -> Vec<Stance> {
    const REPORT: &str = "tidegate.v1.Events/Report";
    vec![
        one(REPORT, |n| v1::EventFrame {
            sequence: 1,
            put: vec![v1::Event {
                name: n.event.into(),
                kind: "sale".into(),
                start_ms: feed::START_MS + 86_400_000,
                duration_s: 3_600,
                ..v1::Event::default()
            }],
            withdraw: vec![],
        }),
        one(REPORT, |n| v1::EventFrame {
            sequence: 1,
            put: vec![],
            withdraw: vec![n.event.into()],
        }),
        one("tidegate.v1.Events/Watch", |_| {
            v1::WatchEventsRequest::default()
        }),
        one("tidegate.v1.Events/Watch", |n| v1::WatchEventsRequest {
            tenant: n.tenant.into(),
        }),
        one("tidegate.v1.Events/Upcoming", |_| {
            v1::UpcomingRequest::default()
        }),
        one("tidegate.v1.Events/Upcoming", |n| v1::UpcomingRequest {
            tenant: n.tenant.into(),
            ..v1::UpcomingRequest::default()
        }),
    ]
}

fn rest() -> Vec<Stance> {
    let requests = v1::Signal::Requests;
    vec![
        one("tidegate.v1.Forecasts/GetForecast", move |n| {
            v1::GetForecastRequest {
                api: n.api.into(),
                signal: requests.into(),
                ..v1::GetForecastRequest::default()
            }
        }),
        one("tidegate.v1.Forecasts/GetStandings", move |n| {
            v1::GetStandingsRequest {
                api: n.api.into(),
                signal: requests.into(),
            }
        }),
        one(
            "tidegate.v1.Alerts/ListAlerts",
            |_| v1::ListAlertsRequest {},
        ),
        one("tidegate.v1.Alerts/WatchAlerts", |_| {
            v1::WatchAlertsRequest {}
        }),
        one("tidegate.v1.Status/GetStatus", |_| v1::GetStatusRequest {}),
        one("tidegate.v1.Status/CopyStore", |_| v1::CopyStoreRequest {
            name: "walked".into(),
            extent: v1::CopyExtent::Unspecified.into(),
        }),
        one("tidegate.v1.Status/GetStore", |_| v1::GetStoreRequest {}),
        one("tidegate.v1.Clock/Now", |_| v1::NowRequest {}),
        one("tidegate.v1.Clock/Advance", |_| v1::AdvanceRequest {
            now_ms: 1,
        }),
        one("tidegate.v1.Shadows/Start", |_| {
            v1::StartShadowRequest::default()
        }),
        one("tidegate.v1.Shadows/Get", |_| {
            v1::GetShadowRequest::default()
        }),
        one("tidegate.v1.Shadows/List", |_| {
            v1::ListShadowsRequest::default()
        }),
        one("tidegate.v1.Shadows/Stop", |_| {
            v1::StopShadowRequest::default()
        }),
    ]
}
