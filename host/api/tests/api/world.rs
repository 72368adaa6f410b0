//! A running server, its gate, and clients of it.

use crate::fake::Fake;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::{Auth, Credential, Error, Health, Options, Server, token_digest};
use tidegate_core::access::Role;
use tidegate_proto::v1;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// A server that ends with the test.
pub(crate) struct World {
    pub(crate) gate: Arc<Fake>,
    pub(crate) wake: watch::Sender<u64>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) health: Health,
    stop: Option<oneshot::Sender<()>>,
    server: JoinSet<Result<(), Error>>,
}

impl World {
    /// A server on loopback without tokens.
    pub(crate) fn open() -> Self {
        Self::with(|_| {})
    }

    /// A server with the tokens `shop`, `bank` (writers of their tenant), `look` (reader of shop)
    /// and `root` (admin of all).
    pub(crate) fn guarded() -> Self {
        let one = |name: &str, role, tenant: Option<&str>| {
            let tenants = tenant.map(|t| [t.parse().unwrap()].into());
            Credential::new(name, &token_digest(name), role, tenants).unwrap()
        };
        let auth = Auth::tokens(vec![
            one("shop", Role::Writer, Some("shop")),
            one("bank", Role::Writer, Some("bank")),
            one("look", Role::Reader, Some("shop")),
            one("root", Role::Admin, None),
        ]);
        Self::with(|options| options.auth = auth.unwrap())
    }

    /// A server with other options.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        crate::traces::notes();
        let gate = Arc::new(Fake::default());
        let (wake, woken) = watch::channel(0);
        let mut options = Options::new(([127, 0, 0, 1], 0).into());
        options.wake = woken;
        options.drain = Duration::from_secs(5);
        change(&mut options);
        let bound = Server::bind(options, gate.clone()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (address, health) = (bound.local_addr(), bound.health());
        let mut server = JoinSet::new();
        server.spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Self {
            gate,
            wake,
            address,
            health,
            stop: Some(stop),
            server,
        }
    }

    /// A connection to it.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint: Endpoint = format!("http://{}", self.address).parse().unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Wakes whoever watches.
    pub(crate) fn bump(&self) {
        self.wake.send_modify(|n| *n += 1);
    }

    /// Asks the server to end.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// How the server ended.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        self.server.join_next().await.unwrap().unwrap()
    }
}

/// A request with a token.
pub(crate) fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// A refusal, as the table of bad input checks it.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    part: &str,
) -> Status {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert!(
        status.message().contains(part),
        "{part}: {}",
        status.message()
    );
    status
}

/// The fields that a refusal names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().unwrap();
    bad.field_violations.into_iter().map(|v| v.field).collect()
}

/// Requests as counts per minute from the epoch on.
pub(crate) fn counts(values: &[f64]) -> Option<v1::Columns> {
    Some(v1::Columns {
        values: values.to_vec(),
        ..Default::default()
    })
}

/// The catalog of the tests: two tenants, a pool, an api each.
pub(crate) fn shop_and_bank() -> v1::ApplyRequest {
    let tenant = |name: &str| {
        v1::object::Object::Tenant(v1::Tenant {
            name: name.into(),
            max_series: 100,
            max_samples_per_s: 1000,
            max_modules: 5,
            usage: None,
        })
    };
    let pool = v1::object::Object::Pool(v1::Pool {
        name: "main".into(),
        ready: Some(v1::Resources {
            requests: Some(100.0),
            ..Default::default()
        }),
        ..Default::default()
    });
    let api = |name: &str| {
        v1::object::Object::Api(v1::Api {
            name: name.into(),
            pool: "main".into(),
            base_tier: v1::Tier::Silver.into(),
            ..Default::default()
        })
    };
    let objects = [
        tenant("shop"),
        tenant("bank"),
        pool,
        api("shop/orders"),
        api("bank/pay"),
    ];
    v1::ApplyRequest {
        changes: objects.into_iter().map(|o| put(o, None)).collect(),
        dry_run: false,
    }
}

/// A change that puts an object.
pub(crate) fn put(object: v1::object::Object, expect: Option<u64>) -> v1::Change {
    v1::Change {
        change: Some(v1::change::Change::Put(v1::Put {
            object: Some(v1::Object {
                object: Some(object),
            }),
            expect_generation: expect,
        })),
    }
}

/// A key.
pub(crate) fn key(kind: v1::ObjectKind, name: &str) -> Option<v1::ObjectKey> {
    Some(v1::ObjectKey {
        kind: kind.into(),
        name: name.into(),
    })
}
