//! Versions over the wire: in shadow, promoted, quarantined, and what is told of them.

use crate::world::{World, refused};
use tidegate_core::access::Principal;
use tidegate_core::ports::serve::PoliciesPort as _;
use tidegate_proto::v1::{self, policies_client::PoliciesClient};
use tonic::Code;

#[tokio::test]
async fn a_version_s_comparison_and_past_arrive_with_every_field() {
    let world = World::open();
    let mut policies = PoliciesClient::new(world.channel().await);
    let component = b"\0asm".to_vec();
    let pushed = world
        .gate
        .push(&Principal::local(), None, component, vec![]);
    pushed.unwrap();

    let put = v1::PutInShadowRequest {
        binding: "a".into(),
        module: "theta".into(),
        config: Some("{\"season\":24}".into()),
    };
    let slot = policies.put_in_shadow(put).await.unwrap().into_inner().slot;
    let trial = slot.unwrap().trial.unwrap();
    assert_eq!(trial.candidate.unwrap().config, "{\"season\":24}");
    assert_eq!((trial.pairs, trial.difference), (40, Some(-0.25)));
    assert_eq!(
        (trial.difference_low, trial.difference_high),
        (Some(-0.5), Some(0.125))
    );
    assert_eq!(trial.gate.unwrap().alpha, Some(100));
    let binding = || "a".to_owned();
    let end = v1::EndShadowRequest { binding: binding() };
    let ended = policies.end_shadow(end).await.unwrap().into_inner();
    assert_eq!(ended.slot.unwrap().trial, None);
    let promote = |force| v1::PromoteRequest {
        binding: binding(),
        force,
    };
    let refused = policies.promote(promote(false)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(policies.promote(promote(true)).await.is_ok());
    let condemn = v1::QuarantineRequest {
        module: "ets".into(),
        binding: binding(),
    };
    let told = policies.quarantine(condemn).await.unwrap().into_inner();
    assert_eq!(told.module.unwrap().quarantined_for, ["a"]);
    let lift = v1::LiftRequest {
        module: "ets".into(),
        binding: String::new(),
    };
    assert!(policies.lift(lift).await.is_ok());
    let of = v1::HistoryRequest { of: binding() };
    let steps = policies.history(of).await.unwrap().into_inner().steps;
    assert_eq!(steps[0].event(), v1::LifeEvent::RolledBack);
    assert_eq!(
        (steps[0].sequence, steps[0].at_ms, steps[0].by.as_str()),
        (7, 9, "local")
    );
    assert_eq!((steps[0].forced, steps[0].tenant.as_str()), (true, "shop"));
    let two = v1::CompareRequest {
        a: "ets".into(),
        b: "theta".into(),
    };
    let told = policies.compare(two).await.unwrap().into_inner();
    assert_eq!(told.b.unwrap().exports, ["theta"]);
    assert_eq!(told.trials.len(), 1);
}

#[tokio::test]
async fn a_bad_question_about_a_version_says_what_to_ask() {
    let world = World::open();
    let mut policies = PoliciesClient::new(world.channel().await);
    let invalid = Code::InvalidArgument;
    let shadow = |binding: &str, module: &str, config: Option<String>| v1::PutInShadowRequest {
        binding: binding.into(),
        module: module.into(),
        config,
    };
    for (request, words) in [
        (shadow("a b", "ets", None), "binding"),
        (shadow("a", "", None), "name a module"),
        (shadow("a", "ets", Some(" ".repeat(70_000))), "longer than"),
    ] {
        refused(policies.put_in_shadow(request).await, invalid, words);
    }
    let end = v1::EndShadowRequest::default();
    refused(policies.end_shadow(end).await, invalid, "binding");
    let promote = v1::PromoteRequest::default();
    refused(policies.promote(promote).await, invalid, "binding");
    let condemn = v1::QuarantineRequest {
        module: "ets".into(),
        binding: "a b".into(),
    };
    refused(policies.quarantine(condemn).await, invalid, "binding");
    let lift = v1::LiftRequest::default();
    refused(policies.lift(lift).await, invalid, "name a module");
    for of in [String::new(), "x".repeat(201)] {
        let asked = policies.history(v1::HistoryRequest { of }).await;
        refused(asked, invalid, "name a binding or a module");
    }
    let one = v1::CompareRequest {
        a: "ets".into(),
        b: String::new(),
    };
    refused(policies.compare(one).await, invalid, "b: name a module");
}
