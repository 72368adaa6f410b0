//! Remote write: series with their samples, in Prometheus' names.
//!
//! The protocol of 1.0 says nothing of a metric's kind, so the name does: what ends in `_total`,
//! `_count`, `_sum` or `_bucket` counts, everything else is a level. An instance is what was scraped,
//! `job` and `instance`.

use super::{Error, Feed, Gather, Took, identity};
use crate::books::{Flow, Introduced, Observed, Value, key_of};
use crate::feed::names::Slot;
use crate::mapping::{Labels, Shape, Stream, envoy};
use crate::remote_write::{self, STALE, Series, Sink, Version};
use tidegate_core::access::Principal;
use tidegate_core::time::Timestamp;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Of its samples.
    pub took: Took,
    /// Native histograms that came and were not read.
    pub histograms: u64,
    /// Exemplars that came and were not kept.
    pub exemplars: u64,
}

impl Feed {
    /// Takes a remote-write request, unpacked; blocks until what was taken is on disk. `now` is the
    /// machine's clock.
    ///
    /// # Errors
    /// When the body is damaged, the caller may not feed, or nothing can be taken now; then nothing
    /// of it counts.
    pub fn remote_write(
        &self,
        caller: &Principal,
        body: &[u8],
        version: Version,
        now: Timestamp,
    ) -> Result<Written, Error> {
        let mut inner = self.begin(caller)?;
        let mut listener = Listener {
            gather: Gather::new(self, caller, &mut inner, now),
            name: vec![],
            histograms: 0,
            exemplars: 0,
        };
        remote_write::walk(body, version, &mut listener)?;
        let (histograms, exemplars) = (listener.histograms, listener.exemplars);
        let took = listener.gather.finish(now);
        self.end(inner)?;
        Ok(Written {
            took,
            histograms,
            exemplars,
        })
    }
}

struct Listener<'f> {
    gather: Gather<'f>,
    name: Vec<u8>,
    histograms: u64,
    exemplars: u64,
}

fn shape_of(name: &str) -> (Shape, Flow) {
    let counts = ["_total", "_count", "_sum", "_bucket"];
    if counts.iter().any(|end| name.ends_with(end)) || envoy::counts(name) {
        (Shape::Counter, Flow::Cumulative)
    } else {
        (Shape::Level, Flow::Level)
    }
}

fn introduce(gather: &Gather<'_>, series: &Series<'_>) -> Result<Introduced, Slot> {
    let labels = series.labels();
    let pairs = labels.map_err(|why| gather.refused("labels", why))?;
    let of = |label: &str| pairs.iter().find(|(n, _)| *n == label).map(|(_, v)| *v);
    let Some(metric) = of("__name__").filter(|n| !n.is_empty()) else {
        return Err(gather.refusal("it has no metric name (`__name__`)"));
    };
    if !gather.feed.options.mapping.wants(metric) {
        return Err(Slot::PassedOver);
    }
    let plain = pairs.iter().filter(|(n, _)| *n != "__name__");
    let labels = Labels::new(
        plain
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
    );
    let (shape, flow) = shape_of(metric);
    let mapped = gather.decide(&Stream {
        name: metric,
        unit: "",
        shape,
        labels: &labels,
    })?;
    let scraped = format!(
        "{}\0{:?}\0{:?}",
        gather.caller.name,
        of("job"),
        of("instance")
    );
    let family = format!("{scraped}\0{metric}");
    Ok(Introduced {
        key: identity(&mapped, metric, &labels, &[]),
        family: key_of(family.as_bytes()),
        instance: key_of(scraped.as_bytes()),
        flow,
        mapped,
    })
}

impl Sink for Listener<'_> {
    fn series(&mut self, series: &Series<'_>) {
        self.histograms += series.histograms;
        self.exemplars += series.exemplars;
        self.name.clear();
        self.name
            .extend_from_slice(self.gather.caller.name.as_bytes());
        self.name.extend_from_slice(match series.form {
            Version::One => &[0, 1],
            Version::Two => &[0, 2],
        });
        self.name.extend_from_slice(series.name);
        let points = series.samples.len() as u64;
        if points == 0 {
            return;
        }
        let found = self
            .gather
            .find(&self.name, points, |gather| introduce(gather, series));
        let Some(whose) = found else {
            return;
        };
        for sample in series.samples {
            let value = (sample.bits != STALE).then(|| Value::Number(f64::from_bits(sample.bits)));
            let observed = Observed {
                start: sample.start,
                time: sample.time,
                value,
            };
            self.gather.points.push((whose, observed));
        }
    }

    fn unusable(&mut self, samples: u64, why: &'static str) {
        self.gather.reject(samples, "labels", why);
    }
}
