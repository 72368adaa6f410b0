//! A sender of remote write in few words: the series of one route of one instance, a request of either form, and
//! what is said of it when it is sent by HTTP.

use super::fake::at;
use super::messages::{Histogram, Label, OneSeries, Sample, Two, TwoSeries};
use super::way_in::{Answer, GOOD, post};
use prost::Message;
use tidegate_bridges::feed::{Feed, Written};
use tidegate_bridges::mapping::Matcher;
use tidegate_bridges::mapping::rules::{Action, Rule};
use tidegate_bridges::remote_write::Version;
use tidegate_bridges::serve::Router;
use tidegate_core::access::Principal;
use tidegate_core::units::Signal;

pub(crate) type Texts<'l> = [(&'l str, &'l str)];

/// Labels of a metric of `pay` at `/a`, and more, in the order that the specification wants.
pub(crate) fn labels<'l>(metric: &'l str, more: &Texts<'l>) -> Vec<(&'l str, &'l str)> {
    let mut labels = vec![
        ("__name__", metric),
        ("http_request_method", "GET"),
        ("http_route", "/a"),
        ("instance", "10.0.0.1:80"),
        ("job", "pay"),
        ("tidegate_tenant", "shop"),
    ];
    labels.extend(more);
    labels.sort_unstable();
    labels
}

/// A sample at so many seconds.
pub(crate) fn sample((t, value): (i64, f64)) -> Sample {
    Sample {
        value,
        timestamp: t * 1000,
        ..Sample::default()
    }
}

/// A series of 1.0.
pub(crate) fn one(
    labels: &Texts<'_>,
    samples: &[(i64, f64)],
    histograms: &[Histogram],
) -> OneSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).into(),
        value: (*value).into(),
    };
    OneSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().copied().map(sample).collect(),
        histograms: histograms.to_vec(),
        ..OneSeries::default()
    }
}

/// A request of 2.0 of one series; its labels are filled in.
pub(crate) fn two(labels: &Texts<'_>, series: TwoSeries) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let texts = labels.iter().flat_map(|(n, v)| [*n, *v]);
    symbols.extend(texts.map(str::to_owned));
    let timeseries = vec![TwoSeries {
        labels_refs: (1..symbols.len() as u32).collect(),
        ..series
    }];
    Two {
        symbols,
        timeseries,
    }
    .encode_to_vec()
}

/// What became of a request that arrived at so many seconds.
pub(crate) fn write(feed: &Feed, body: &[u8], version: Version, now: i64) -> Written {
    let now = at(now.unsigned_abs());
    feed.remote_write(&Principal::local(), body, version, now)
        .unwrap()
}

/// Sends a request by HTTP, packed as the specification wants it.
pub(crate) async fn send(router: &Router, kind: (&str, &str), body: &[u8]) -> Answer {
    let packed = snap::raw::Encoder::new().compress_vec(body).unwrap();
    let snappy = ("content-encoding", "snappy");
    post(router, "/api/v1/write", &[GOOD, kind, snappy], packed).await
}

/// Samples, histograms and exemplars that an answer says were written.
pub(crate) fn written(answer: &Answer) -> [u64; 3] {
    ["samples", "histograms", "exemplars"].map(|what| {
        let header = format!("x-prometheus-remote-write-{what}-written");
        answer.says(&header).parse().unwrap()
    })
}

/// A rule by which a metric feeds a signal of its job.
pub(crate) fn rule(matcher: &str, signal: Signal) -> Rule {
    Rule {
        matcher: Matcher::new(matcher).unwrap(),
        action: Action::Feed {
            api: "{job}".into(),
            signal,
            errors: None,
            scale: None,
        },
    }
}
