//! TLS and mutual TLS, with certificates that are made here.

use crate::fake::Fake;
use crate::world::{World, by, refused};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::Arc;
use tidegate_api::{Error, Options, Server, Tls};
use tidegate_proto::v1;
use tidegate_proto::v1::plans_client::PlansClient;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// A certificate and its key, as PEM.
struct Pem {
    certificate: String,
    key: String,
}

fn self_signed() -> Pem {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    Pem {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

/// An authority, and a client's certificate that it has signed.
fn authority_and_client() -> (String, Pem) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["enforcer-1".into()]).unwrap();
    let client = params.signed_by(&key, &ca).unwrap();
    let client = Pem {
        certificate: client.pem(),
        key: key.serialize_pem(),
    };
    (ca.pem(), client)
}

async fn connect(world: &World, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let port = world.address.port();
    let endpoint = Channel::from_shared(format!("https://localhost:{port}")).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await
}

fn trusting(server: &Pem) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&server.certificate))
        .domain_name("localhost")
}

fn tls(server: &Pem, client_ca: Option<String>) -> Tls {
    Tls {
        certificate: server.certificate.clone(),
        key: server.key.clone(),
        client_ca,
    }
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_served_and_another_is_not() {
    let server = self_signed();
    let world = World::with(|options| options.tls = Some(tls(&server, None)));
    let channel = connect(&world, trusting(&server)).await.unwrap();
    let pools = PlansClient::new(channel)
        .list_pools(v1::ListPoolsRequest {})
        .await
        .unwrap();
    assert_eq!(pools.into_inner().pools.len(), 1);
    connect(&world, trusting(&self_signed())).await.unwrap_err();
    // Plain HTTP/2 on a TLS listener gets no answer of ours.
    let plain = Channel::from_shared(format!("http://{}", world.address)).unwrap();
    let channel = plain.connect_lazy();
    let answer = PlansClient::new(channel)
        .list_pools(v1::ListPoolsRequest {})
        .await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn with_an_authority_a_client_must_show_its_certificate_and_still_needs_a_token() {
    let server = self_signed();
    let (ca, client) = authority_and_client();
    let world = World::with(|options| {
        options.tls = Some(tls(&server, Some(ca)));
        let one = tidegate_api::Credential::new(
            "shop",
            &tidegate_api::token_digest("shop"),
            tidegate_core::access::Role::Reader,
            None,
        );
        options.auth = tidegate_api::Auth::tokens(vec![one.unwrap()]).unwrap();
    });
    let identity = Identity::from_pem(&client.certificate, &client.key);
    let channel = connect(&world, trusting(&server).identity(identity))
        .await
        .unwrap();
    let mut plans = PlansClient::new(channel);
    let list = || v1::ListPoolsRequest {};
    refused(
        plans.list_pools(list()).await,
        Code::Unauthenticated,
        "wants a token",
    );
    plans.list_pools(by("shop", list())).await.unwrap();

    // In TLS 1.3 the refusal may come only with the first use of the connection.
    if let Ok(channel) = connect(&world, trusting(&server)).await {
        let answer = PlansClient::new(channel)
            .list_pools(by("shop", list()))
            .await;
        assert!(answer.is_err());
    }
}

#[tokio::test]
async fn certificates_that_are_none_are_refused_at_the_start() {
    let bind = |tls| {
        let mut options = Options::new(([127, 0, 0, 1], 0).into());
        options.tls = Some(tls);
        Server::bind(options, Arc::new(Fake::default())).unwrap_err()
    };
    let server = self_signed();
    let junk = Tls {
        certificate: "not PEM".into(),
        key: server.key.clone(),
        client_ca: None,
    };
    let foreign_key = Tls {
        key: self_signed().key,
        ..tls(&server, None)
    };
    for (tls, what) in [(junk, "junk"), (foreign_key, "foreign key")] {
        let error = bind(tls);
        assert!(matches!(error, Error::Tls(_)), "{what}: {error}");
        assert!(error.to_string().contains("PEM"), "{what}: {error}");
    }
}
