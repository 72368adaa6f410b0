//! What one tenant may learn of another, by every door: nothing.
//!
//! The calls are not listed by hand. The daemon's own reflection says which there are; each must have
//! a stance in `tenancy/stances.rs`, so that whoever adds a call decides what it may tell and to whom,
//! or this test fails. Calls are made with raw bytes and their answers searched as raw bytes: a field
//! that nobody thought of is searched like any other.
//!
//! The first tenant, `zzqbank`, bears a mark in every name that it has, and numbers that are nobody
//! else's. Its neighbours come with their own token, with none, and with each role.

mod modes;
mod names;
mod quotas;
mod roles;
mod stances;
mod tls;
mod wire;
mod world;

use anyhow::{Context, Result, ensure};
use names::Names;
use stances::Stance;
use std::collections::BTreeSet;
use tidegate_proto::v1;
use wire::{Answer, Wire};
use world::{CREDENTIALS, World};

/// What no answer to a stranger may hold: the mark, and numbers that only the bank has.
fn marks() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a name", b"zzq".to_vec()),
        ("its load", world::LOAD.to_le_bytes().to_vec()),
        ("its load as text", b"31337".to_vec()),
        ("its quota", world::QUOTA.to_le_bytes().to_vec()),
        ("its quota as text", b"4242".to_vec()),
    ]
}

/// The strangers: every role, bound to the other tenant.
fn strangers() -> impl Iterator<Item = &'static str> {
    let all = CREDENTIALS.iter();
    all.filter(|c| c.tenant == Some("shop")).map(|c| c.name)
}

fn clean(answer: &Answer, told: &str) -> Result<()> {
    for (what, mark) in marks() {
        let found = answer.parts().find(|part| holds(part, &mark));
        ensure!(
            found.is_none(),
            "{told}: {what} of the bank crosses: {answer}"
        );
    }
    Ok(())
}

fn holds(text: &[u8], mark: &[u8]) -> bool {
    text.windows(mark.len()).any(|w| w == mark)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_tells_one_tenant_of_another() -> Result<()> {
    let world = World::open().await?;
    let wire = world.wire();
    let stances = stances::all();

    // A call without a stance: somebody must decide what it may tell.
    let served = wire.methods("root").await?;
    let known: BTreeSet<&str> = stances.iter().map(|s| s.rpc).collect();
    let missing: Vec<_> = served
        .iter()
        .filter(|m| !known.contains(m.path.as_str()))
        .map(|m| &m.path)
        .collect();
    ensure!(
        missing.is_empty(),
        "these calls have no stance in tests/gate/tenancy/stances.rs: {missing:?}"
    );
    let paths: BTreeSet<&str> = served.iter().map(|m| m.path.as_str()).collect();
    let gone: Vec<_> = known.iter().filter(|rpc| !paths.contains(**rpc)).collect();
    ensure!(gone.is_empty(), "these calls are not served: {gone:?}");

    for stance in &stances {
        let watches = served
            .iter()
            .find(|m| m.path == stance.rpc)
            .context("it is served")?
            .server_streams;
        without_a_token(&world, stance, watches).await?;
        for stranger in strangers() {
            own(&wire, stance, stranger, watches).await?;
            foreign(&world, stance, stranger, watches).await?;
        }
    }
    // The walk has changed nothing of the bank's.
    let standing = world.objects_of_the_bank().await?;
    ensure!(
        standing == world.bank,
        "the walk has changed the bank's objects"
    );
    world.daemon.stop().await?;
    Ok(())
}

/// Nothing but health is told to somebody without a token, or with one that nobody knows.
async fn without_a_token(world: &World, stance: &Stance, watches: bool) -> Result<()> {
    let wire = world.wire();
    let (rpc, messages) = (stance.rpc, (stance.ask)(&Names::bank(world)));
    for token in [None, Some("unknown")] {
        let answer = wire.call(rpc, token, messages.clone(), watches).await?;
        if stance.open {
            clean(&answer, rpc)?;
            continue;
        }
        ensure!(
            answer.code() == tonic::Code::Unauthenticated && answer.items.is_empty(),
            "{rpc} answers without a token: {answer}"
        );
        clean(&answer, rpc)?;
    }
    Ok(())
}

/// What a tenant asks about itself tells nothing of the bank.
async fn own(wire: &Wire, stance: &Stance, stranger: &str, watches: bool) -> Result<()> {
    let messages = (stance.ask)(&Names::shop());
    let answer = wire
        .call(stance.rpc, Some(stranger), messages, watches)
        .await?;
    clean(&answer, &format!("{} by {stranger}", stance.rpc))
}

/// What a tenant asks about the bank is answered as about what nobody has: the same code, the same
/// words, the same details, but for the name that it asked for.
async fn foreign(world: &World, stance: &Stance, stranger: &str, watches: bool) -> Result<()> {
    let wire = world.wire();
    let ask = async |names: &Names| {
        let messages = (stance.ask)(names);
        wire.call(stance.rpc, Some(stranger), messages, watches)
            .await
    };
    let names = Names::bank(world);
    let bank = ask(&names).await?;
    for other in [Names::nobody(), Names::nothing_of_the_bank()] {
        let absent = ask(&other).await?;
        let rpc = stance.rpc;
        // A question that names nobody has one answer, names of what is known to all included.
        let same = if (stance.ask)(&names) == (stance.ask)(&other) {
            bank == absent
        } else {
            bank.without(&names) == absent.without(&other)
        };
        ensure!(
            same,
            "{rpc} by {stranger} tells what is there from what is not:\n{bank}\n{absent}"
        );
        clean(
            &bank.without(&names),
            &format!("{rpc} by {stranger} about the bank"),
        )?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_of_one_tenant_tell_nothing_when_another_changes() -> Result<()> {
    let world = World::open().await?;
    let wire = world.wire();
    let shop = Names::shop();
    let watches = [
        "tidegate.v1.Plans/WatchPlans",
        "tidegate.v1.Limits/WatchGrant",
        "tidegate.v1.Alerts/WatchAlerts",
        "tidegate.v1.Events/Watch",
    ];
    let stances = stances::all();
    let mut open = vec![];
    for rpc in watches {
        let stance = stances.iter().find(|s| s.rpc == rpc).context(rpc)?;
        open.push((
            rpc,
            wire.open(rpc, Some("shop-reader"), (stance.ask)(&shop))
                .await?,
        ));
    }
    // Everything of the bank moves: load, plans, alerts, bindings.
    world.feed(24, 6).await?;
    world.advance(30).await?;
    world.bind("zzqbank/own", "ets").await?;
    world.feed(30, 2).await?;
    world.advance(32).await?;
    for (rpc, watch) in open {
        let answer = wire::read(watch, true).await;
        ensure!(!answer.items.is_empty(), "{rpc} tells nothing at all");
        clean(&answer, rpc)?;
    }

    // Whose it is sees all of it: what was searched for was there to be found.
    let answer = wire
        .call(
            "tidegate.v1.Alerts/ListAlerts",
            Some("root"),
            vec![vec![]],
            false,
        )
        .await?;
    ensure!(answer.parts().any(|p| holds(p, b"zzqbank")), "{answer}");
    let report: v1::GetPlanResponse = wire
        .one("tidegate.v1.Plans/GetPlan", "root", &world::plan_of("edge"))
        .await?;
    let plan = report.plan.context("no plan")?;
    ensure!(plan.apis.iter().any(|a| a.api == "zzqbank/pay"), "{plan:?}");
    world.daemon.stop().await?;
    Ok(())
}
