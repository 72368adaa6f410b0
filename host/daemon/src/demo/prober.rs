//! Clients that keep calling while policies are swapped: every call that fails is a dropped one.

use super::setup::id;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidegate_proto::v1::{self, forecasts_client::ForecastsClient, limits_client::LimitsClient};
use tonic::transport::Channel;

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Calls that were answered.
    pub(crate) answered: AtomicU64,
    /// Calls that failed.
    pub(crate) failed: AtomicU64,
    over: AtomicBool,
}

/// Two clients, one asking for forecasts and one for grants, until they are told to stop.
pub(crate) struct Prober {
    tally: Arc<Tally>,
    clients: tokio::task::JoinSet<()>,
}

impl Prober {
    /// Starts calling.
    pub(crate) fn start(channel: &Channel, apis: &[String]) -> Self {
        let tally = Arc::new(Tally::default());
        let mut clients = tokio::task::JoinSet::new();
        let (counted, channel_a, names) = (tally.clone(), channel.clone(), apis.to_vec());
        clients.spawn(async move {
            let mut client = ForecastsClient::new(channel_a);
            for name in names
                .iter()
                .cycle()
                .take_while(|_| !counted.over.load(Ordering::Acquire))
            {
                let signal = v1::Signal::Requests.into();
                let request = v1::GetForecastRequest {
                    api: id(name),
                    signal,
                    steps: 0,
                    levels: vec![],
                };
                counted.note(client.get_forecast(request).await.is_ok());
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        });
        let (counted, channel_b, names) = (tally.clone(), channel.clone(), apis.to_vec());
        clients.spawn(async move {
            let mut client = LimitsClient::new(channel_b);
            for name in names
                .iter()
                .cycle()
                .take_while(|_| !counted.over.load(Ordering::Acquire))
            {
                counted.note(
                    client
                        .get_grant(v1::GetGrantRequest { api: id(name) })
                        .await
                        .is_ok(),
                );
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        });
        Self { tally, clients }
    }

    /// Stops calling and says how many calls were answered and how many failed.
    pub(crate) async fn stop(mut self) -> Result<(u64, u64)> {
        self.tally.over.store(true, Ordering::Release);
        while let Some(ended) = self.clients.join_next().await {
            ended?;
        }
        Ok((
            self.tally.answered.load(Ordering::Acquire),
            self.tally.failed.load(Ordering::Acquire),
        ))
    }
}

impl Tally {
    fn note(&self, ok: bool) {
        let counter = if ok { &self.answered } else { &self.failed };
        counter.fetch_add(1, Ordering::AcqRel);
    }
}
