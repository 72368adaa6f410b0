//! Feeds two days of a daily curve to a daemon with a driven clock, moves its clock, and enforces
//! the pool's plans until no more come. Start a daemon and declare something to feed first:
//!
//! ```sh
//! tidegate serve --clock driven --data "$(mktemp -d)" &
//! tidegate apply -f host/daemon/examples/shop.yaml
//! cargo run -p tidegate-client --example feed_and_enforce -- http://127.0.0.1:7400 shop/checkout edge
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tidegate_client::enforce::{Directive, Enforcer, EnforcerOptions, Watch};
use tidegate_client::ingest::{Feeder, FeederOptions, Sample, SeriesKey, Value};
use tidegate_client::{Client, Options, v1};

const MINUTE_MS: i64 = 60_000;
const START_MS: i64 = 1_764_547_200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or_else(|| default.to_owned());
    let (endpoint, api, pool) = (
        next("http://127.0.0.1:7400"),
        next("shop/checkout"),
        next("edge"),
    );
    let client = Client::connect(&Options {
        endpoint,
        ..Options::default()
    })
    .await?;

    let key = SeriesKey {
        api,
        signal: v1::Signal::Requests,
        step_s: 60,
    };
    let mut feeder = Feeder::new(client.clone(), FeederOptions::default());
    let minutes = 2 * 24 * 60;
    for minute in 0..minutes {
        let phase = f64::from(minute) / 1440.0 * std::f64::consts::TAU;
        let count = (200.0 - 150.0 * libm::cos(phase)) * 60.0;
        let sample = Sample {
            start_ms: START_MS + i64::from(minute) * MINUTE_MS,
            value: Value::Number(count.round()),
        };
        feeder.add(&key, sample).await?;
    }
    let totals = feeder.flush().await?;
    println!(
        "on disk: {} new, {} known, {} refused",
        totals.stored, totals.duplicates, totals.rejected
    );
    for rejection in &totals.rejections {
        println!("  {}: {}", rejection.field, rejection.reason);
    }

    let end = START_MS + i64::from(minutes) * MINUTE_MS;
    // The clock of this enforcer stands where the replay stands; a real one reads its own.
    let time = Arc::new(AtomicI64::new(end));
    let clock = {
        let time = time.clone();
        Arc::new(move || time.load(Ordering::Relaxed))
    };
    let apply = |directive: &Directive| -> Result<(), String> {
        let kind = if directive.safe { "SAFE" } else { "limit" };
        let amount = directive.limit.requests.unwrap_or_default();
        println!(
            "{} {kind} {amount:.0}/s (generation {})",
            directive.api, directive.generation
        );
        Ok(())
    };
    let options = EnforcerOptions {
        watch: Watch::Pool(pool),
        actuator: "example".into(),
        clock,
        backoff: Duration::from_millis(200),
    };
    let mut enforcer = Enforcer::new(client.clone(), options, apply);
    let replay = async {
        for ahead in 1..=5 {
            let now_ms = end + ahead * MINUTE_MS;
            if let Err(status) = client.clock().advance(v1::AdvanceRequest { now_ms }).await {
                println!("the clock cannot be moved: {}", status.message());
                return;
            }
            time.store(now_ms, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // From here on the daemon falls silent as far as its clock goes; ours runs on.
        time.fetch_add(3_600_000, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    enforcer.run(replay).await?;
    Ok(())
}
