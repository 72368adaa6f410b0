//! How the daemon fares: counts of what the caller may see, each from where it is kept.

use super::{Gate, require, stored};
use crate::copies;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::ObjectKind;
use tidegate_core::ids::{ApiId, Name, TenantId};
use tidegate_core::ports::health::StoreHealth;
use tidegate_core::ports::serve::{
    CatalogPort as _, Extent, Fares, ForecastsPort as _, Holds, KeptRecords, PoliciesPort as _,
    ServeError, StatusPort,
};
use tidegate_flow::ingest::Known as _;
use tidegate_store::Survey;

impl StatusPort for Gate {
    fn fares(&self, caller: &Principal) -> Result<Fares, ServeError> {
        let catalog = self.world.catalog.load_full();
        let mine = catalog.apis.keys().filter(|id| caller.sees(&id.tenant));
        let apis: Vec<ApiId> = mine.cloned().collect();
        let tenants = self.list(caller, ObjectKind::Tenant)?;
        let series = {
            let known = crate::world::lock(&self.world.known);
            let count = |name: &str| name.parse::<TenantId>().map_or(0, |t| known.count(&t));
            tenants.iter().map(|t| count(&t.value.key().name)).sum()
        };
        // Whoever holds a tenant alone could read from it how others grow.
        let store = match caller.tenants {
            None => Some(self.world.store_health().map_err(stored)?),
            Some(_) => None,
        };
        let kept = |kept: tidegate_store::Kept| KeptRecords {
            pool: kept.pool,
            plans: kept.plans,
            since: kept.since,
            bytes: kept.bytes,
        };
        let ledger = match caller.tenants {
            None => self
                .world
                .store
                .kept_records()
                .into_iter()
                .map(kept)
                .collect(),
            Some(_) => vec![],
        };
        Ok(Fares {
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.world.started_at,
            store,
            ledger,
            apis: apis.len() as u64,
            series,
            modules: self.modules(caller)?.len() as u64,
            champions: self.champions(caller, &apis),
        })
    }

    fn copy_store(
        &self,
        caller: &Principal,
        name: &Name,
        extent: Extent,
        waits: &dyn Fn() -> bool,
    ) -> Result<(String, u64), ServeError> {
        everybodys(caller, "copying the store")?;
        copies::take(&self.world, name, extent, waits).map_err(stored)
    }

    fn survey_store(&self, caller: &Principal) -> Result<Holds, ServeError> {
        everybodys(caller, "looking into the store")?;
        let survey = self.world.store.survey(&mut |_| {}).map_err(stored)?;
        Ok(holds(survey, self.world.store_health().map_err(stored)?))
    }
}

/// What belongs to all tenants is an operator's who is bound to none.
fn everybodys(caller: &Principal, what: &str) -> Result<(), ServeError> {
    require(caller, Role::Operator, what)?;
    match caller.tenants {
        None => Ok(()),
        Some(_) => Err(ServeError::Denied(format!(
            "the store is everybody's; credential `{}` is bound to tenants",
            caller.name
        ))),
    }
}

/// A survey in the port's words.
pub(crate) fn holds(survey: Survey, health: StoreHealth) -> Holds {
    let stat = survey.stat;
    let kinds = survey.kinds.into_iter();
    Holds {
        disk_bytes: stat.disk_bytes,
        series: stat.series,
        head_samples: stat.head_samples,
        sealed_samples: stat.sealed_samples,
        blocks: (stat.blocks, stat.block_bytes),
        wal: (stat.wal_records, stat.wal_bytes),
        ledger: (stat.ledger_records, stat.ledger_bytes),
        span: survey.span,
        health,
        kinds: kinds.map(|k| (k.kind, k.values, k.bytes)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{api, gate, of, pool, tenant};
    use crate::world::lock;
    use tidegate_core::access::Role;
    use tidegate_core::forecast::{Band, BandTrack, SCORED, Score, Track, Verdict};
    use tidegate_core::ids::Digest;
    use tidegate_core::sample::SeriesKey;
    use tidegate_core::time::Step;
    use tidegate_core::units::Signal;
    use tidegate_flow::forecast::fitted_with;

    /// A track of the baseline, whose loss beside seasonal-naive is `loss`.
    fn track(api: &str, loss: f32) -> Track {
        let key = SeriesKey {
            api: api.parse().unwrap(),
            signal: Signal::Requests,
        };
        let config = fitted_with("{}", Step::MINUTE);
        let mut track = Track::new(key, Digest([0; 32]), config, Step::MINUTE);
        track.bands.push(BandTrack {
            band: Band::Quarter,
            offsets: [0.0; SCORED],
            error: 1.0,
            score: Score {
                outcomes: 100,
                weight: 100.0,
                loss: 100.0 * loss,
                naive: [100.0, 200.0],
                ..Score::default()
            },
        });
        track
    }

    #[test]
    fn a_caller_is_told_of_its_own_apis_alone_and_which_are_no_better_than_seasonal_naive() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), tenant("bank"), pool("edge")]);
        gate.put(vec![
            api("shop/a", "edge"),
            api("shop/b", "edge"),
            api("bank/c", "edge"),
        ]);
        {
            let edge = gate.world.pool(&"edge".parse().unwrap());
            let mut state = lock(&edge);
            for (api, loss) in [("shop/a", 0.7), ("shop/b", 1.3), ("bank/c", 0.9)] {
                state.tracks.put(track(api, loss));
            }
        }
        let mine = gate.fares(&of(Role::Reader, &["shop"])).unwrap();
        let told: Vec<_> = mine
            .champions
            .iter()
            .map(|c| (c.key.api.to_string(), c.verdict, c.outcomes))
            .collect();
        let expected = [
            ("shop/a".to_owned(), Verdict::Better, 100),
            ("shop/b".to_owned(), Verdict::NotBetter, 100),
        ];
        assert_eq!(told, expected);
        assert_eq!((mine.apis, mine.store), (2, None));
        gate.to(1);
        let told = |caller: &Principal| gate.fares(caller).unwrap().ledger.len();
        assert_eq!(told(&of(Role::Reader, &["shop"])), 0);
        assert_eq!(told(&Principal::local()), 1);

        let all = gate.fares(&Principal::local()).unwrap();
        assert_eq!((all.apis, all.champions.len()), (3, 3));
        let store = all.store.unwrap();
        assert!(store.disk_bytes > 0 && all.started_at.0 > 0);
        assert_eq!((store.backup, store.dropped), (None, None));
        assert_eq!(all.version, env!("CARGO_PKG_VERSION"));
    }
}
