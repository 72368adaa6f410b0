//! What the fake gate forecasts: the same for everybody, so that what differs is the api's doing.

use super::*;
use tidegate_core::ports::health::StoreHealth;
use tidegate_core::ports::serve::{Extent, Holds};

impl ForecastsPort for Fake {
    fn forecast(
        &self,
        _: &Principal,
        api: &ApiId,
        signal: Signal,
        steps: u32,
        levels: &[Level],
    ) -> Result<ForecastView, ServeError> {
        let levels = if levels.is_empty() {
            Level::STANDARD.to_vec()
        } else {
            levels.to_vec()
        };
        let count = steps.max(1) as usize;
        Ok(ForecastView {
            forecast: Forecast {
                key: SeriesKey {
                    api: api.clone(),
                    signal,
                },
                grid: Grid {
                    start: Timestamp(0),
                    step: Step::MINUTE,
                    count,
                },
                mean: vec![7.0; count],
                quantiles: vec![7.0; count * levels.len()],
                levels,
                served: served(),
                state: Digest([0; 32]),
                calibration: Some(Calibration {
                    track: Digest::of(b"track"),
                    outcomes: 40,
                }),
            },
            recent: (Timestamp(-120_000), vec![6.0, f64::NAN]),
            fitted_at: Timestamp(0),
            prior: Some(Prior {
                category: "web".into(),
                peers: 3,
                own_s: 7_200,
            }),
            measured: vec![standing(None)],
        })
    }

    fn standings(
        &self,
        _: &Principal,
        api: &ApiId,
        signal: Signal,
    ) -> Result<Standings, ServeError> {
        let candidate = |name: &str, champion, loss: Option<f64>| Candidate {
            module: slot("any", name).active,
            config: Digest::of(b"{}"),
            champion,
            loss,
            verdict: match loss {
                Some(_) => Verdict::Better,
                None => Verdict::NotBetter,
            },
            bands: vec![standing(loss)],
        };
        Ok(Standings {
            key: SeriesKey {
                api: api.clone(),
                signal,
            },
            candidates: vec![
                candidate("theta", true, Some(0.5)),
                candidate("ets", false, None),
            ],
            choice: Some(Choice {
                champion: Digest::of(b"theta"),
                since: Timestamp(60_000),
                ground: Ground::Series,
                rival: None,
            }),
        })
    }

    fn champions(&self, _: &Principal, apis: &[ApiId]) -> Vec<Champion> {
        let one = |api: &ApiId| Champion {
            key: SeriesKey {
                api: api.clone(),
                signal: Signal::Requests,
            },
            module: slot("any", "theta").active,
            loss: Some(1.25),
            verdict: Verdict::NotBetter,
            outcomes: 40,
        };
        apis.iter().map(one).collect()
    }
}

impl StatusPort for Fake {
    fn fares(&self, caller: &Principal) -> Result<Fares, ServeError> {
        Ok(Fares {
            version: "9.8.7".into(),
            started_at: Timestamp(5_000),
            store: caller.tenants.is_none().then(|| StoreHealth {
                disk_bytes: 4096,
                free_bytes: Some(77),
                ..StoreHealth::default()
            }),
            ledger: vec![],
            apis: 2,
            series: 3,
            modules: 4,
            champions: self.champions(caller, &["shop/orders".parse().unwrap()]),
        })
    }

    fn copy_store(
        &self,
        _: &Principal,
        name: &Name,
        extent: Extent,
        _: &dyn Fn() -> bool,
    ) -> Result<(String, u64), ServeError> {
        let file = match extent {
            Extent::Replay => "",
            Extent::Whole => ".backup",
        };
        Ok((format!("/data/copies/{name}{file}"), 4096))
    }

    fn survey_store(&self, _: &Principal) -> Result<Holds, ServeError> {
        Ok(Holds {
            series: 3,
            kinds: vec![("block".into(), 2, 120_000)],
            ..Holds::default()
        })
    }
}

fn standing(loss: Option<f64>) -> Standing {
    let coverage = |level, below| Coverage {
        level: Level::new(level).unwrap(),
        below,
    };
    Standing {
        band: Band::Hour,
        outcomes: 40,
        weight: 31.5,
        loss,
        coverage: vec![coverage(1_000, 0.125), coverage(9_000, 0.875)],
        top_bias: -0.01,
        top_excess: 0.25,
    }
}
