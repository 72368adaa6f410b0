//! The arithmetic of a prior: how a day of a category usually runs, and a past made of it.
//!
//! Medians throughout: over the days of a peer, so that an outage or a campaign is not usual, and
//! over the peers, so that one strange api is not the category. What a past made of medians lacks is
//! its restlessness, and a model that learned from it would promise intervals that are too narrow; so
//! the peers' own deviations from their profiles are laid over it, in the size that the series' own
//! steps show. Nothing here is random: a fit can be done again with the same outcome.

/// Where a step lies in its api's local week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    /// Local day, counted from anywhere.
    pub(super) day: i64,
    /// Step of the day.
    pub(super) bin: usize,
    /// 0 Monday to 6 Sunday.
    pub(super) weekday: usize,
}

/// Days of measurement that make a profile.
const LEAST_DAYS: usize = 3;

/// Days of measurement that make weekdays: then at least one is there twice.
const WEEK_DAYS: usize = 8;

/// How much of a profile a series may follow, least first: where its own steps cannot tell, the least.
/// Up to twice, because medians over many peers are flatter than each of them.
const PARTS: [f64; 7] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0];

/// What following a profile further must bring, as a factor of the error.
const WORTH: f64 = 0.9;

/// Least and most by which a peer's restlessness is scaled to the series' own.
const CALM: (f64, f64) = (0.25, 1.0);

/// How one peer usually runs, and how it departs from that.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// Per step of the day, mean 1.
    day: Vec<f64>,
    /// Per weekday, around 1.
    week: [f64; 7],
    /// Deviations from it, day by day, per step of the day; NaN where nothing was measured.
    rest: Vec<Vec<f64>>,
}

impl Profile {
    /// Of a peer with enough days; `None` when there are too few, or there is no load.
    pub(super) fn of(values: &[f64], phases: &[Phase], bins: usize) -> Option<Self> {
        let mut days: Vec<(i64, usize, Vec<f64>)> = vec![];
        for (value, phase) in values.iter().zip(phases) {
            if days.last().is_none_or(|(day, ..)| *day != phase.day) {
                days.push((phase.day, phase.weekday, vec![f64::NAN; bins]));
            }
            if let Some((.., row)) = days.last_mut()
                && let Some(cell) = row.get_mut(phase.bin)
            {
                *cell = *value;
            }
        }
        // A day that was hardly measured says little of days.
        days.retain(|(.., row)| row.iter().filter(|v| v.is_finite()).count() * 2 >= bins);
        if days.len() < LEAST_DAYS {
            return None;
        }
        let mut day: Vec<f64> = (0..bins)
            .map(|bin| median(days.iter().map(|(.., row)| row[bin])).unwrap_or(f64::NAN))
            .collect();
        smooth(&mut day);
        let mean = day.iter().sum::<f64>() / bins as f64;
        if !(mean.is_finite() && mean > 0.0) {
            return None;
        }
        day.iter_mut().for_each(|v| *v /= mean);
        let mut week = [1.0; 7];
        if days.len() >= WEEK_DAYS {
            for (weekday, factor) in week.iter_mut().enumerate() {
                let ratios = days
                    .iter()
                    .filter(|(_, of, _)| *of == weekday)
                    .map(|(.., row)| scale(row, &day) / mean);
                *factor = median(ratios).filter(|f| *f > 0.0).unwrap_or(1.0);
            }
        }
        let rest = days
            .iter()
            .map(|(_, weekday, row)| {
                let usual = |bin: usize| day[bin] * week[*weekday];
                (0..bins).map(|bin| row[bin] / mean - usual(bin)).collect()
            })
            .collect();
        Some(Self { day, week, rest })
    }

    /// The category's: medians over its peers, and the restlessness of all of them.
    pub(super) fn join(peers: &[Profile]) -> Option<Self> {
        let first = peers.first()?;
        let bins = first.day.len();
        let mut day: Vec<f64> = (0..bins)
            .map(|bin| median(peers.iter().map(|p| p.day[bin])).unwrap_or(1.0))
            .collect();
        let mean = day.iter().sum::<f64>() / bins as f64;
        day.iter_mut().for_each(|v| *v /= mean);
        let week = std::array::from_fn(|d| median(peers.iter().map(|p| p.week[d])).unwrap_or(1.0));
        // One day of each peer in turn.
        let most = peers.iter().map(|p| p.rest.len()).max().unwrap_or(0);
        let rest = (0..most)
            .flat_map(|n| peers.iter().filter_map(move |p| p.rest.get(n).cloned()))
            .collect();
        Some(Self { day, week, rest })
    }

    fn usual(&self, phase: Phase) -> f64 {
        self.day.get(phase.bin).copied().unwrap_or(1.0) * self.week[phase.weekday % 7]
    }

    /// This profile as a series runs it, judged by the series' own steps: flattened as far as they ask
    /// for, and the level; `None` when they say nothing.
    pub(super) fn suited(&self, values: &[f64], phases: &[Phase]) -> Option<(Self, f64)> {
        let mut best: Option<(f64, Self, f64)> = None;
        for part in PARTS {
            let flat = self.flattened(part);
            let usual: Vec<f64> = phases.iter().map(|p| flat.usual(*p)).collect();
            let level = scale(values, &usual);
            if !(level.is_finite() && level > 0.0) {
                continue;
            }
            let measured = values.iter().zip(&usual).filter(|(v, _)| v.is_finite());
            let off: f64 = measured.map(|(v, u)| (v - level * u).abs()).sum();
            if best.as_ref().is_none_or(|(least, ..)| off < WORTH * *least) {
                best = Some((off, flat, level));
            }
        }
        best.map(|(_, flat, level)| (flat, level))
    }

    fn flattened(&self, part: f64) -> Self {
        let flat = |v: f64| 1.0 + part * (v - 1.0);
        Self {
            day: self.day.iter().copied().map(flat).collect(),
            week: self.week.map(flat),
            rest: self.rest.clone(),
        }
    }

    /// A past of steps at `phases`, for a series of that level whose own steps are `own`.
    pub(super) fn past(&self, phases: &[Phase], level: f64, own: &[f64]) -> Vec<f64> {
        let peers = median(self.rest.iter().filter_map(|day| restlessness(day)));
        let calm = match (restlessness(own), peers) {
            (Some(own), Some(peers)) if peers > 0.0 => (own / level / peers).clamp(CALM.0, CALM.1),
            _ => 1.0,
        };
        let first = phases.first().map_or(0, |p| p.day);
        let rest = |phase: &Phase| {
            let n = usize::try_from(phase.day - first).unwrap_or(0);
            let day = self.rest.get(n % self.rest.len().max(1));
            let part = day.and_then(|d| d.get(phase.bin)).copied();
            part.filter(|v| v.is_finite()).unwrap_or(0.0)
        };
        phases
            .iter()
            .map(|phase| (level * (self.usual(*phase) + calm * rest(phase))).max(0.0))
            .collect()
    }
}

/// Median size of the change from step to step.
fn restlessness(values: &[f64]) -> Option<f64> {
    median(values.windows(2).map(|w| (w[1] - w[0]).abs()))
}

/// The factor by which `shape` comes nearest to `values` in absolute error: the median of the
/// ratios, each weighted by the shape.
fn scale(values: &[f64], shape: &[f64]) -> f64 {
    let mut ratios: Vec<(f64, f64)> = values
        .iter()
        .zip(shape)
        .filter(|(v, s)| v.is_finite() && **s > 0.0)
        .map(|(v, s)| (v / s, *s))
        .collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = ratios.iter().map(|(_, w)| w).sum::<f64>() / 2.0;
    let mut weight = 0.0;
    for (ratio, w) in ratios {
        weight += w;
        if weight >= half {
            return ratio;
        }
    }
    f64::NAN
}

/// Running means over about a hundredth of a day to both sides, around midnight too; steps without
/// a value take what is around them.
fn smooth(day: &mut [f64]) {
    let bins = day.len();
    let reach = bins / 100;
    let raw = day.to_vec();
    for (bin, value) in day.iter_mut().enumerate() {
        // Further where nothing was measured, as far as needed.
        for reach in [reach, bins / 24, bins / 8, bins / 2] {
            let around = (0..=2 * reach).map(|k| raw[(bin + bins + k - reach) % bins]);
            let (sum, n) = around
                .filter(|v| v.is_finite())
                .fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
            if n > 0.0 {
                *value = sum / n;
                break;
            }
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    if all.is_empty() {
        return None;
    }
    all.sort_by(f64::total_cmp);
    let mid = all.len() / 2;
    Some(if all.len() % 2 == 1 {
        all[mid]
    } else {
        f64::midpoint(all[mid - 1], all[mid])
    })
}
