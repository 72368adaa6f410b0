//! What surrounds the services: reflection, health, compression, traces, start and end.

use crate::world::{World, by, refused};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_api::{Error, Insecure, Options, Server, Serving};
use tidegate_proto::v1;
use tidegate_proto::v1::plans_client::PlansClient;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1 as reflection;

const SERVICES: [&str; 10] = [
    "tidegate.v1.Alerts",
    "tidegate.v1.Catalog",
    "tidegate.v1.Clock",
    "tidegate.v1.Events",
    "tidegate.v1.Forecasts",
    "tidegate.v1.Ingest",
    "tidegate.v1.Limits",
    "tidegate.v1.Plans",
    "tidegate.v1.Policies",
    "tidegate.v1.Shadows",
];

#[tokio::test]
async fn reflection_lists_every_service_in_both_versions() {
    let world = World::guarded();
    let channel = world.channel().await;
    let ask = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            reflection::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client =
        reflection::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let nobody = client
        .server_reflection_info(tokio_stream::iter([ask.clone()]))
        .await;
    refused(nobody, Code::Unauthenticated, "wants a token");
    let request = by("look", tokio_stream::iter([ask]));
    let mut answers = client
        .server_reflection_info(request)
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let reflection::server_reflection_response::MessageResponse::ListServicesResponse(list) =
        answer
    else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    assert!(names.iter().any(|n| n == "grpc.health.v1.Health"));
    for service in SERVICES {
        assert!(names.iter().any(|n| n == service), "{service}");
    }

    use tonic_reflection::pb::v1alpha;
    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "tidegate.v1.Ingest".into(),
            ),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let request = by("look", tokio_stream::iter([ask]));
    let mut answers = client
        .server_reflection_info(request)
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(file) = answer
    else {
        panic!("no file");
    };
    assert!(String::from_utf8_lossy(&file.file_descriptor_proto[0]).contains("StreamSamples"));
}

#[tokio::test]
async fn health_needs_no_token_and_says_per_service_what_it_was_told() {
    let mut world = World::guarded();
    let mut health = HealthClient::new(world.channel().await);
    let check = |service: &str| HealthCheckRequest {
        service: service.into(),
    };
    for service in SERVICES.into_iter().chain([""]) {
        let answer = health.check(check(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    refused(
        health.check(check("tidegate.v1.None")).await,
        Code::NotFound,
        "not registered",
    );
    world
        .health
        .set_service("tidegate.v1.Ingest", Serving::No)
        .await;
    let ingest = health
        .check(check("tidegate.v1.Ingest"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ingest.status(), ServingStatus::NotServing);
    let plans = health
        .check(check("tidegate.v1.Plans"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(plans.status(), ServingStatus::Serving);

    // A watcher of health does not keep a server that ends.
    let mut watch = health.watch(check("")).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    world.stop();
    while watch.message().await.is_ok_and(|m| m.is_some()) {}
    drop((watch, health));
    world.ended().await.unwrap();
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let world = World::open();
    world.gate.publish();
    let request = || v1::GetPlanRequest {
        pool: "main".into(),
        generation: None,
    };
    let mut plain = PlansClient::new(world.channel().await);
    let answer = plain.get_plan(request()).await.unwrap();
    assert!(answer.metadata().get("grpc-encoding").is_none());
    let mut asking = PlansClient::new(world.channel().await)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let squeezed = asking.get_plan(request()).await.unwrap();
    assert_eq!(squeezed.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner(), squeezed.into_inner());
}

#[tokio::test]
async fn the_trace_of_a_call_is_handed_to_the_hook_before_the_call_is_answered() {
    let seen = Arc::new(Mutex::new(vec![]));
    let notes = seen.clone();
    let world = World::with(|options| {
        options.adopt_parent = Some(Arc::new(move |_, header| {
            let pair = (header("traceparent"), header("tracestate"));
            notes.lock().unwrap().push(pair);
        }));
    });
    let mut plans = PlansClient::new(world.channel().await);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = Request::new(v1::ListPoolsRequest {});
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().unwrap());
    plans.list_pools(request).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(Some(parent.to_owned()), None)]);
}

#[tokio::test]
async fn a_listener_that_must_not_or_cannot_be_opened_says_why() {
    let world = World::open();
    let taken = Server::bind(Options::new(world.address), world.gate.clone()).unwrap_err();
    assert!(
        matches!(taken, Error::Bind { address, .. } if address == world.address),
        "{taken}"
    );
    assert!(taken.to_string().contains("is the port taken"));
    let mut open = Options::new(([0, 0, 0, 0], 0).into());
    let exposed = Server::bind(open.clone(), world.gate.clone()).unwrap_err();
    assert!(
        exposed.to_string().contains("configure tokens"),
        "{exposed}"
    );
    open.insecure = Insecure::Allowed;
    Server::bind(open, world.gate.clone()).unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_keep_a_server_for_ever() {
    let mut world = World::with(|options| options.drain = Duration::from_millis(50));
    let mut ingest = v1::ingest_client::IngestClient::new(world.channel().await);
    world
        .gate
        .hold
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let declare = v1::SeriesDeclaration {
        series_ref: 1,
        api: "shop/a".into(),
        signal: v1::Signal::Cpu.into(),
        step_s: 60,
    };
    let frame = v1::SampleFrame {
        sequence: 1,
        declare: vec![declare],
        series: vec![v1::SeriesSamples {
            series_ref: 1,
            columns: crate::world::counts(&[1.0]),
        }],
        ..Default::default()
    };
    let _acks = ingest
        .stream_samples(tokio_stream::iter([frame]))
        .await
        .unwrap();
    while world.gate.held() < 1 {
        tokio::task::yield_now().await;
    }
    world.stop();
    world.ended().await.unwrap();
}
