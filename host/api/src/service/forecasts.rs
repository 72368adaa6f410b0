//! Forecasts over the wire. A call runs a policy, so it goes to the blocking pool; levels and steps
//! are bounded before it does.

use super::Shared;
use crate::auth::caller;
use crate::convert::forecasts::{forecast_out, standings_out};
use crate::convert::words::{id, level, signal};
use crate::scope;
use crate::status::{Problems, status};
use tidegate_core::ids::ApiId;
use tidegate_core::units::Level;
use tidegate_proto::v1;
use tidegate_proto::v1::forecasts_server::Forecasts;
use tonic::{Request, Response, Status};

/// Most levels of one forecast.
const MAX_LEVELS: usize = 99;
/// Most steps of one forecast: the answer of a call stays far below the limit of a message.
const MAX_STEPS: u32 = 4_096;

#[tonic::async_trait]
impl Forecasts for Shared {
    async fn get_forecast(
        &self,
        request: Request<v1::GetForecastRequest>,
    ) -> Result<Response<v1::GetForecastResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let api = id::<ApiId>(&request.api, "api", &mut problems);
        let signal = problems.take("signal", signal(request.signal));
        let levels = levels(&request.levels, &mut problems);
        let steps = request.steps;
        if steps > MAX_STEPS {
            problems.push("steps", format!("{steps} is more than {MAX_STEPS}"));
        }
        let (api, signal) = problems.finish(api.zip(signal))?;
        scope::visible(&caller, "api", &api).map_err(status)?;
        let view = self.blocking(move |gate| gate.forecast(&caller, &api, signal, steps, &levels));
        Ok(Response::new(forecast_out(view.await?)))
    }

    async fn get_standings(
        &self,
        request: Request<v1::GetStandingsRequest>,
    ) -> Result<Response<v1::GetStandingsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let api = id::<ApiId>(&request.api, "api", &mut problems);
        let signal = problems.take("signal", signal(request.signal));
        let (api, signal) = problems.finish(api.zip(signal))?;
        scope::visible(&caller, "api", &api).map_err(status)?;
        let table = self.blocking(move |gate| gate.standings(&caller, &api, signal));
        Ok(Response::new(standings_out(&table.await?)))
    }
}

fn levels(given: &[u32], problems: &mut Problems) -> Vec<Level> {
    if given.len() > MAX_LEVELS {
        problems.push(
            "levels",
            format!("{} are more than {MAX_LEVELS}", given.len()),
        );
        return vec![];
    }
    if given.windows(2).any(|pair| pair[0] >= pair[1]) {
        problems.push("levels", "they do not rise; sort them and name each once");
    }
    let read = given.iter().enumerate();
    read.filter_map(|(i, &l)| problems.take(&format!("levels[{i}]"), level(l)))
        .collect()
}
