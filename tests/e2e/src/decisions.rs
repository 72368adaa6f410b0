//! Many decisions of one world, through everything that a replay must see through: a power cut, a restart, two
//! swaps, and samples that come late. The same story in a test, short, and in an example, as long as one likes.

use crate::feed::{Feed, Series};
use crate::{Daemon, Gate, catalog};
use anyhow::{Context, Result, ensure};
use tidegate_proto::v1;
use tonic::transport::Channel;

/// Steps of history before the first plan.
const HISTORY: usize = 24;
/// Every so many steps a sample of one series comes late.
const LATE: usize = 10;
/// By how many steps.
const BY: usize = 3;

/// Feeds of a world.
struct World {
    daemon: Daemon,
    channel: Channel,
    orders: Feed,
    search: Feed,
}

fn series(api: &str) -> Series {
    Series::new(api, v1::Signal::Requests, 300)
}

async fn open(gate: &Gate) -> Result<World> {
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    let orders = Feed::open(&channel, &[series("shop/orders")]).await?;
    let search = Feed::open(&channel, &[series("shop/search")]).await?;
    Ok(World {
        daemon,
        channel,
        orders,
        search,
    })
}

/// Lets a world decide `plans` times, and returns the daemon, which still runs. Killed after a quarter, another
/// forecaster after a half, another allocator after five eighths, stopped and started after three quarters.
///
/// # Errors
/// When a daemon does not do what it was asked.
pub async fn decide(gate: &Gate, plans: usize) -> Result<Daemon> {
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    daemon.stop().await?;
    let mut world = open(gate).await?;
    world.orders.store(0, HISTORY).await?;
    world.search.store(0, HISTORY).await?;
    for n in 0..plans {
        if n == plans / 4 {
            world.daemon.kill()?;
            world = open(gate).await?;
        } else if n == plans / 2 {
            bind(&world.daemon, "default-forecaster", "ets")?;
        } else if n == plans * 5 / 8 {
            bind(&world.daemon, "default-allocator", "learned")?;
        } else if n == plans * 3 / 4 {
            let code = world.daemon.stop().await?;
            ensure!(code == Some(0), "the daemon ended with {code:?}");
            world = open(gate).await?;
        }
        let step = HISTORY + n;
        world.orders.store(step, 1).await?;
        if !step.is_multiple_of(LATE) {
            world.search.store(step, 1).await?;
        }
        if step % LATE == BY && step > HISTORY + BY {
            world.search.store(step - BY, 1).await?;
        }
        let now = series("shop/orders").at(step + 1);
        catalog::advance(&world.channel, now)
            .await
            .with_context(|| format!("plan {n}"))?;
    }
    Ok(world.daemon)
}

fn bind(daemon: &Daemon, binding: &str, module: &str) -> Result<()> {
    let bound = daemon.cli(&["policy", "bind", binding, module])?;
    ensure!(bound.ok(), "{bound:?}");
    Ok(())
}
