//! Watches: resuming by generation, skipping, waking, ending.

use crate::fake::alert;
use crate::world::{World, refused};
use tidegate_proto::v1;
use tidegate_proto::v1::{
    alerts_client::AlertsClient, limits_client::LimitsClient, plans_client::PlansClient,
};
use tonic::{Code, Streaming};

async fn watch(world: &World, after: Option<u64>) -> Streaming<v1::WatchPlansResponse> {
    let mut plans = PlansClient::new(world.channel().await);
    let request = v1::WatchPlansRequest {
        pool: "main".into(),
        after_generation: after,
    };
    plans.watch_plans(request).await.unwrap().into_inner()
}

async fn next(watch: &mut Streaming<v1::WatchPlansResponse>) -> (u64, u64) {
    let next = watch.message().await.unwrap().unwrap();
    (next.plan.unwrap().generation, next.skipped)
}

#[tokio::test]
async fn a_watch_resumes_after_the_plan_that_was_seen_last_and_misses_none() {
    let world = World::with(|options| options.limits.watch_backlog = 2);
    for _ in 0..20 {
        world.gate.publish();
    }
    // Twenty behind is more than the backlog, but they were there when the watch began.
    let mut resumed = watch(&world, Some(4)).await;
    for generation in 5..=20 {
        assert_eq!(next(&mut resumed).await, (generation, 0));
    }
    for _ in 0..3 {
        let generation = world.gate.publish();
        world.bump();
        assert_eq!(next(&mut resumed).await, (generation, 0));
    }
    let mut fresh = watch(&world, None).await;
    assert_eq!(next(&mut fresh).await, (23, 0));
}

#[tokio::test]
async fn a_watch_on_a_pool_without_a_plan_waits_for_the_first() {
    let world = World::open();
    let mut waiting = watch(&world, None).await;
    world.bump();
    world.gate.publish();
    world.bump();
    assert_eq!(next(&mut waiting).await, (1, 0));
}

#[tokio::test]
async fn a_watch_begins_with_the_oldest_plan_that_the_ledger_still_has() {
    let world = World::open();
    for _ in 0..50 {
        world.gate.publish();
    }
    world.gate.plans.lock().unwrap().retain(|g, _| *g >= 38);
    let mut watch = watch(&world, Some(0)).await;
    assert_eq!(next(&mut watch).await, (38, 37));
    assert_eq!(next(&mut watch).await, (39, 0));
}

#[tokio::test]
async fn a_watcher_that_falls_behind_is_moved_to_the_newest_and_told() {
    let world = World::with(|options| options.limits.watch_backlog = 2);
    world.gate.publish();
    let mut slow = watch(&world, None).await;
    assert_eq!(next(&mut slow).await, (1, 0));
    // The next item is computed when it is asked for; without a bump nothing is sent meanwhile.
    for _ in 0..6 {
        world.gate.publish();
    }
    world.bump();
    assert_eq!(next(&mut slow).await, (7, 5));
    world.gate.publish();
    world.gate.publish();
    world.bump();
    assert_eq!(next(&mut slow).await, (8, 0));
    assert_eq!(next(&mut slow).await, (9, 0));
}

#[tokio::test]
async fn a_grant_and_the_alerts_are_sent_again_only_when_they_change() {
    let world = World::open();
    world.gate.publish();
    let mut limits = LimitsClient::new(world.channel().await);
    let request = v1::WatchGrantRequest {
        api: "shop/orders".into(),
    };
    let mut grants = limits.watch_grant(request).await.unwrap().into_inner();
    let grant = grants.message().await.unwrap().unwrap().grant.unwrap();
    assert_eq!(
        (grant.generation, grant.limit.unwrap().requests),
        (1, Some(51.0))
    );
    let mut client = AlertsClient::new(world.channel().await);
    let mut alerts = client
        .watch_alerts(v1::WatchAlertsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(alerts.message().await.unwrap().unwrap().alerts, []);

    // Bumps without a change send nothing: what comes next is the next grant, the next alert.
    world.bump();
    tokio::task::yield_now().await;
    world.bump();
    world.gate.publish();
    world.gate.alerts.lock().unwrap().push(alert("shop/orders"));
    world.bump();
    let grant = grants.message().await.unwrap().unwrap().grant.unwrap();
    assert_eq!(
        (grant.generation, grant.limit.unwrap().requests),
        (2, Some(52.0))
    );
    assert_eq!(alerts.message().await.unwrap().unwrap().alerts.len(), 1);
}

#[tokio::test]
async fn watches_end_when_the_server_shuts_down_and_do_not_keep_it() {
    let mut world = World::open();
    world.gate.publish();
    let mut plans = watch(&world, None).await;
    assert_eq!(next(&mut plans).await, (1, 0));
    let mut client = AlertsClient::new(world.channel().await);
    let mut alerts = client
        .watch_alerts(v1::WatchAlertsRequest {})
        .await
        .unwrap()
        .into_inner();
    alerts.message().await.unwrap();
    world.stop();
    refused(
        plans.message().await,
        Code::Unavailable,
        "resume where this stream ended",
    );
    refused(alerts.message().await, Code::Unavailable, "shuts down");
    drop((plans, alerts, client));
    world.ended().await.unwrap();
}
