//! What a sender's body, an entry of the feeds' journal and a matcher may be: the first byte says which, and
//! whatever is read is worked with as the daemon would.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_bridges::books::{Books, Terms};
use tidegate_bridges::envoy::{self, Family};
use tidegate_bridges::histogram::{Histogram, Layout};
use tidegate_bridges::mapping::Matcher;
use tidegate_bridges::otlp::{self, Point, Reading, Sink, Wanted};
use tidegate_bridges::remote_write::{self, Told, Version};
use tidegate_bridges::wire::Part;

#[derive(Default)]
struct Reader(Option<Histogram>);

impl Reader {
    fn histogram(&mut self, histogram: Histogram) {
        assert_eq!(histogram.distribution(0.001).problem(), None);
        assert!(histogram.part(3, 7, 10).count() <= histogram.count());
        if let Some(since) = self.0.as_ref().and_then(|last| histogram.since(last)) {
            assert!(since.count() <= histogram.count());
        }
        self.0 = Some(histogram);
    }
}

impl Sink for Reader {
    fn resource(&mut self, resource: Part<'_>) {
        let _ = otlp::resource_attributes(resource);
    }

    fn scope(&mut self, _: Part<'_>) {}

    fn metric(&mut self, _: &otlp::Metric<'_>) -> Wanted {
        Wanted::Points
    }

    fn point(&mut self, point: &Point<'_>) {
        for part in point.attributes {
            let _ = otlp::key_value(*part);
        }
        match point.reading {
            Reading::Explicit {
                sum,
                bounds,
                counts,
                ..
            } if !counts.is_empty() => self.histogram(Histogram {
                layout: Layout::Explicit(bounds.into()),
                counts: counts.to_vec(),
                sum,
            }),
            Reading::Exponential {
                sum,
                scale,
                zero,
                offset,
                counts,
                ..
            } => self.histogram(Histogram {
                layout: Layout::Exponential {
                    scale,
                    offset,
                    zero,
                },
                counts: counts.to_vec(),
                sum,
            }),
            _ => {}
        }
    }

    fn passed_over(&mut self, _: u64) {}
}

impl remote_write::Sink for Reader {
    fn series(&mut self, series: &remote_write::Series<'_>) {
        let _ = series.labels();
        for native in series.histograms {
            if let Told::Histogram(histogram) = &native.told {
                self.histogram(histogram.clone());
            }
        }
    }

    fn unusable(&mut self, _: u64, _: &'static str) {}
}

impl envoy::Sink for Reader {
    fn node(&mut self, identifier: Part<'_>) {
        let _ = envoy::node(identifier);
    }

    fn family(&mut self, _: &Family<'_>) -> Wanted {
        Wanted::Points
    }

    fn metric(&mut self, metric: &envoy::Metric<'_>) {
        for part in metric.labels {
            let _ = envoy::label(*part);
        }
        if let envoy::Reading::Histogram {
            sum,
            bounds,
            counts,
        } = metric.reading
        {
            self.histogram(Histogram {
                layout: Layout::Explicit(bounds.into()),
                counts: counts.to_vec(),
                sum: Some(sum),
            });
        }
    }

    fn passed_over(&mut self, _: u64, _: i64) {}
}

fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else {
        return;
    };
    let mut reader = Reader::default();
    // Only a panic is a finding: a refusal is an answer.
    let _ = match which % 6 {
        0 => otlp::walk(body, &mut reader).is_ok(),
        1 => remote_write::walk(body, Version::One, &mut reader).is_ok(),
        2 => remote_write::walk(body, Version::Two, &mut reader).is_ok(),
        3 => Books::new(Terms::default()).replay(body).is_ok(),
        4 => envoy::walk(body, &mut reader).is_ok(),
        _ => std::str::from_utf8(body).is_ok_and(|text| Matcher::new(text).is_ok()),
    };
});
