//! Forecasts and what is known of their makers, on the wire. Levels travel as integers, because a
//! float is not a key; bands by name, because their bounds are the host's to choose.

use super::words::{digest_out, module_ref_out, served_out, signal_out};
use tidegate_core::forecast::{
    Calibration, Candidate, Champion, Choice, Forecast, Ground, Prior, Standing, Standings, Verdict,
};
use tidegate_core::ports::serve::ForecastView;
use tidegate_proto::v1;

/// A forecast with its recent history, on the wire.
pub(crate) fn forecast_out(view: ForecastView) -> v1::GetForecastResponse {
    let (recent_start, recent) = view.recent;
    v1::GetForecastResponse {
        forecast: Some(grid_out(view.forecast)),
        recent_start_ms: recent_start.0,
        recent,
        fitted_at_ms: view.fitted_at.0,
        measured: view.measured.iter().map(standing_out).collect(),
        prior: view.prior.map(prior_out),
    }
}

fn prior_out(prior: Prior) -> v1::Prior {
    v1::Prior {
        category: prior.category,
        peers: prior.peers,
        own_s: prior.own_s,
    }
}

fn grid_out(forecast: Forecast) -> v1::Forecast {
    v1::Forecast {
        api: forecast.key.api.to_string(),
        signal: signal_out(forecast.key.signal).into(),
        start_ms: forecast.grid.start.0,
        step_s: forecast.grid.step.secs(),
        levels: forecast.levels.iter().map(|l| l.get().into()).collect(),
        mean: forecast.mean,
        quantiles: forecast.quantiles,
        served: Some(served_out(&forecast.served)),
        state: digest_out(&forecast.state),
        calibration: forecast
            .calibration
            .map(|Calibration { track, outcomes }| v1::Calibration {
                track: track.to_string(),
                outcomes,
            }),
    }
}

/// The table of a series on the wire.
pub(crate) fn standings_out(standings: &Standings) -> v1::GetStandingsResponse {
    v1::GetStandingsResponse {
        api: standings.key.api.to_string(),
        signal: signal_out(standings.key.signal).into(),
        candidates: standings.candidates.iter().map(candidate_out).collect(),
        choice: standings.choice.as_ref().map(choice_out),
    }
}

fn candidate_out(candidate: &Candidate) -> v1::Candidate {
    v1::Candidate {
        module: Some(module_ref_out(&candidate.module)),
        config: digest_out(&candidate.config),
        champion: candidate.champion,
        loss: candidate.loss,
        verdict: verdict_out(candidate.verdict).into(),
        bands: candidate.bands.iter().map(standing_out).collect(),
    }
}

fn verdict_out(verdict: Verdict) -> v1::Comparison {
    match verdict {
        Verdict::TooEarly => v1::Comparison::TooEarly,
        Verdict::Better => v1::Comparison::Better,
        Verdict::NotBetter => v1::Comparison::NotBetter,
    }
}

/// Who answers for a series, on the wire.
pub(crate) fn champion_out(champion: &Champion) -> v1::SeriesStanding {
    v1::SeriesStanding {
        api: champion.key.api.to_string(),
        signal: signal_out(champion.key.signal).into(),
        module: Some(module_ref_out(&champion.module)),
        verdict: verdict_out(champion.verdict).into(),
        loss: champion.loss,
        outcomes: champion.outcomes,
    }
}

fn choice_out(choice: &Choice) -> v1::Choice {
    let ground = match choice.ground {
        Ground::Bound => v1::Ground::Bound,
        Ground::Series => v1::Ground::Series,
        Ground::Category => v1::Ground::Category,
    };
    v1::Choice {
        champion: digest_out(&choice.champion),
        since_ms: choice.since.0,
        ground: ground.into(),
        rival: choice
            .rival
            .map(|r| digest_out(&r.module))
            .unwrap_or_default(),
        rival_since_ms: choice.rival.map_or(0, |r| r.since.0),
    }
}

fn standing_out(standing: &Standing) -> v1::BandStanding {
    let coverage = standing.coverage.iter().map(|c| v1::Coverage {
        level: c.level.get().into(),
        below: c.below,
    });
    v1::BandStanding {
        band: standing.band.name().into(),
        outcomes: standing.outcomes,
        weight: standing.weight,
        loss: standing.loss,
        coverage: coverage.collect(),
        top_bias: standing.top_bias,
        top_excess: standing.top_excess,
    }
}
