//! `tidegate forecast`: what is expected to come, with the band that it is expected in.

mod standings;

use super::connect::Session;
use super::errors::{Told as _, usage};
use super::{json, words};
use crate::config::Seconds;
use crate::render::plot::{self, Curves};
use crate::render::table::Table;
use anyhow::Result;
use tidegate_client::v1;
use tidegate_core::forecast::Prior;

/// What to forecast.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TENANT/NAME
    api: String,
    /// requests, errors, latency, cpu, memory, network or io
    #[arg(long, default_value = "requests", value_parser = words::parse_signal)]
    signal: v1::Signal,
    /// How far, for example 30m; the daemon's horizon unless told
    #[arg(long, value_name = "SPAN")]
    horizon: Option<Seconds>,
    /// Tell what made it, how its candidates have fared so far, and who was chosen
    #[arg(long)]
    why: bool,
}

/// Edges of the band that holds 80 % of what comes, and the median; per 10,000.
const LEVELS: [u32; 3] = [1000, 5000, 9000];

/// Forecasts and draws.
pub(crate) async fn run(args: Args, session: Session) -> Result<()> {
    let request = v1::GetForecastRequest {
        api: args.api.clone(),
        signal: args.signal.into(),
        steps: 0,
        levels: LEVELS.to_vec(),
    };
    let answer = session
        .client
        .forecasts()
        .get_forecast(request)
        .await
        .told()?;
    let mut forecast = answer.forecast.clone().unwrap_or_default();
    let standings = if args.why {
        let request = v1::GetStandingsRequest {
            api: args.api.clone(),
            signal: args.signal.into(),
        };
        let table = session.client.forecasts().get_standings(request).await;
        Some(table.told()?)
    } else {
        None
    };
    if let Some(horizon) = args.horizon {
        let step = forecast.step_s.max(1);
        let most = u32::try_from(forecast.mean.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(step);
        if horizon.0 > most {
            return Err(usage(format!(
                "the daemon forecasts {} ahead; ask for that or less, or start it with a longer `horizon`",
                Seconds(most)
            )));
        }
        let steps = horizon.0.div_ceil(step).max(1) as usize;
        forecast.mean.truncate(steps);
        forecast.quantiles.truncate(steps * forecast.levels.len());
    }
    session.print(
        || {
            let mut value = machine(&forecast, &answer);
            if let Some(table) = &standings {
                value["standings"] = standings::machine(table);
            }
            value
        },
        || {
            let mut text = person(&forecast, &answer);
            if let Some(table) = &standings {
                text += &why(&forecast, answer.prior.as_ref(), table);
                text += &format!(
                    "`tidegate why {}` tells what the plan made of it.\n",
                    args.api
                );
            }
            text
        },
    )
}

fn column(forecast: &v1::Forecast, level: u32) -> Vec<f64> {
    let width = forecast.levels.len();
    let Some(place) = forecast.levels.iter().position(|l| *l == level) else {
        return Vec::new();
    };
    forecast
        .quantiles
        .chunks_exact(width)
        .map(|row| row[place])
        .collect()
}

fn machine(forecast: &v1::Forecast, answer: &v1::GetForecastResponse) -> serde_json::Value {
    let width = forecast.levels.len().max(1);
    serde_json::json!({
        "api": forecast.api, "signal": words::signal(forecast.signal()),
        "start": json::instant(forecast.start_ms), "step_s": forecast.step_s,
        "mean": forecast.mean, "levels": forecast.levels,
        "quantiles": forecast.quantiles.chunks(width).collect::<Vec<_>>(),
        "served": json::served(forecast.served.as_ref()), "state": forecast.state,
        "calibration": forecast.calibration.as_ref().map(|c| serde_json::json!({
            "track": c.track, "outcomes": c.outcomes,
        })),
        "measured": answer.measured.iter().map(standings::band).collect::<Vec<_>>(),
        "fitted_at": json::instant(answer.fitted_at_ms),
        "prior": answer.prior.as_ref().map(|p| serde_json::json!({
            "category": p.category, "peers": p.peers, "own_s": p.own_s,
        })),
        "recent_start": json::instant(answer.recent_start_ms),
        // JSON has no NaN: a step that was not measured is null.
        "recent": answer.recent.iter().map(|v| v.is_finite().then_some(*v)).collect::<Vec<_>>(),
    })
}

fn unit(signal: v1::Signal, value: f64) -> String {
    match signal {
        v1::Signal::Requests | v1::Signal::Errors | v1::Signal::Io => {
            format!("{}/s", words::number(value))
        }
        v1::Signal::Latency => format!("{}ms", words::number(value * 1000.0)),
        v1::Signal::Memory => words::bytes(value),
        v1::Signal::Network => format!("{}/s", words::bytes(value)),
        v1::Signal::Cpu | v1::Signal::Unspecified => words::number(value),
    }
}

fn person(forecast: &v1::Forecast, answer: &v1::GetForecastResponse) -> String {
    let signal = forecast.signal();
    let (low, median, high) = (
        column(forecast, LEVELS[0]),
        column(forecast, LEVELS[1]),
        column(forecast, LEVELS[2]),
    );
    let at = |column: &[f64], i: usize| {
        column
            .get(i)
            .map_or_else(|| "-".into(), |v| unit(signal, *v))
    };
    let mut table = Table::new(&["at", "mean", "median", "10%", "90%"]);
    let count = forecast.mean.len();
    let mut steps: Vec<usize> = (0..=5).map(|k| k * count.saturating_sub(1) / 5).collect();
    steps.dedup();
    for i in steps.into_iter().filter(|i| *i < count) {
        let when = forecast.start_ms + i as i64 * i64::from(forecast.step_s) * 1000;
        table.row(vec![
            words::instant(when),
            at(&forecast.mean, i),
            at(&median, i),
            at(&low, i),
            at(&high, i),
        ]);
    }
    // As much history as there is future, or twice that: the eye compares.
    let shown = answer.recent.len().min(count.saturating_mul(2).max(30));
    let curves = Curves {
        history: &answer.recent[answer.recent.len() - shown..],
        mean: &forecast.mean,
        low: &low,
        high: &high,
    };
    let step = Seconds(forecast.step_s);
    let mut text = format!(
        "{} of {}, in steps of {step}\n\n",
        words::signal(signal),
        forecast.api
    );
    text += &plot::draw(&curves, 72, 12, |v| unit(signal, v));
    text += "  • measured   ━ expected (mean)   ░ 80% of what comes\n\n";
    text += &table.to_string();
    text += &format!("\nmade by {}", words::served(forecast.served.as_ref()));
    text += &match answer.fitted_at_ms {
        0 => String::from("; nothing was fitted yet\n"),
        at => format!("; fitted {}\n", words::instant(at)),
    };
    text
}

/// What made the forecast, what it had learned from, what corrected it, and the table of candidates.
fn why(
    forecast: &v1::Forecast,
    prior: Option<&v1::Prior>,
    table: &v1::GetStandingsResponse,
) -> String {
    let state = match forecast.state.as_str() {
        "" => "none: a native baseline needs none",
        digest => digest,
    };
    let past = match prior {
        None => "its own alone".to_owned(),
        Some(p) => Prior {
            category: p.category.clone(),
            peers: p.peers,
            own_s: p.own_s,
        }
        .to_string(),
    };
    let calibration = match &forecast.calibration {
        None => "none: the band is as the module answered".to_owned(),
        Some(c) if c.outcomes == 0 => {
            "by what other series of its tenant taught; none of its own outcomes has come yet"
                .into()
        }
        Some(c) => format!("by {} outcomes of forecasts before", c.outcomes),
    };
    let levels: Vec<String> = forecast
        .levels
        .iter()
        .map(|l| format!("{}%", f64::from(*l) / 100.0))
        .collect();
    format!(
        "state       {state}\npast        {past}\nlevels      {}\ncalibrated  {calibration}\n\n{}",
        levels.join(" "),
        standings::person(table)
    )
}
