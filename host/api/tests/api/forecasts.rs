//! Forecasts, standings and the status, told over the wire: what a caller sees of who answers and how well.

use crate::world::{World, put, shop_and_bank};
use tidegate_proto::v1;
use tidegate_proto::v1::{
    catalog_client::CatalogClient, forecasts_client::ForecastsClient, status_client::StatusClient,
};

#[tokio::test]
async fn a_forecast_comes_with_its_grid_its_maker_and_what_was_measured_lately() {
    let world = World::open();
    let mut forecasts = ForecastsClient::new(world.channel().await);
    let request = v1::GetForecastRequest {
        api: "shop/orders".into(),
        signal: v1::Signal::Requests.into(),
        steps: 3,
        levels: vec![500, 9_900],
    };
    let answer = forecasts.get_forecast(request).await.unwrap().into_inner();
    let forecast = answer.forecast.unwrap();
    assert_eq!((forecast.mean.len(), forecast.quantiles.len()), (3, 6));
    assert_eq!(forecast.levels, [500, 9_900]);
    let served = forecast.served.unwrap();
    assert_eq!(served.retreat(), v1::Retreat::Baseline);
    assert_eq!(served.module.unwrap().digest, "");
    assert!(answer.recent[1].is_nan());
    assert_eq!(answer.recent_start_ms, -120_000);
    assert_eq!(forecast.calibration.unwrap().outcomes, 40);
    let band = &answer.measured[0];
    assert_eq!((band.band.as_str(), band.loss), ("1h", None));
    let prior = answer.prior.unwrap();
    assert_eq!((prior.category.as_str(), prior.peers), ("web", 3));
    assert_eq!(prior.own_s, 7_200);
}

#[tokio::test]
async fn the_standings_tell_every_candidate_and_who_was_chosen() {
    let world = World::open();
    let mut forecasts = ForecastsClient::new(world.channel().await);
    let request = v1::GetStandingsRequest {
        api: "shop/orders".into(),
        signal: v1::Signal::Cpu.into(),
    };
    let table = forecasts.get_standings(request).await.unwrap();
    let table = table.into_inner();
    assert_eq!(table.api, "shop/orders");
    assert_eq!(table.signal(), v1::Signal::Cpu);
    let [first, second] = &table.candidates[..] else {
        panic!("{:?}", table.candidates)
    };
    assert!(first.champion && !second.champion);
    assert_eq!(first.verdict(), v1::Comparison::Better);
    assert_eq!(second.verdict(), v1::Comparison::NotBetter);
    assert_eq!((first.loss, second.loss), (Some(0.5), None));
    let band = &first.bands[0];
    assert_eq!((band.outcomes, band.top_bias), (40, -0.01));
    let below: Vec<_> = band.coverage.iter().map(|c| (c.level, c.below)).collect();
    assert_eq!(below, [(1_000, 0.125), (9_000, 0.875)]);
    let choice = table.choice.unwrap();
    assert_eq!(choice.ground(), v1::Ground::Series);
    assert_eq!(choice.champion, first.module.as_ref().unwrap().digest);
    assert_eq!((choice.since_ms, choice.rival_since_ms), (60_000, 0));
    assert_eq!(choice.rival, "");
}

#[tokio::test]
async fn an_api_is_listed_with_how_its_forecasts_fare_and_the_status_names_those_that_are_no_better()
 {
    let world = World::open();
    let mut catalog = CatalogClient::new(world.channel().await);
    catalog.apply(shop_and_bank()).await.unwrap();
    let request = v1::ListObjectsRequest {
        kind: v1::ObjectKind::Api.into(),
        ..Default::default()
    };
    let listed = catalog.list(request).await.unwrap().into_inner().objects;
    let apis = listed.into_iter().filter_map(|o| match o.object?.object? {
        v1::object::Object::Api(api) => Some(api),
        _ => None,
    });
    for api in apis {
        let [told] = &api.forecasts[..] else {
            panic!("{api:?}")
        };
        assert_eq!((&told.api, told.loss), (&api.name, Some(1.25)));
        assert_eq!(told.verdict(), v1::Comparison::NotBetter);
        // What is told may come back with what is declared.
        let again = v1::ApplyRequest {
            changes: vec![put(v1::object::Object::Api(api.clone()), None)],
            dry_run: false,
        };
        let effects = catalog.apply(again).await.unwrap().into_inner().effects;
        assert_eq!(effects[0].effect(), v1::Effect::Unchanged);
    }

    let mut status = StatusClient::new(world.channel().await);
    let told = status.get_status(v1::GetStatusRequest {}).await.unwrap();
    let told = told.into_inner();
    assert_eq!(
        (told.version.as_str(), told.started_at_ms),
        ("9.8.7", 5_000)
    );
    assert_eq!((told.apis, told.series, told.modules), (2, 3, 4));
    assert_eq!(told.store_bytes, Some(4096));
    assert_eq!(told.store.unwrap().free_bytes, Some(77));
    let forecasts = told.forecasts.unwrap();
    assert_eq!((forecasts.better, forecasts.not_better), (0, 1));
    assert_eq!(forecasts.worst[0].api, "shop/orders");
}
