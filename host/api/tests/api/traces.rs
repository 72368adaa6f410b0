//! A call's span is named by its path, knows its caller, and surrounds what the port does.
//!
//! The subscriber is the process's and stands before the first server does: `tracing` remembers per
//! call site whether anybody listens, so that one for a single thread would race with other tests.

use crate::ingest::{Feed, minute};
use crate::world::{World, by, counts};
use std::sync::{Arc, Mutex, OnceLock};
use tidegate_proto::v1;
use tidegate_proto::v1::ingest_client::IngestClient;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// Notes what is said of spans: `id name=value`.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

/// The notes of this process.
pub(crate) fn notes() -> &'static Notes {
    static NOTES: OnceLock<Notes> = OnceLock::new();
    NOTES.get_or_init(|| {
        let notes = Notes::default();
        let subscriber = Registry::default().with(notes.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        notes
    })
}

struct Say<'a>(u64, &'a Notes);

impl Visit for Say<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let note = format!("{} {field}={value:?}", self.0);
        self.1.0.lock().unwrap().push(note);
    }
}

impl Layer<Registry> for Notes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, Registry>) {
        attributes.record(&mut Say(id.into_u64(), self));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, Registry>) {
        values.record(&mut Say(id.into_u64(), self));
    }
}

#[tokio::test]
async fn a_batch_reaches_the_port_inside_the_span_of_its_call() {
    let world = World::guarded();
    let push = v1::PushRequest {
        series: vec![v1::PushSeries {
            api: "shop/orders".into(),
            signal: v1::Signal::Requests.into(),
            step_s: 60,
            columns: counts(&[1.0]),
        }],
    };
    let mut client = IngestClient::new(world.channel().await);
    client.push(by("shop", push)).await.unwrap();

    let open = World::open();
    let mut feed = Feed::open(&open).await;
    feed.send(minute(1)).await;
    feed.ack().await;

    for (world, method, caller) in [(&world, "Push", "shop"), (&open, "StreamSamples", "local")] {
        let id = world.gate.spans.lock().unwrap()[0].id().unwrap().into_u64();
        let said = notes().0.lock().unwrap().clone();
        for field in [
            format!("otel.name=\"tidegate.v1.Ingest/{method}\""),
            format!("caller=\"{caller}\""),
        ] {
            assert!(
                said.contains(&format!("{id} {field}")),
                "{field} of {id}: {said:?}"
            );
        }
    }
}
