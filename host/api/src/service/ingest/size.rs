//! What a frame weighs: asked before anything of it is unpacked, and once it is.
//!
//! A grid packs a sample into a byte or less, and it becomes sixteen here; so the bytes of a message
//! bound nothing, and samples are counted before there are any.

use tidegate_core::distribution::Distribution;
use tidegate_core::sample::{SampleBatch, Values};
use tidegate_proto::v1::SampleFrame;

/// Refuses a frame of more samples than one may hold.
pub(super) fn check(frame: &SampleFrame, most: usize) -> Result<(), (&'static str, String)> {
    let columns = frame.series.iter().filter_map(|s| s.columns.as_ref());
    let in_columns = columns
        .map(|c| c.values.len().max(c.distributions.len()) as u64)
        .sum::<u64>();
    let in_grids = frame.grids.iter().fold(0_u64, |sum, grid| {
        let rows = match grid.rows {
            0 => grid.series_ref.len() as u64,
            rows => u64::from(rows),
        };
        sum.saturating_add(rows.saturating_mul(u64::from(grid.steps)))
    });
    let samples = in_columns.saturating_add(in_grids);
    if samples <= most as u64 {
        return Ok(());
    }
    let field = if in_columns >= in_grids {
        "series"
    } else {
        "grids"
    };
    Err((
        field,
        format!(
            "the frame holds {samples} samples, at most {most} are taken at once; send it in parts"
        ),
    ))
}

/// Memory of a batch, in bytes, as the protocol's terms count it.
pub(super) fn bytes(batch: &SampleBatch) -> usize {
    let series = batch.series.iter().map(|series| match &series.values {
        Values::Numbers(numbers) => 16 * numbers.len(),
        Values::Distributions(all) => all.iter().map(distribution).sum(),
    });
    series.sum()
}

fn distribution(d: &Distribution) -> usize {
    104 + 8 * d.buckets.len() + 16 * d.above.len()
}
