//! Rates, cardinality, and what a quota must not take along.

use super::*;
use tidegate_core::catalog::{Object, Pool, Tenant};
use tidegate_core::ids::Generation;
use tidegate_core::time::Step;
use tidegate_core::units::{Dimension, Resources};

#[test]
fn a_tenant_over_its_rate_is_told_when_to_retry() {
    let shop: TenantId = "shop".parse().unwrap();
    let mut meter = Meter::default();
    assert!(meter.take(&shop, 100, 1000, Timestamp(0)).is_ok());
    let exceeded = meter.take(&shop, 100, 50, Timestamp(0)).unwrap_err();
    assert_eq!(
        (exceeded.quota, exceeded.retry_ms),
        (Quota::Samples, Some(500))
    );
    assert!(meter.take(&shop, 100, 50, Timestamp(500)).is_ok());
}

#[test]
fn a_clock_that_stepped_back_does_not_keep_a_bucket_empty() {
    let shop: TenantId = "shop".parse().unwrap();
    let mut meter = Meter::default();
    let hour = 3_600_000;
    assert!(meter.take(&shop, 100, 1000, Timestamp(hour)).is_ok());
    assert!(meter.take(&shop, 100, 50, Timestamp(0)).is_err());
    assert!(meter.take(&shop, 100, 50, Timestamp(500)).is_ok());
}

#[test]
fn one_tenants_rate_is_not_anothers() {
    let mut meter = Meter::default();
    let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
    assert!(meter.take(&a, 10, 100, Timestamp(0)).is_ok());
    assert!(meter.take(&a, 10, 1, Timestamp(0)).is_err());
    assert!(meter.take(&b, 10, 100, Timestamp(0)).is_ok());
}

/// `shop` has one series and room for one more, `bank` for a thousand samples at once.
struct Two;

impl Known for Two {
    fn has(&self, key: &SeriesKey) -> bool {
        key.signal == Signal::Cpu
    }

    fn count(&self, _tenant: &TenantId) -> u64 {
        1
    }
}

fn tenant(name: &str, max_series: u64, max_samples_per_s: u64) -> Object {
    Object::Tenant(Tenant {
        id: name.parse().unwrap(),
        max_series,
        max_samples_per_s,
        max_modules: 0,
    })
}

fn world() -> Catalog {
    let mut catalog = Catalog::default();
    let pool = Pool {
        id: "edge".parse().unwrap(),
        ready: Resources::NONE.with(Dimension::Cpu, 1.0),
        max: Resources::NONE,
        min: Resources::NONE,
        lead_time_s: 0,
        unit_cost: Resources::NONE,
        quotas: BTreeMap::new(),
    };
    let objects = [
        tenant("shop", 2, 1),
        tenant("bank", 1000, 100),
        Object::Pool(pool),
        Object::Api(crate::fake::api("shop/orders")),
        Object::Api(crate::fake::api("bank/cards")),
    ];
    for object in objects {
        catalog.insert(object, Generation(1));
    }
    catalog
}

fn series(api: &str, signal: Signal, count: i64) -> SeriesSamples {
    SeriesSamples {
        key: SeriesKey {
            api: api.parse().unwrap(),
            signal,
        },
        step: Step::MINUTE,
        times: (0..count).map(|m| Timestamp(m * 60_000)).collect(),
        values: Values::Numbers(vec![1.0; count as usize]),
    }
}

fn send(
    meter: &mut Meter,
    known: &dyn Known,
    arrived: Timestamp,
    series: Vec<SeriesSamples>,
) -> Result<Output, Error> {
    let input = Input {
        caller: &Principal::local(),
        catalog: &world(),
        now: Timestamp(i64::MAX / 2),
        arrived,
        batch: SampleBatch { series },
        known,
    };
    run(input, meter)
}

#[test]
fn what_lies_ahead_of_the_clock_is_refused_by_series_whichever_way_the_clock_stepped() {
    let minute = 60_000;
    let batch = || {
        vec![
            series("bank/cards", Signal::Cpu, 20),
            series("bank/cards", Signal::Memory, 5),
        ]
    };
    let at = |now: i64, first: i64| {
        let batch = batch().into_iter().map(|mut s| {
            s.times
                .iter_mut()
                .for_each(|t| *t = t.plus_ms(first * minute));
            s
        });
        let input = Input {
            caller: &Principal::local(),
            catalog: &world(),
            now: Timestamp(now * minute),
            arrived: Timestamp(0),
            batch: SampleBatch {
                series: batch.collect(),
            },
            known: &Two,
        };
        run(input, &mut Meter::default()).unwrap()
    };
    let told = |output: &Output| {
        let refused = output
            .rejections
            .iter()
            .map(|r| (r.field.clone(), r.samples));
        (output.batch.series.len(), refused.collect::<Vec<_>>())
    };
    // Minutes 100 to 119 by a clock at 109: the last is just not too far ahead.
    assert_eq!(told(&at(109, 100)), (2, vec![]));
    // A clock a minute behind refuses the series that reaches too far, and says which sample.
    let behind = at(108, 100);
    assert_eq!(told(&behind), (1, vec![("series[0].times[19]".into(), 20)]));
    assert!(behind.rejections[0].reason.contains("10 minutes ahead"));
    // A clock that stepped back an hour, and a sender that sends from the year 2100.
    assert_eq!(told(&at(48, 100)).0, 0);
    assert_eq!(told(&at(109, 68_374_080)).0, 0);
    // One that stepped forward takes what is old: how late is too late is the store's to say.
    assert_eq!(told(&at(1_000_000, 100)), (2, vec![]));
}

#[test]
fn a_replay_that_outruns_its_clock_is_metered_by_the_machines() {
    let mut meter = Meter::default();
    let mut ten = |arrived| {
        let batch = vec![series("shop/orders", Signal::Cpu, 10)];
        send(&mut meter, &Two, arrived, batch).map(|o| o.batch.len())
    };
    assert_eq!(ten(Timestamp(0)), Ok(10));
    assert!(ten(Timestamp(0)).is_err());
    assert_eq!(ten(Timestamp(10_000)), Ok(10));
}

#[test]
fn a_quota_refuses_what_goes_beyond_it_and_nothing_of_others() {
    let mut meter = Meter::default();
    let shop = |signal, count| series("shop/orders", signal, count);
    let bank = || series("bank/cards", Signal::Cpu, 40);
    // The second new series has no room; the known one and the first new one pass.
    let batch = vec![
        shop(Signal::Cpu, 2),
        shop(Signal::Requests, 2),
        shop(Signal::Memory, 3),
        bank(),
    ];
    let output = send(&mut meter, &Two, Timestamp(0), batch).unwrap();
    assert_eq!(output.batch.len(), 44);
    let [(exceeded, samples)] = &output.over[..] else {
        panic!("{:?}", output.over)
    };
    assert_eq!(
        (exceeded.quota, exceeded.limit, *samples),
        (Quota::Series, 2, 3)
    );
    assert_eq!(output.rejections[0].field, "series[2].api");
    assert!(output.rejections[0].reason.contains("max_series"));

    // Over its rate, a tenant loses its own samples, and the one beside it none.
    let batch = vec![bank(), shop(Signal::Cpu, 30)];
    let output = send(&mut meter, &Two, Timestamp(0), batch).unwrap();
    assert_eq!(output.batch.series, [bank()]);
    assert_eq!(output.rejections[0].field, "series[1]");
    assert!(output.rejections[0].reason.contains("max_samples_per_s"));
    let shop_id: TenantId = "shop".parse().unwrap();
    assert_eq!(meter.refused(&shop_id), 33);

    // Alone, it is told to back off, with nothing else to say.
    let alone = send(&mut meter, &Two, Timestamp(0), vec![shop(Signal::Cpu, 30)]);
    let Err(Error::Quota(over)) = alone else {
        panic!("{alone:?}")
    };
    assert!(over[0].0.retry_ms.is_some());
    // What is wrong besides is not hidden behind the quota.
    let mut odd = shop(Signal::Cpu, 1);
    odd.values = Values::Numbers(vec![-1.0]);
    let batch = vec![odd, shop(Signal::Cpu, 30)];
    let output = send(&mut meter, &Two, Timestamp(0), batch).unwrap();
    assert_eq!((output.rejections.len(), output.over.len()), (2, 1));
}

#[test]
fn of_two_quotas_the_one_that_passes_is_told_first_and_each_refusal_says_whether_it_does() {
    let mut meter = Meter::default();
    let shop = |signal, count| series("shop/orders", signal, count);
    send(&mut meter, &Two, Timestamp(0), vec![shop(Signal::Cpu, 10)]).unwrap();
    // Of two new series there is room for one, and that is over the rate.
    let batch = || vec![shop(Signal::Memory, 5), shop(Signal::Requests, 3)];
    let Err(Error::Quota(over)) = send(&mut meter, &Two, Timestamp(0), batch()) else {
        panic!("nothing is left");
    };
    let told = over.iter().map(|(e, n)| (e.quota, e.retry_ms, *n));
    let expected = [(Quota::Samples, Some(5_000), 5), (Quota::Series, None, 3)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    // Beside something that is wrong, the refusals say it.
    let mut wrong = batch();
    wrong[1].values = Values::Numbers(vec![-1.0; 3]);
    let output = send(&mut meter, &Two, Timestamp(0), wrong).unwrap();
    let told = output.rejections.iter().map(|r| (r.samples, r.retry_ms));
    assert_eq!(told.collect::<Vec<_>>(), [(3, None), (5, Some(5_000))]);
}

#[test]
fn the_rate_that_is_shown_is_that_of_the_last_full_minute() {
    let bank: TenantId = "bank".parse().unwrap();
    let mut meter = Meter::default();
    meter.take(&bank, 100, 90, Timestamp(59_000)).unwrap();
    let told = [59_999, 60_000, 119_999, 180_000].map(|at| meter.rate(&bank, Timestamp(at)));
    assert!(
        told.iter()
            .zip([0.0, 1.5, 1.5, 0.0])
            .all(|(rate, meant)| (rate - meant).abs() < 1e-9),
        "{told:?}"
    );
}
