//! What a point costs on its way from a body to the sums, without the store: `cargo run --release -p
//! tidegate-bridges --example feed [SERIES] [TICKS]`.
//!
//! Bodies of 10,000 points with seven labels, like a gateway's, of 20,000 series; points per CPU second of
//! this process, from `/proc/self/stat`. The daemon and the journal are in memory and do as little as
//! they can, so what is left is finding streams, differences, sums and notes.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tidegate_bridges::feed::{Feed, Options};
use tidegate_bridges::mapping::rules::Action;
use tidegate_bridges::mapping::{Mapping, Matcher, Rule};
use tidegate_bridges::remote_write::Version;
use tidegate_core::access::Principal;
use tidegate_core::catalog::{Catalog, Change, Object, ObjectKey, ObjectKind, Tenant, Versioned};
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ids::{ApiId, TenantId};
use tidegate_core::ports::serve::{
    Acked, Applied, CatalogPort, ClockPort, IngestPort, Run, ServeError,
};
use tidegate_core::ports::storage::{Completion, History, Notes, StoreError, Watermark};
use tidegate_core::quota::Usage;
use tidegate_core::sample::{SampleBatch, SeriesKey, Stored};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

const POINTS: usize = 10_000;

/// A daemon that forgets what it is given.
#[derive(Debug, Default)]
struct Inside {
    catalog: Mutex<Catalog>,
    stored: Mutex<u64>,
    noted: Mutex<u64>,
}

impl IngestPort for Inside {
    fn ingest(&self, _: &Principal, batch: SampleBatch, done: Acked) {
        let n = batch.series.iter().map(|s| s.times.len() as u64).sum();
        if let Ok(mut stored) = self.stored.lock() {
            *stored += n;
        }
        let stored = Stored {
            stored: n,
            ..Stored::default()
        };
        done(Ok((stored, vec![])));
    }
}

impl CatalogPort for Inside {
    fn apply(&self, _: &Principal, changes: Vec<Change>, _: Run) -> Result<Applied, ServeError> {
        let mut catalog = self
            .catalog
            .lock()
            .map_err(|e| ServeError::Unavailable(e.to_string()))?;
        let invalid = |problems| ServeError::Invalid { problems };
        let (next, effects) = catalog.apply(&changes).map_err(invalid)?;
        let generation = next.generation;
        *catalog = next;
        Ok(Applied {
            generation,
            effects,
        })
    }

    fn get(&self, _: &Principal, key: &ObjectKey) -> Result<Versioned<Object>, ServeError> {
        let found = self.catalog.lock().ok().and_then(|c| c.get(key));
        found.ok_or_else(|| ServeError::NotFound {
            what: key.to_string(),
            remedy: String::new(),
        })
    }

    fn list(&self, _: &Principal, kind: ObjectKind) -> Result<Vec<Versioned<Object>>, ServeError> {
        Ok(self
            .catalog
            .lock()
            .map_or_else(|_| vec![], |c| c.list(kind)))
    }

    fn usage(&self, _: &Principal, _: &TenantId) -> Option<Usage> {
        Some(Usage::default())
    }
}

impl ClockPort for Inside {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn advance(&self, _: &Principal, now: Timestamp) -> Result<Timestamp, ServeError> {
        Ok(now)
    }
}

impl Notes for Inside {
    fn write(&self, entry: &[u8]) -> Result<u64, StoreError> {
        if let Ok(mut noted) = self.noted.lock() {
            *noted += entry.len() as u64;
        }
        Ok(1)
    }

    fn entries(&self, _: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        Ok(())
    }

    fn drop_before(&self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }
}

impl History for Inside {
    fn append(&self, _: SampleBatch, done: Completion) {
        done(Err(StoreError::Closed));
    }

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        Ok(Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values: vec![],
        })
    }

    fn distributions(&self, _: &ApiId, _: Grid) -> Result<Vec<Option<Distribution>>, StoreError> {
        Ok(vec![])
    }

    fn series(&self) -> Vec<SeriesKey> {
        vec![]
    }

    fn newest(&self, _: &SeriesKey) -> Option<Timestamp> {
        None
    }

    fn watermark(&self) -> Watermark {
        Watermark::default()
    }
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
    ticks(11)
        .zip(ticks(12))
        .map_or(0.0, |(user, system)| (user + system) / 100.0)
}

fn labels(api: usize) -> BTreeMap<&'static str, String> {
    let method = ["GET", "POST", "PUT", "DELETE"][api % 4];
    let status = ["200", "200", "404", "500"][api / 4 % 4];
    BTreeMap::from([
        ("__name__", "http_server_requests_total".into()),
        ("cluster", format!("eu-west-{}", api % 3)),
        (
            "instance",
            format!("10.0.{}.{}:9090", (api / 200) % 256, api % 200),
        ),
        ("job", "api-gateway".into()),
        ("method", method.into()),
        (
            "route",
            format!("/v1/tenant/{}/resource/{}", api / 50, api % 50),
        ),
        ("status", status.into()),
    ])
}

/// One field of a message that holds bytes.
fn field(number: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(number << 3 | 2);
    prost::encoding::encode_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    time: i64,
}

/// A request of one tick of some series, `prometheus.WriteRequest`.
fn body(series: std::ops::Range<usize>, times: &[(i64, f64)]) -> Vec<u8> {
    let mut request = vec![];
    let (mut one, mut label) = (vec![], vec![]);
    for api in series {
        one.clear();
        for (name, value) in labels(api) {
            label.clear();
            field(1, name.as_bytes(), &mut label);
            field(2, value.as_bytes(), &mut label);
            field(1, &label, &mut one);
        }
        for &(time, value) in times {
            let value = value * (1 + api % 7) as f64;
            field(2, &Sample { value, time }.encode_to_vec(), &mut one);
        }
        field(1, &one, &mut request);
    }
    request
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1);
    let series: usize = numbers.next().map_or(Ok(20_000), |a| a.parse())?;
    let ticks: i64 = numbers.next().map_or(Ok(150), |a| a.parse())?;
    for (shape, per) in [("one time a series", 1_i64), ("sixty times a series", 60)] {
        let matcher = Matcher::new("http_server_requests_total")?;
        let action = Action::Feed {
            api: "a{route}".into(),
            signal: Signal::Requests,
            errors: None,
            scale: None,
        };
        let mut options = Options {
            mapping: Mapping {
                rules: vec![Rule { matcher, action }],
                tenant: Some("load".parse()?),
                ..Mapping::default()
            },
            ..Options::default()
        };
        options.terms.step = Step::MINUTE;
        let inside = Arc::new(Inside::default());
        let caller = Principal::local();
        let tenant = Object::Tenant(Tenant {
            id: "load".parse()?,
            max_series: 1_000_000,
            max_samples_per_s: 1_000_000_000,
            max_modules: 1,
        });
        let change = Change::Put {
            object: Box::new(tenant),
            expect: None,
        };
        inside
            .apply(&caller, vec![change], Run::Real)
            .map_err(|e| e.to_string())?;
        let mut now = 1_700_000_040_000 + ticks * 60_000;
        let feed = Feed::open(options, inside.clone(), inside.clone(), Timestamp(now))?;
        let (mut spent, mut turns, mut points) = (0.0, 0.0, 0_usize);
        let batch = POINTS / usize::try_from(per)?;
        for tick in (0..ticks).step_by(usize::try_from(per)?) {
            let times: Vec<(i64, f64)> = (tick..ticks.min(tick + per))
                .map(|t| (1_700_000_040_000 + t * 60_000, (t * 37) as f64))
                .collect();
            let bodies: Vec<Vec<u8>> = (0..series)
                .step_by(batch)
                .map(|from| body(from..series.min(from + batch), &times))
                .collect();
            let begun = cpu();
            for body in &bodies {
                let took = feed.remote_write(&caller, body, Version::One, Timestamp(now))?;
                points += took.took.accepted as usize;
            }
            let turning = cpu();
            now += 40;
            if tick % 25 == 24 {
                now += 3_000;
                feed.turn(Timestamp(now))?;
            }
            turns += cpu() - turning;
            // What introducing streams costs is told by the first round alone.
            if tick > 0 || ticks <= per {
                spent += turning - begun;
            } else {
                points = 0;
            }
        }
        println!(
            "{shape}: {points} points, {:.2} M/CPU-s in, {:.2} M/CPU-s out; {} bytes noted",
            points as f64 / spent / 1e6,
            points as f64 / turns / 1e6,
            inside.noted.lock().map_or(0, |n| *n),
        );
    }
    Ok(())
}
