//! Who answers for a series: champion and challengers, with hysteresis.
//!
//! Losses wander; a gate that changes its mind with them makes plans that nobody can follow. So a
//! challenger has to be better by [`MARGIN`], without a break, for [`HOLD_MS`], on enough outcomes;
//! ties and near ties stay. Two candidates are compared on the bands that both were scored in: a
//! module that was bound yesterday has no day-ahead score yet, and must not win or lose by that.
//! Where a series is too young, the scores of its tenant's series of the same category and signal
//! stand in, pooled by their outcomes.
//!
//! Rejected: a test for a difference in loss (Diebold & Mariano 1995). It asks whether there is *any*
//! difference, and with enough outcomes there is; what matters is whether it pays for a change.

use super::score;
use std::collections::BTreeMap;
use tidegate_core::forecast::{Band, Choice, Ground, Rival, Track};
use tidegate_core::ids::Digest;
use tidegate_core::time::Timestamp;

/// Part by which a challenger's loss must be below the champion's.
pub const MARGIN: f64 = 0.03;

/// How long it must be so without a break.
pub const HOLD_MS: i64 = 12 * 3_600_000;

/// Outcomes that a candidate needs in the bands on which it is compared.
pub const ENOUGH: u32 = 100;

/// What speaks for a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Merit {
    /// The module.
    pub module: Digest,
    /// By band: loss relative to seasonal-naive's, and outcomes. Bands with too few are left out.
    pub bands: BTreeMap<Band, (f64, u32)>,
}

impl Merit {
    /// What a track says of its module.
    #[must_use]
    pub fn of(track: &Track) -> Self {
        let told = track
            .bands
            .iter()
            .filter(|b| b.score.outcomes >= score::FEW)
            .filter_map(|b| Some((b.band, (score::relative_loss(&b.score)?, b.score.outcomes))));
        Self {
            module: track.module,
            bands: told.collect(),
        }
    }

    /// What the tracks of one module on several series say together, weighed by their outcomes.
    #[must_use]
    pub fn pooled<'a>(module: Digest, tracks: impl IntoIterator<Item = &'a Track>) -> Self {
        let mut sums: BTreeMap<Band, (f64, u32)> = BTreeMap::new();
        for track in tracks.into_iter().filter(|t| t.module == module) {
            for band in &track.bands {
                let Some(loss) = score::relative_loss(&band.score) else {
                    continue;
                };
                let n = band.score.outcomes;
                let sum = sums.entry(band.band).or_insert((0.0, 0));
                *sum = (sum.0 + loss * f64::from(n), sum.1.saturating_add(n));
            }
        }
        let bands = sums
            .into_iter()
            .filter(|(_, (_, n))| *n >= score::FEW)
            .map(|(band, (sum, n))| (band, (sum / f64::from(n), n)))
            .collect();
        Self { module, bands }
    }

    /// Losses of two candidates on their common bands; `None` where one has too few outcomes there.
    fn against(&self, other: &Self) -> Option<(f64, f64)> {
        let mut sums = (0.0, 0.0);
        let mut seen = (0_u32, 0_u32);
        for (band, (mine, n)) in &self.bands {
            if let Some((theirs, m)) = other.bands.get(band) {
                sums = (sums.0 + mine, sums.1 + theirs);
                seen = (seen.0.saturating_add(*n), seen.1.saturating_add(*m));
            }
        }
        (seen.0 >= ENOUGH && seen.1 >= ENOUGH).then_some(sums)
    }

    /// Whether its own outcomes are enough to be compared at all.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        let n = self
            .bands
            .values()
            .fold(0, |n: u32, b| n.saturating_add(b.1));
        n >= ENOUGH
    }
}

/// Chooses. `merits` are those of the candidates (the bound module and its challengers), in their
/// order; `bound` is who answers when nothing is known. A champion that is no candidate any more
/// gives way to the bound module at once.
#[must_use]
pub fn select(
    standing: Option<&Choice>,
    bound: Digest,
    merits: &[Merit],
    ground: Ground,
    now: Timestamp,
) -> Choice {
    let fresh = Choice {
        champion: bound,
        since: now,
        ground: Ground::Bound,
        rival: None,
    };
    let merit = |module: Digest| merits.iter().find(|m| m.module == module);
    let current = match standing {
        Some(choice) if choice.champion == bound || merit(choice.champion).is_some() => *choice,
        _ => fresh,
    };
    let Some(champion) = merit(current.champion) else {
        return current;
    };
    let better = |challenger: &Merit| {
        challenger
            .against(champion)
            .filter(|(theirs, own)| *theirs < own * (1.0 - MARGIN))
            .map(|(theirs, own)| theirs / own)
    };
    // Who began to lead first goes on leading while it leads: two good challengers that take turns
    // must not keep each other from winning.
    let leading = current
        .rival
        .filter(|r| merit(r.module).is_some_and(|m| better(m).is_some()));
    let rival = leading.or_else(|| {
        let others = merits.iter().filter(|m| m.module != current.champion);
        let best = others
            .filter_map(|m| Some((better(m)?, m.module)))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.map(|(_, module)| Rival { module, since: now })
    });
    match rival {
        Some(rival) if now.since_ms(rival.since) >= HOLD_MS => Choice {
            champion: rival.module,
            since: now,
            ground,
            rival: None,
        },
        rival => Choice { rival, ..current },
    }
}

#[cfg(test)]
mod tests;
