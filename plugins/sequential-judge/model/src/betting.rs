//! The e-process on paired losses: does the candidate lose more than its incumbent?
//!
//! Both modules see the same input, so each decision gives a difference d of losses in -1 to 1.
//! A bet of part lambda of the wealth on "the mean is above m" multiplies the wealth by
//! `1 + lambda (d - m) / (1 + m)`: never below 0, and of expectation at most 1 while the
//! conditional mean is at most m. The mean over a grid of lambdas is the evidence (Waudby-Smith &
//! Ramdas 2024, "Estimating means of bounded random variables by betting", arXiv 2010.09686). The
//! bet the other way shows non-inferiority: that the mean is below a margin.
//!
//! Losses of forecasts over h steps overlap, and only every h-th is free of the others. So they go
//! in turn into h streams, and the streams' wealths are averaged.

use serde::{Deserialize, Serialize};

use crate::ratio::log_mean_exp;

/// Parts of the wealth that are bet.
const BETS: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Stream {
    count: u32,
    sum: f64,
    /// `ln` of wealth of the bets that the candidate is worse.
    harm: [f64; 6],
    /// `ln` of wealth of the bets that it is within the margin.
    parity: [f64; 6],
}

/// Evidence from paired losses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BettingTest {
    harmless: f64,
    margin: f64,
    streams: Vec<Stream>,
    worse: u64,
    seen: u64,
}

impl BettingTest {
    /// `harmless`: mean differences up to this are no harm, 0 or more. `margin`: mean differences
    /// below this are good enough, above 0. `streams`: steps over which losses overlap, at least 1.
    #[must_use]
    pub fn new(harmless: f64, margin: f64, streams: u32) -> Self {
        let streams = vec![Stream::default(); streams.max(1) as usize];
        Self {
            harmless,
            margin,
            streams,
            worse: 0,
            seen: 0,
        }
    }

    /// Adds one difference, clipped to -1 to 1.
    pub fn update(&mut self, difference: f64) {
        let d = difference.clamp(-1.0, 1.0);
        let turn = self.seen % self.streams.len() as u64;
        let Some(stream) = usize::try_from(turn)
            .ok()
            .and_then(|i| self.streams.get_mut(i))
        else {
            return;
        };
        let harm = (d - self.harmless) / (1.0 + self.harmless);
        let parity = (self.margin - d) / (1.0 + self.margin);
        for (k, bet) in BETS.into_iter().enumerate() {
            stream.harm[k] += libm::log1p(bet * harm);
            stream.parity[k] += libm::log1p(bet * parity);
        }
        stream.count += 1;
        stream.sum += d;
        self.seen += 1;
        self.worse += u64::from(d > 0.0);
    }

    /// `ln E` that the candidate's mean difference is above `harmless`.
    #[must_use]
    pub fn log_harm(&self) -> f64 {
        log_mean_exp(
            &self
                .streams
                .iter()
                .map(|s| log_mean_exp(&s.harm))
                .collect::<Vec<_>>(),
        )
    }

    /// `ln E` that the candidate's mean difference is below `margin`.
    #[must_use]
    pub fn log_parity(&self) -> f64 {
        log_mean_exp(
            &self
                .streams
                .iter()
                .map(|s| log_mean_exp(&s.parity))
                .collect::<Vec<_>>(),
        )
    }

    /// Differences seen, and how many of them were above 0.
    #[must_use]
    pub fn seen(&self) -> (u64, u64) {
        (self.seen, self.worse)
    }

    /// The margins and the number of streams.
    pub(crate) fn shape(&self) -> (f64, f64, usize) {
        (self.harmless, self.margin, self.streams.len())
    }

    /// Bounds on the mean difference that hold at all times together with probability
    /// `1 - alpha`: the normal mixture for sub-Gaussian means (Robbins 1970; Howard et al. 2021,
    /// arXiv 1810.08240, eq. 14) per stream at `alpha / h`, then averaged by count. Wider than
    /// the bets can tell, and without a grid.
    #[must_use]
    pub fn mean_bounds(&self, alpha: f64) -> (f64, f64) {
        // Tuned for a few hundred differences; any value is valid.
        const RHO: f64 = 100.0;
        #[expect(clippy::cast_precision_loss, reason = "at most 4096 streams")]
        let part = alpha / self.streams.len() as f64;
        let (mut sum, mut width, mut count) = (0.0, 0.0, 0.0);
        for stream in self.streams.iter().filter(|s| s.count > 0) {
            let n = f64::from(stream.count);
            sum += stream.sum;
            width += ((n + RHO) * libm::log((n + RHO) / (RHO * part * part))).sqrt();
            count += n;
        }
        if count <= 0.0 {
            return (-1.0, 1.0);
        }
        (
            ((sum - width) / count).max(-1.0),
            ((sum + width) / count).min(1.0),
        )
    }
}
