//! Samples: columns under references become series, and what is said of them finds its way back to
//! the sender's own fields.
//!
//! A series that is malformed is left out and told as a rejection; the rest of the frame is stored.
//! So the batch that the port sees may be shorter than the frame: [`Translated`] remembers which
//! series came from where, and a rejection of the port is told in the sender's numbering.

use super::{grids, words};
use crate::scope;
use std::collections::BTreeMap;
use tidegate_core::access::Principal;
use tidegate_core::distribution::Distribution;
use tidegate_core::ids::ApiId;
use tidegate_core::sample::{Rejection, SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_proto::v1;

/// What the samples of a series mean.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(super) key: SeriesKey,
    pub(super) step: Step,
}

/// The series that a stream has declared; a refused declaration is kept with its reason, which
/// every use of it repeats.
#[derive(Debug, Default)]
pub(crate) struct Declarations(BTreeMap<u32, Result<Declared, String>>);

/// A batch for the port, and the way back to the sender's fields.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    /// What can be stored.
    pub(crate) batch: SampleBatch,
    /// What cannot, already in the sender's terms.
    pub(crate) rejections: Vec<v1::Rejection>,
    /// Where each series of the batch came from.
    pub(super) origin: Vec<Origin>,
}

/// Where a series of a batch came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From the series of that index.
    Series(usize),
    /// From a row of a grid.
    Row {
        /// Index of the grid.
        grid: usize,
        /// Index in `series_ref`.
        place: usize,
        /// The field that holds its samples.
        column: &'static str,
        /// Index of its first sample in it.
        base: usize,
    },
}

/// Reads what a series is.
fn declared(caller: &Principal, api: &str, signal: i32, step_s: u32) -> Result<Declared, String> {
    let api: ApiId = api.parse().map_err(|e| format!("api: {e}"))?;
    let signal = words::signal(signal).map_err(|e| format!("signal: {e}"))?;
    let step = Step::from_secs(step_s)
        .ok_or_else(|| format!("step_s: {step_s} s is not between 1 s and a day (86400 s)"))?;
    scope::visible(caller, "api", &api).map_err(|e| e.to_string())?;
    Ok(Declared {
        key: SeriesKey { api, signal },
        step,
    })
}

impl Declarations {
    /// Declares series.
    ///
    /// # Errors
    /// When a stream would declare more than `most`.
    pub(crate) fn declare(
        &mut self,
        caller: &Principal,
        new: &[v1::SeriesDeclaration],
        most: usize,
    ) -> Result<(), String> {
        for d in new {
            if self.0.len() >= most && !self.0.contains_key(&d.series_ref) {
                return Err(format!(
                    "one stream declares at most {most} series; open another for the rest"
                ));
            }
            let declared = declared(caller, &d.api, d.signal, d.step_s);
            self.0.insert(d.series_ref, declared);
        }
        Ok(())
    }

    /// Reads the samples of a frame.
    pub(crate) fn translate(
        &self,
        series: Vec<v1::SeriesSamples>,
        grids: Vec<v1::SampleGrid>,
    ) -> Translated {
        let mut out = Translated::default();
        for (i, samples) in series.into_iter().enumerate() {
            let declared = self.meaning(samples.series_ref);
            let declared = declared.map_err(|reason| ("series_ref", reason));
            out.add(i, declared, samples.columns.unwrap_or_default());
        }
        for (g, grid) in grids.into_iter().enumerate() {
            grids::read(g, grid, &|reference| self.meaning(reference), &mut out);
        }
        out
    }

    fn meaning(&self, reference: u32) -> Result<Declared, String> {
        match self.0.get(&reference) {
            Some(declared) => declared.clone(),
            None => Err(format!(
                "reference {reference} was not declared on this stream; declare it first"
            )),
        }
    }
}

impl Translated {
    /// Reads the series of a call.
    pub(crate) fn of_call(caller: &Principal, series: Vec<v1::PushSeries>) -> Self {
        let mut out = Self::default();
        for (i, s) in series.into_iter().enumerate() {
            let declared = declared(caller, &s.api, s.signal, s.step_s).map_err(|e| ("", e));
            out.add(i, declared, s.columns.unwrap_or_default());
        }
        out
    }

    fn add(
        &mut self,
        i: usize,
        declared: Result<Declared, (&'static str, String)>,
        columns: v1::Columns,
    ) {
        let samples = columns.values.len().max(columns.distributions.len());
        let read = declared.and_then(|d| read(d, columns).map_err(|e| ("columns", e)));
        match read {
            Ok(series) => {
                self.origin.push(Origin::Series(i));
                self.batch.series.push(series);
            }
            Err((field, reason)) => {
                let dot = if field.is_empty() { "" } else { "." };
                self.rejections.push(v1::Rejection {
                    field: format!("series[{i}]{dot}{field}"),
                    samples: samples as u64,
                    reason,
                });
            }
        }
    }

    /// The way back for what the port says of the batch.
    pub(crate) fn into_parts(self) -> (SampleBatch, WayBack) {
        let way = WayBack {
            origin: self.origin,
            rejections: self.rejections,
        };
        (self.batch, way)
    }
}

/// Which series of the batch came from which of the sender's.
#[derive(Debug, Default)]
pub(crate) struct WayBack {
    origin: Vec<Origin>,
    rejections: Vec<v1::Rejection>,
}

impl WayBack {
    /// All rejections, in the sender's terms.
    pub(crate) fn rejections(self, of_port: Vec<Rejection>) -> Vec<v1::Rejection> {
        let mut all = self.rejections;
        all.extend(of_port.into_iter().map(|r| v1::Rejection {
            field: sender_s(&r.field, &self.origin).unwrap_or(r.field),
            samples: r.samples,
            reason: r.reason,
        }));
        all
    }
}

/// `series[2].values[7]` of the batch in the sender's numbering: `series[5].columns.values[7]`, or
/// `grids[0].counts[19]`.
fn sender_s(field: &str, origin: &[Origin]) -> Option<String> {
    let (index, rest) = field.strip_prefix("series[")?.split_once(']')?;
    let columns = [".values", ".times", ".distributions"];
    match *origin.get(index.parse::<usize>().ok()?)? {
        Origin::Series(i) => {
            let inside = if columns.iter().any(|c| rest.starts_with(c)) {
                ".columns"
            } else {
                ""
            };
            Some(format!("series[{i}]{inside}{rest}"))
        }
        Origin::Row {
            grid,
            place,
            column,
            base,
        } => {
            if rest.starts_with(".times") {
                return Some(format!("grids[{grid}].start_ms"));
            }
            let at = rest.split_once('[').and_then(|(name, index)| {
                let index: usize = index.strip_suffix(']')?.parse().ok()?;
                columns.contains(&name).then_some(base + index)
            });
            Some(match at {
                Some(i) => format!("grids[{grid}].{column}[{i}]"),
                None => format!("grids[{grid}].series_ref[{place}]"),
            })
        }
    }
}

fn read(declared: Declared, columns: v1::Columns) -> Result<SeriesSamples, String> {
    let Declared { key, step } = declared;
    let distributions = key.signal == Signal::Latency;
    let (wanted, other) = if distributions {
        ("distributions", columns.values.len())
    } else {
        ("values", columns.distributions.len())
    };
    if other > 0 {
        return Err(format!("{} is sent as `{wanted}` alone", key.signal.name()));
    }
    let values = if distributions {
        let read = columns.distributions.into_iter().enumerate();
        let read =
            read.map(|(i, d)| distribution(d).map_err(|e| format!("distributions[{i}] {e}")));
        Values::Distributions(read.collect::<Result<_, _>>()?)
    } else {
        Values::Numbers(columns.values)
    };
    if values.is_empty() {
        return Err(format!(
            "`{wanted}` is empty; send at least one sample, or leave the series out"
        ));
    }
    let times = times(columns.start_ms, &columns.delta_ms, values.len(), step)?;
    Ok(SeriesSamples {
        key,
        step,
        times,
        values,
    })
}

fn times(start: i64, delta: &[i64], count: usize, step: Step) -> Result<Vec<Timestamp>, String> {
    let too_far = || "its times go beyond what milliseconds in 64 bits can tell".to_owned();
    if !delta.is_empty() && delta.len() + 1 != count {
        return Err(format!(
            "has {} delta_ms for {count} samples; send one fewer than samples, or none",
            delta.len()
        ));
    }
    let mut now = start;
    let mut times = Vec::with_capacity(count);
    for i in 0..count {
        if i > 0 {
            let forward = delta.get(i - 1).copied().unwrap_or(step.ms());
            now = now.checked_add(forward).ok_or_else(too_far)?;
        }
        times.push(Timestamp(now));
    }
    Ok(times)
}

fn distribution(d: v1::Distribution) -> Result<Distribution, String> {
    let scale =
        i8::try_from(d.scale).map_err(|_| format!("has scale {}, expected -10 to 20", d.scale))?;
    if d.thresholds.len() != d.above.len() {
        return Err(format!(
            "has {} thresholds but {} counts above them; send one count per threshold",
            d.thresholds.len(),
            d.above.len()
        ));
    }
    Ok(Distribution {
        scale,
        zero_count: d.zero_count,
        offset: d.offset,
        buckets: d.buckets,
        sum: d.sum,
        above: d.thresholds.into_iter().zip(d.above).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_regular_unless_the_sender_says_otherwise() {
        let ms = |start, delta: &[i64], n| {
            times(start, delta, n, Step::MINUTE).map(|t| t.iter().map(|t| t.0).collect::<Vec<_>>())
        };
        assert_eq!(ms(0, &[], 3).unwrap(), [0, 60_000, 120_000]);
        assert_eq!(ms(0, &[120_000, -60_000], 3).unwrap(), [0, 120_000, 60_000]);
        assert_eq!(ms(7, &[], 0).unwrap(), [0_i64; 0]);
        assert!(
            ms(0, &[60_000], 3)
                .unwrap_err()
                .contains("1 delta_ms for 3")
        );
        assert!(ms(0, &[1], 0).is_err());
        assert!(ms(i64::MAX, &[], 2).unwrap_err().contains("beyond"));
    }

    #[test]
    fn a_rejection_of_the_port_is_told_in_the_sender_s_numbers() {
        let of = [Origin::Series(0), Origin::Series(5)];
        assert_eq!(
            sender_s("series[1].values[7]", &of).unwrap(),
            "series[5].columns.values[7]"
        );
        assert_eq!(sender_s("series[1].api", &of).unwrap(), "series[5].api");
        assert_eq!(sender_s("series[9]", &of), None);
        assert_eq!(sender_s("batch", &of), None);
        let row = [Origin::Row {
            grid: 2,
            place: 4,
            column: "counts",
            base: 10,
        }];
        let told = |field| sender_s(field, &row).unwrap();
        assert_eq!(told("series[0].values[7]"), "grids[2].counts[17]");
        assert_eq!(told("series[0].times[1]"), "grids[2].start_ms");
        assert_eq!(told("series[0].values"), "grids[2].series_ref[4]");
        assert_eq!(told("series[0]"), "grids[2].series_ref[4]");
    }
}
