//! What each role may do, as a table that this test makes.
//!
//! Every cell is a call that was made. The table stands in `host/ACCESS.md`, word for word; whoever
//! changes a right reads there what changed. With `TIDEGATE_BLESS=1` it is written anew.

use super::names::Names;
use super::stances;
use super::wire::{Answer, Wire};
use super::world::{CREDENTIALS, World, at, binding, set, shipped, template, upload};
use anyhow::{Context, Result, ensure};
use prost::Message;
use std::collections::BTreeSet;
use std::path::Path;
use tidegate_e2e::{catalog, feed};
use tidegate_proto::v1;
use tidegate_proto::v1::object::Object;
use tonic::Code;

/// A right: what is done, by which call, with which messages.
struct Right {
    what: &'static str,
    rpc: &'static str,
    messages: Vec<Vec<u8>>,
}

fn right<M: Message>(what: &'static str, rpc: &'static str, message: &M) -> Right {
    Right {
        what,
        rpc,
        messages: vec![message.encode_to_vec()],
    }
}

fn changes() -> Vec<Right> {
    let apply = |what, object| right(what, "tidegate.v1.Catalog/Apply", &set(vec![object], true));
    let delete = |what, kind: v1::ObjectKind, name: &str| {
        let request = v1::DeleteObjectRequest {
            key: Some(v1::ObjectKey {
                kind: kind.into(),
                name: name.into(),
            }),
            expect_generation: None,
            dry_run: true,
        };
        right(what, "tidegate.v1.Catalog/Delete", &request)
    };
    let event = v1::Event {
        name: "shop/more".into(),
        apis: vec!["shop/orders".into()],
        kind: "sale".into(),
        start_ms: feed::START_MS,
        duration_s: 60,
        ..v1::Event::default()
    };
    let general = |name: &str, kind: v1::ModuleKind, module: &str| {
        Object::Binding(v1::Binding {
            name: name.into(),
            kind: kind.into(),
            module: module.into(),
            ..v1::Binding::default()
        })
    };
    let tier = v1::TierSpec {
        tier: v1::Tier::Gold.into(),
        demand_level: 9_900,
        buy_level: 9_900,
        weight: 4.0,
        floor_of_expected: 1.0,
        step_up: 2.0,
        step_down: 0.5,
        dwell_s: 600,
        ..v1::TierSpec::default()
    };
    vec![
        apply(
            "declare an api of the tenant",
            Object::Api(catalog::api("shop/new", "edge", v1::Tier::Bronze)),
        ),
        apply("declare an event of the tenant", Object::Event(event)),
        apply(
            "declare a template of the tenant",
            template("shop/new", "shop"),
        ),
        apply("declare a template for everybody", template("new", "")),
        apply(
            "bind a forecaster for the tenant",
            binding("shop/new", "shop", "ets"),
        ),
        apply(
            "bind a forecaster for everybody",
            general("new", v1::ModuleKind::Forecaster, "ets"),
        ),
        apply(
            "bind an allocator",
            general("divides", v1::ModuleKind::Allocator, "waterfill"),
        ),
        apply("declare a pool", catalog::pool("more", 1.0)),
        apply("change a tier", Object::Tier(tier)),
        apply(
            "declare a tenant, or change its quotas",
            catalog::tenant("shop"),
        ),
        delete(
            "delete an event of the tenant",
            v1::ObjectKind::Event,
            "shop/sale",
        ),
        delete(
            "delete a binding for everybody",
            v1::ObjectKind::Binding,
            "default-judge",
        ),
    ]
}

fn modules() -> Result<Vec<Right>> {
    let bind = |what, binding: &str, module: &str| {
        let request = v1::BindRequest {
            binding: binding.into(),
            module: module.into(),
            config: None,
        };
        right(what, "tidegate.v1.Policies/Bind", &request)
    };
    let rollback = |what, binding: &str| {
        let request = v1::RollbackRequest {
            binding: binding.into(),
        };
        right(what, "tidegate.v1.Policies/Rollback", &request)
    };
    let shadow = |what, binding: &str| {
        let request = v1::PutInShadowRequest {
            binding: binding.into(),
            module: "theta".into(),
            config: None,
        };
        right(what, "tidegate.v1.Policies/PutInShadow", &request)
    };
    let end = |what, binding: &str| {
        let request = v1::EndShadowRequest {
            binding: binding.into(),
        };
        right(what, "tidegate.v1.Policies/EndShadow", &request)
    };
    let promote = |what, binding: &str| {
        let request = v1::PromoteRequest {
            binding: binding.into(),
            force: false,
        };
        right(what, "tidegate.v1.Policies/Promote", &request)
    };
    // Of a module that serves nobody.
    let quarantine = |what, binding: &str| {
        let request = v1::QuarantineRequest {
            module: "arima".into(),
            binding: binding.into(),
        };
        right(what, "tidegate.v1.Policies/Quarantine", &request)
    };
    let lift = |what, binding: &str| {
        let request = v1::LiftRequest {
            module: "arima".into(),
            binding: binding.into(),
        };
        right(what, "tidegate.v1.Policies/Lift", &request)
    };
    let push = |what, tenant| -> Result<Right> {
        Ok(Right {
            what,
            rpc: "tidegate.v1.Policies/Push",
            messages: upload(&shipped("ets")?, tenant),
        })
    };
    let remove = |what, module: &str, tenant: &str| {
        let request = v1::RemoveModuleRequest {
            module: module.into(),
            tenant: tenant.into(),
        };
        right(what, "tidegate.v1.Policies/Remove", &request)
    };
    Ok(vec![
        // In use, so that none goes: who may is told so, who may not is not.
        remove("remove a module of the tenant", "shopmodel-nice", "shop"),
        remove("remove a module of everybody's", "seasonal-naive", ""),
        push("push a module for the tenant", "shop")?,
        push("push a module, naming no tenant", "")?,
        bind("bind by word, for the tenant", "shop/own", "seasonal-naive"),
        bind(
            "bind by word, for everybody",
            "default-judge",
            "sequential-judge",
        ),
        shadow("put in shadow, for the tenant", "shop/own"),
        shadow("put in shadow, for everybody", "default-forecaster"),
        end("end a shadow, for the tenant", "shop/own"),
        end("end a shadow, for everybody", "default-forecaster"),
        promote("promote a shadow, for the tenant", "shop/own"),
        promote("promote a shadow, for everybody", "default-forecaster"),
        quarantine("quarantine for a binding of the tenant", "shop/own"),
        quarantine("quarantine everywhere", ""),
        lift("lift a quarantine for a binding of the tenant", "shop/own"),
        lift("lift all quarantine", ""),
        rollback("roll back, for the tenant", "shop/own"),
        rollback("roll back, for everybody", "default-judge"),
    ])
}

/// What the walk asks about oneself is a right as well, where nothing above says more.
fn questions(described: &BTreeSet<&str>) -> Vec<Right> {
    let all = stances::all().into_iter();
    let mut seen = BTreeSet::new();
    all.filter(|s| !described.contains(s.rpc) && seen.insert(s.rpc))
        .map(|stance| Right {
            what: "",
            rpc: stance.rpc,
            messages: if stance.rpc == "tidegate.v1.Clock/Advance" {
                vec![v1::AdvanceRequest { now_ms: at(24) }.encode_to_vec()]
            } else {
                (stance.ask)(&Names::shop())
            },
        })
        .collect()
}

/// What an answer means for a right.
fn verdict(answer: &Answer, rpc: &str) -> Result<&'static str> {
    let code = match rpc {
        // Refused frame by frame.
        "tidegate.v1.Events/Report" => {
            let acks = answer.items.iter();
            let acks = acks.map(|item| v1::EventAck::decode(item.as_slice()));
            let acks = acks.collect::<std::result::Result<Vec<_>, _>>()?;
            let refused = acks.into_iter().find_map(|ack| ack.error);
            refused.map_or(answer.code(), |e| Code::from_i32(e.code))
        }
        _ => answer.code(),
    };
    Ok(match code {
        // Nothing to roll back to, or not served yet: that is no matter of rights.
        Code::Ok | Code::FailedPrecondition | Code::Unimplemented => "yes",
        Code::Unauthenticated => "token?",
        Code::PermissionDenied => "no",
        // Not its own, so not there.
        Code::NotFound => "unseen",
        // A credential of tenants that names what is everybody's.
        Code::InvalidArgument if rpc == "tidegate.v1.Catalog/Apply" => "no",
        _ => anyhow::bail!("{rpc}: {answer}"),
    })
}

async fn table(world: &World, wire: &Wire) -> Result<String> {
    let mut rights = changes();
    rights.extend(modules()?);
    let described = rights.iter().map(|r| r.rpc).collect();
    rights.extend(questions(&described));
    rights.sort_by_key(|r| r.rpc);
    let served = wire.methods("root").await?;
    for method in &served {
        ensure!(
            rights.iter().any(|r| r.rpc == method.path),
            "{} is in no row",
            method.path
        );
    }
    let mut text = String::from(
        "# Who may do what\n\n\
         Written by `tests/e2e` from calls that were made, one per cell; anew with\n\
         `TIDEGATE_BLESS=1 cargo test -p tidegate-e2e roles`.\n\n\
         - **yes**: done, or refused for reasons that have nothing to do with rights.\n\
         - **no**: refused (PERMISSION_DENIED, or a name that such a credential cannot give).\n\
         - **unseen**: answered as what is not there (NOT_FOUND).\n\
         - **token?**: refused for want of a token (UNAUTHENTICATED).\n\n\
         The first four roles are bound to the tenant whose things are asked for; *all* means a\n\
         credential of no tenant, which holds every one. A credential without the tenant hears of\n\
         nothing that is the tenant's, whatever its role.\n\n",
    );
    let mut head = "| call | what | none |".to_owned();
    let mut line = "| --- | --- | --- |".to_owned();
    for credential in CREDENTIALS {
        let whose = if credential.tenant.is_some() {
            ""
        } else {
            ", all"
        };
        head += &format!(" {}{whose} |", credential.role);
        line += " --- |";
    }
    text += &format!("{head}\n{line}\n");
    for right in rights {
        let method = served.iter().find(|m| m.path == right.rpc);
        let watches = method.context(right.rpc)?.server_streams;
        let call = right.rpc.trim_start_matches("tidegate.v1.");
        text += &format!("| {call} | {} |", right.what);
        let tokens = CREDENTIALS.iter().map(|c| Some(c.name));
        for token in std::iter::once(None).chain(tokens) {
            let messages = right.messages.clone();
            let answer = wire.call(right.rpc, token, messages, watches).await?;
            text += &format!(" {} |", verdict(&answer, right.rpc)?);
        }
        text.push('\n');
    }
    ensure!(!world.gate.log()?.contains("panicked"));
    Ok(text)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own switch, as in bad_input"
)]
fn blessed() -> bool {
    std::env::var_os("TIDEGATE_BLESS").is_some_and(|v| v == "1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_role_may_do_is_the_table_that_is_checked_in() -> Result<()> {
    let world = World::open().await?;
    let made = table(&world, &world.wire()).await?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/ACCESS.md");
    if blessed() {
        std::fs::write(path, made)?;
    } else {
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        ensure!(
            stored == made,
            "host/ACCESS.md is another table than this one; if it is right so, \
             TIDEGATE_BLESS=1 cargo test -p tidegate-e2e roles, and read the diff:\n{made}"
        );
    }
    world.daemon.stop().await?;
    Ok(())
}
