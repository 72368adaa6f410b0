//! What streams become, and what is told of it.

use super::rules::{Action, written};
use super::*;
use std::collections::BTreeSet;

fn holder_of(tenants: &[&str]) -> BTreeSet<TenantId> {
    tenants.iter().map(|t| t.parse().unwrap()).collect()
}

fn decide_as(
    mapping: &Mapping,
    text: &str,
    unit: &str,
    shape: Shape,
    tenants: Option<&[&str]>,
) -> Verdict {
    let metric = written(text).unwrap();
    let labels = Labels::new(metric.labels);
    let tenants = tenants.map(holder_of);
    let stream = Stream {
        name: &metric.name,
        unit,
        shape,
        labels: &labels,
    };
    mapping.decide(
        &stream,
        Holder {
            tenants: tenants.as_ref(),
        },
    )
}

/// Of a credential with the one tenant `shop`: `API: signal, …`, or why not.
#[track_caller]
fn check(mapping: &Mapping, text: &str, unit: &str, shape: Shape, expected: &str) {
    let told = match decide_as(mapping, text, unit, shape, Some(&["shop"])) {
        Verdict::Mapped(mapped) => {
            let feeds: Vec<_> = mapped
                .feeds
                .iter()
                .map(|(s, h)| format!("{} {h:?}", s.name()))
                .collect();
            assert!(mapped.why.len() >= 2, "{:?}", mapped.why);
            format!("{}: {} x{}", mapped.api, feeds.join(", "), mapped.factor)
        }
        Verdict::PassedOver(why) => format!("passed over: {why}"),
        Verdict::Refused(why) => format!("refused: {why}"),
    };
    assert!(told.contains(expected), "{text}: {told}");
}

fn rule(matcher: &str, api: &str, signal: Signal, errors: Option<&str>) -> Rule {
    Rule {
        matcher: Matcher::new(matcher).unwrap(),
        action: Action::Feed {
            api: api.into(),
            signal,
            errors: errors.map(|e| Matcher::new(e).unwrap()),
            scale: None,
        },
    }
}

#[test]
fn what_an_envoy_counts_is_known_by_each_of_its_spellings() {
    let plain = Mapping::default();
    for (text, shape, expected) in [
        (
            r#"cluster.upstream_rq_xx{envoy.cluster_name="pay", envoy.response_code_class="2"}"#,
            Shape::Counter,
            "shop/pay: requests Count x1",
        ),
        (
            r#"cluster.pay.upstream_rq_5xx"#,
            Shape::Counter,
            "shop/pay: requests Count, errors Count x1",
        ),
        (
            r#"cluster.a.b.svc.local.upstream_rq_4xx"#,
            Shape::Counter,
            "shop/a.b.svc.local: requests Count x1",
        ),
        (
            r#"envoy_cluster_upstream_rq_xx{envoy_cluster_name="pay", envoy_response_code_class="5"}"#,
            Shape::Counter,
            "shop/pay: requests Count, errors Count x1",
        ),
        (
            r#"vhost.route.upstream_rq_xx{envoy.virtual_host="shop", envoy.route="cards", envoy.response_code_class="5"}"#,
            Shape::Counter,
            "shop/shop/cards: requests Count, errors Count x1",
        ),
        (
            r#"vhost.shop.vcluster.cards.upstream_rq_2xx"#,
            Shape::Counter,
            "shop/shop/cards: requests Count x1",
        ),
        (
            r#"cluster.upstream_rq_time{envoy.cluster_name="pay"}"#,
            Shape::Histogram,
            "shop/pay: latency Latency x0.001",
        ),
        (
            r#"vhost.shop.route.cards.upstream_rq_time"#,
            Shape::Histogram,
            "shop/shop/cards: latency Latency x0.001",
        ),
        (
            r#"cluster.pay.external.upstream_rq_2xx"#,
            Shape::Counter,
            "passed over: no rule",
        ),
        (
            r#"cluster.internal.upstream_rq_xx{envoy.cluster_name="pay"}"#,
            Shape::Counter,
            "passed over: no rule",
        ),
        (
            r#"cluster.pay.zone.a.b.upstream_rq_2xx"#,
            Shape::Counter,
            "passed over: no rule",
        ),
        (
            r#"cluster.pay.upstream_rq_200"#,
            Shape::Counter,
            "passed over: no rule",
        ),
        (
            r#"cluster.pay.upstream_rq_total"#,
            Shape::Counter,
            "passed over: no rule",
        ),
        (
            r#"cluster.upstream_rq_xx{envoy.response_code_class="2"}"#,
            Shape::Counter,
            "passed over: `cluster.upstream_rq_xx` has no label `envoy.cluster_name`",
        ),
        (
            r#"envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="pay"}"#,
            Shape::Buckets,
            "shop/pay: latency Latency x0.001",
        ),
        (
            r#"cluster.pay.upstream_rq_time"#,
            Shape::Counter,
            "passed over: requests are counted by",
        ),
    ] {
        check(&plain, text, "", shape, expected);
    }
    let by_service = Mapping {
        granularity: Granularity::Service,
        ..Mapping::default()
    };
    let route = "vhost.shop.route.cards.upstream_rq_2xx";
    check(
        &by_service,
        route,
        "",
        Shape::Counter,
        "passed over: apis are services",
    );
    check(
        &by_service,
        "cluster.pay.upstream_rq_2xx",
        "",
        Shape::Counter,
        "shop/pay",
    );
    assert!(plain.wants(route) && !plain.wants("cluster.pay.upstream_rq_200"));
}

#[test]
fn conventions_need_no_configuration() {
    let by_route = Mapping::default();
    let http = r#"http.server.request.duration{service.name="pay", http.request.method="GET", http.route="/v1/cards/{id}", "#;
    for (text, unit, shape, expected) in [
        (format!("{http}http.response.status_code=\"200\"}}"), "s", Shape::Histogram,
         "shop/pay/GET/v1/cards/_id_: requests Count, latency Latency x1"),
        (format!("{http}http.response.status_code=\"404\"}}"), "s", Shape::Histogram, "requests Count, latency Latency x1"),
        (format!("{http}http.response.status_code=\"503\"}}"), "s", Shape::Histogram,
         "requests Count, latency Latency, errors Count x1"),
        (format!("{http}error.type=\"timeout\"}}"), "s", Shape::Histogram, "errors Count"),
        (r#"http.server.duration{service.name="pay", http.status_code="500"}"#.into(), "ms", Shape::Histogram,
         "shop/pay: requests Count, latency Latency, errors Count x0.001"),
        (r#"rpc.server.duration{service.name="pay", rpc.service="cards.v1.Cards", rpc.method="Get", rpc.grpc.status_code="14"}"#.into(),
         "ms", Shape::Histogram, "shop/pay/cards.v1.Cards/Get: requests Count, latency Latency, errors Count x0.001"),
        (r#"rpc.server.duration{service.name="pay", rpc.method="Get", rpc.grpc.status_code="5"}"#.into(),
         "ms", Shape::Histogram, "shop/pay/Get: requests Count, latency Latency x0.001"),
        (r#"process.cpu.time{service.name="pay", cpu.mode="user"}"#.into(), "s", Shape::Counter, "shop/pay: cpu Rate x1"),
        (r#"container.memory.usage{service.name="pay"}"#.into(), "MiBy", Shape::Level, "shop/pay: memory Level x1048576"),
        (r#"container.network.io{service.name="pay"}"#.into(), "By", Shape::Counter, "shop/pay: network Rate x1"),
        (r#"http_server_request_duration_seconds_count{job="pay", http_route="/x", http_request_method="PUT", http_response_status_code="500"}"#.into(),
         "", Shape::Counter, "shop/pay/PUT/x: requests Count, errors Count x1"),
        (r#"http_server_request_duration_seconds_bucket{job="pay", le="0.1"}"#.into(), "", Shape::Counter, "passed over: requests are counted by"),
        (r#"http_server_request_duration_seconds_bucket{job="pay", http_response_status_code="500"}"#.into(), "", Shape::Buckets, "shop/pay: latency Latency x1"),
        (r#"http_server_duration_milliseconds_bucket{job="pay"}"#.into(), "", Shape::Buckets, "shop/pay: latency Latency x0.001"),
        (r#"process_cpu_seconds_total{job="pay", instance="a:1"}"#.into(), "", Shape::Counter, "shop/pay: cpu Rate x1"),
        (r#"http.client.request.duration{service.name="pay"}"#.into(), "s", Shape::Histogram, "passed over: no rule matches"),
        (r#"http.server.request.duration{http.route="/x"}"#.into(), "s", Shape::Histogram, "refused: `http.server.request.duration` has neither"),
        (r#"process.cpu.time{host.name="n1"}"#.into(), "s", Shape::Counter, "passed over: `process.cpu.time` has neither"),
        (r#"process.memory.usage{service.name="pay"}"#.into(), "By", Shape::Counter, "refused: memory is a level"),
        (r#"process.cpu.time{service.name="pay"}"#.into(), "fortnights", Shape::Counter, "refused: its unit `fortnights`"),
    ] {
        check(&by_route, &text, unit, shape, expected);
    }
    let by_service = Mapping {
        granularity: Granularity::Service,
        ..Mapping::default()
    };
    check(
        &by_service,
        &format!("{http}http.response.status_code=\"200\"}}"),
        "s",
        Shape::Histogram,
        "shop/pay: requests",
    );
}

#[test]
fn rules_go_first_and_the_first_that_matches_decides() {
    let mapping = Mapping {
        rules: vec![
            Rule {
                matcher: Matcher::new(r#"{job="noise"}"#).unwrap(),
                action: Action::Drop,
            },
            rule(
                r#"requests_total{job=~"edge|core"}"#,
                "{job}/{route}",
                Signal::Requests,
                Some(r#"{code=~"5.."}"#),
            ),
            rule(
                r#"{__name__=~"cpu_.*", pod!=""}"#,
                "{app}",
                Signal::Cpu,
                None,
            ),
        ],
        ..Mapping::default()
    };
    for (text, shape, expected) in [
        (
            r#"requests_total{job="edge", route="/a/b", code="502"}"#,
            Shape::Counter,
            "shop/edge/a/b: requests Count, errors Count x1",
        ),
        (
            r#"requests_total{job="core", route="/a/b", code="200"}"#,
            Shape::Counter,
            "shop/core/a/b: requests Count x1",
        ),
        (
            r#"requests_total{job="edge2", route="/a"}"#,
            Shape::Counter,
            "passed over: no rule matches",
        ),
        (
            r#"requests_total{job="edge"}"#,
            Shape::Counter,
            "refused: rule 2",
        ),
        (
            r#"requests_total{job="edge", route="/a"}"#,
            Shape::Level,
            "counted, and this is a gauge",
        ),
        (
            r#"requests_total{job="noise"}"#,
            Shape::Counter,
            "passed over: rule 1",
        ),
        (
            r#"cpu_cores{pod="p1", app="pay"}"#,
            Shape::Level,
            "shop/pay: cpu Level x1",
        ),
        (r#"cpu_cores{app="pay"}"#, Shape::Level, "passed over"),
    ] {
        check(&mapping, text, "", shape, expected);
    }
    assert!(mapping.wants("cpu_x") && mapping.wants("process.cpu.time"));
}

#[test]
fn a_matcher_that_is_none_says_where() {
    for (text, part) in [
        ("", "match everything"),
        ("x{", "character 3: a label"),
        ("x{a}", "`=`, `!=`"),
        ("x{a=b}", "in quotes"),
        (r#"x{a="b}"#, "not closed"),
        (r#"x{a="b" c="d"}"#, "`,` or `}`"),
        (r#"x{a=~"("}"#, "no expression"),
        (r#"x{a="b"} y"#, "follows"),
        (r#"x{a="\q"}"#, "escapes"),
    ] {
        let error = Matcher::new(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(rules::check_template("{job}/x{").is_err());
    let metric = written(r#"{"http.server.duration", "service.name"='a"b'} 4.5"#).unwrap();
    assert_eq!(metric.name, "http.server.duration");
    assert_eq!(
        metric.labels,
        [("service.name".to_owned(), "a\"b".to_owned())]
    );
    assert_eq!(metric.value, Some(4.5));
    assert!(written("x{a!=\"b\"}").is_err());
}

#[test]
fn the_tenant_is_the_credential_s_and_an_attribute_only_chooses() {
    let (plain, other) = (
        r#"process.cpu.time{service.name="pay"}"#,
        r#"process.cpu.time{service.name="pay", tidegate.tenant="bank"}"#,
    );
    let mapping = Mapping {
        tenant: Some("home".parse().unwrap()),
        ..Mapping::default()
    };
    let told = |text: &str, tenants: Option<&[&str]>| match decide_as(
        &mapping,
        text,
        "s",
        Shape::Counter,
        tenants,
    ) {
        Verdict::Mapped(mapped) => mapped.api.tenant.to_string(),
        Verdict::PassedOver(why) | Verdict::Refused(why) => why,
    };
    assert_eq!(told(plain, Some(&["shop"])), "shop");
    assert!(told(other, Some(&["shop"])).contains("does not hold"));
    assert_eq!(told(other, Some(&["bank", "shop"])), "bank");
    assert!(told(plain, Some(&["bank", "shop"])).contains("tidegate.tenant"));
    assert_eq!(told(plain, None), "home");
    assert_eq!(told(other, None), "bank");
}
