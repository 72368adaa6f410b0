//! Remote write: series with their samples and native histograms, in Prometheus' names.
//!
//! The protocol of 1.0 says nothing of a metric's kind, and 2.0 not always, so the name does: what ends
//! in `_total`, `_count`, `_sum` or `_bucket` counts, everything else is a level. Where 2.0 says it, a
//! counter is one by any name, and a gauge is none, unless it is called a total: some exporters call all
//! they have gauges. An instance is what was scraped, `job` and `instance`.
//!
//! A classic histogram is a dozen series, `…_bucket` by `le` and `…_sum`. Where a rule makes a counter
//! of one of them, it is that; otherwise they are one stream, whose slices the books put together
//! ([`Slice`]). How many observations there are is `…_count`, a stream of its own.

use super::{Error, Feed, Gather, Id, Took, Whose, identity};
use crate::books::{Flow, Introduced, Observed, Slice, Value, key_of};
use crate::feed::Clock;
use crate::feed::names::{Cut, Name, REPLICA, Slot};
use crate::mapping::{Labels, Mapped, Shape, Stream, envoy};
use crate::remote_write::{self, Kind, Native, STALE, Sample, Series, Sink, Told, Version};
use tidegate_core::access::Principal;
use tidegate_core::time::Timestamp;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Of its samples and histograms.
    pub took: Took,
    /// Exemplars that came. They concern nobody here, and count as written like samples that do not: a
    /// sender that hears of fewer than it sent reports the others as lost.
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
            exemplars: 0,
        };
        remote_write::walk(body, version, &mut listener)?;
        let exemplars = listener.exemplars;
        let took = listener.gather.finish(now)?;
        self.end(inner)?;
        Ok(Written { took, exemplars })
    }
}

struct Listener<'f> {
    gather: Gather<'f>,
    name: Vec<u8>,
    exemplars: u64,
}

fn shape_of(name: &str, kind: Kind) -> (Shape, Flow) {
    let counts = ["_total", "_count", "_sum", "_bucket"];
    let counts = match kind {
        Kind::Counter => true,
        Kind::Level => name.ends_with("_total"),
        Kind::Unknown => counts.iter().any(|end| name.ends_with(end)) || envoy::counts(name),
    };
    if counts {
        (Shape::Counter, Flow::Cumulative)
    } else {
        (Shape::Level, Flow::Level)
    }
}

/// What a series carries; one carries the one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    Samples,
    Histograms,
}

/// The name of a series, taken apart.
struct Named<'n> {
    metric: &'n str,
    pairs: Vec<(&'n str, &'n str)>,
}

impl<'n> Named<'n> {
    fn of(&self, label: &str) -> Option<&'n str> {
        let found = self.pairs.iter().find(|(n, _)| *n == label);
        found.map(|(_, v)| *v)
    }

    /// Its labels, but for those.
    fn labels(&self, without: &[&str]) -> Labels {
        let kept = self.pairs.iter().filter(|(n, _)| !without.contains(n));
        Labels::new(
            kept.map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    /// Which series of which classic histogram it may be, by the name of the buckets; or why it cannot
    /// be one of them.
    fn cut(&self) -> Option<(String, Result<Cut, String>)> {
        if self.metric.ends_with("_bucket") {
            return Some((self.metric.to_owned(), self.bound()));
        }
        let base = self.metric.strip_suffix("_sum")?;
        Some((format!("{base}_bucket"), Ok(Cut::SUM)))
    }

    fn bound(&self) -> Result<Cut, String> {
        let Some(le) = self.of("le") else {
            return Err("it is a bucket without a label `le`, its upper bound".into());
        };
        let bound = le.parse().ok().filter(|le| *le > f64::NEG_INFINITY);
        bound.and_then(Cut::until).ok_or_else(|| {
            format!("its `le`, `{le:.40}`, is no upper bound: write a number, or +Inf")
        })
    }

    fn introduced(
        &self,
        gather: &Gather<'_>,
        metric: &str,
        labels: &Labels,
        flow: Flow,
        mapped: Mapped,
    ) -> Introduced {
        let scraped = format!(
            "{}\0{:?}\0{:?}",
            gather.caller.name,
            self.of("job"),
            self.of("instance")
        );
        let family = format!("{scraped}\0{metric}");
        Introduced {
            key: identity(&mapped, metric, labels, &[]),
            family: key_of(family.as_bytes()),
            instance: key_of(scraped.as_bytes()),
            flow,
            mapped,
        }
    }
}

fn introduce(
    gather: &Gather<'_>,
    series: &Series<'_>,
    carries: Carries,
) -> Result<(Introduced, Option<Cut>), Slot> {
    let labels = series.labels();
    let mut pairs = labels.map_err(|why| gather.refused("labels", why))?;
    pairs.retain(|(name, _)| !REPLICA.contains(name));
    let metric = pairs.iter().find(|(n, _)| *n == "__name__").map(|p| p.1);
    let Some(metric) = metric.filter(|n| !n.is_empty()) else {
        return Err(gather.refusal("it has no metric name (`__name__`)"));
    };
    let named = Named { metric, pairs };
    let cut = match carries {
        // Histograms of gauges come in buckets too, which do not count from a start.
        Carries::Samples if series.kind != Kind::Level => named.cut(),
        Carries::Samples | Carries::Histograms => None,
    };
    let mapping = &gather.feed.options.mapping;
    let wanted = |(buckets, _): &(String, _)| mapping.wants(buckets);
    if !mapping.wants(metric) && !cut.as_ref().is_some_and(wanted) {
        return Err(Slot::PassedOver);
    }
    let (shape, flow) = match carries {
        Carries::Samples => shape_of(metric, series.kind),
        Carries::Histograms => (Shape::Histogram, Flow::Cumulative),
    };
    let labels = named.labels(&["__name__"]);
    let alone = gather.decide(&Stream {
        name: metric,
        unit: "",
        shape,
        labels: &labels,
    });
    let slot = match alone {
        Ok(mapped) => {
            let introduced = named.introduced(gather, metric, &labels, flow, mapped);
            return Ok((introduced, None));
        }
        Err(slot) => slot,
    };
    let Some((buckets, cut)) = cut else {
        return Err(slot);
    };
    let labels = named.labels(&["__name__", "le"]);
    let together = gather.decide(&Stream {
        name: &buckets,
        unit: "",
        shape: Shape::Buckets,
        labels: &labels,
    });
    match (together, slot) {
        (Ok(mapped), _) => {
            let cut = cut.map_err(|why| gather.refused("buckets", why))?;
            let flow = Flow::Cumulative;
            let introduced = named.introduced(gather, &buckets, &labels, flow, mapped);
            Ok((introduced, Some(cut)))
        }
        // Whichever says what to do.
        (Err(refused @ Slot::Refused(..)), _) | (_, refused) => Err(refused),
    }
}

impl Listener<'_> {
    fn find(&mut self, series: &Series<'_>, carries: Carries, points: usize) -> Option<Whose> {
        if points == 0 {
            return None;
        }
        self.name.clear();
        self.name
            .extend_from_slice(self.gather.caller.name.as_bytes());
        self.name.extend_from_slice(&[
            0,
            match series.form {
                Version::One => 1,
                Version::Two => 2,
            },
            carries as u8,
            series.kind as u8,
        ]);
        let before = self.gather.took.passed_over;
        let mut is_paired = false;
        let (head, tail) = (&self.name[..], series.name);
        let found = self
            .gather
            .find_cut(Name { head, tail }, points as u64, |gather| {
                is_paired = series.value_of(&REPLICA).is_some();
                introduce(gather, series, carries)
            });
        self.gather.inner.names.paired |= is_paired;
        if carries == Carries::Histograms {
            self.gather.took.histograms += self.gather.took.passed_over - before;
        }
        found
    }

    /// Whether a point counts, or is what another server of a pair has told already.
    fn admit(&mut self, whose: Whose, replica: Option<&[u8]>, time: i64) -> bool {
        let Some(replica) = replica else {
            return true;
        };
        let gather = &mut self.gather;
        let options = &gather.feed.options;
        let ahead = time.saturating_sub(gather.now);
        if options.clock == Clock::Machine && ahead > options.terms.ahead_ms {
            // It is refused for that, and who has sent it is not whom to listen to.
            return true;
        }
        let books = &gather.inner.books;
        let (key, known) = match whose.id {
            Id::Fresh(i) => {
                let introduced = &gather.fresh[i as usize].introduced;
                (Some(introduced.key), books.find(introduced))
            }
            Id::Stream(id) => (None, Some(id)),
        };
        let source = known.and_then(|id| books.sources[id as usize].as_ref());
        let spoken = source.map_or(i64::MIN, |s| s.spoken());
        let Some(key) = source.map(|s| s.key).or(key) else {
            return true;
        };
        let admitted = gather.inner.names.admit(&key, replica, time, spoken);
        if !admitted {
            gather.took.accepted += 1;
            gather.took.duplicates += 1;
        }
        admitted
    }

    fn sample(&mut self, whose: Whose, sample: &Sample) {
        let number = f64::from_bits(sample.bits);
        let value = match whose.cut.map(|cut| cut.slice(number)) {
            _ if sample.bits == STALE => None,
            // Of observations that are no numbers, some have no sum; their buckets count all the same.
            Some(Slice::Sum(sum)) if !sum.is_finite() => {
                self.gather.took.passed_over += 1;
                return;
            }
            Some(slice) => Some(Value::Slice(Box::new(slice))),
            None => Some(Value::Number(number)),
        };
        let observed = Observed {
            start: sample.start,
            time: sample.time,
            value,
        };
        self.gather.points.push((whose.id, observed));
    }

    fn histogram(&mut self, whose: Whose, native: &Native) {
        let value = match &native.told {
            Told::Histogram(histogram) => Some(Value::Histogram(Box::new(histogram.clone()))),
            Told::Stale => None,
            Told::Unusable(why) => return self.gather.reject(1, "value", why),
        };
        let observed = Observed {
            start: native.start,
            time: native.time,
            value,
        };
        self.gather.points.push((whose.id, observed));
    }
}

impl Sink for Listener<'_> {
    fn series(&mut self, series: &Series<'_>) {
        self.exemplars += series.exemplars;
        let replica = |gather: &Gather<'_>| {
            let is_paired = gather.inner.names.paired;
            is_paired.then(|| series.value_of(&REPLICA)).flatten()
        };
        if let Some(whose) = self.find(series, Carries::Samples, series.samples.len()) {
            let replica = replica(&self.gather);
            for sample in series.samples {
                if self.admit(whose, replica, sample.time) {
                    self.sample(whose, sample);
                }
            }
        }
        if let Some(whose) = self.find(series, Carries::Histograms, series.histograms.len()) {
            let replica = replica(&self.gather);
            for native in series.histograms {
                if self.admit(whose, replica, native.time) {
                    self.histogram(whose, native);
                } else {
                    self.gather.took.histograms += 1;
                }
            }
        }
    }

    fn unusable(&mut self, samples: u64, why: &'static str) {
        self.gather.reject(samples, "labels", why);
    }
}
