//! Uploads that would take a daemon down if it tried them itself: each ends in a refusal that names
//! the bound and the remedy, and the daemon answers everybody else meanwhile and afterwards.
//!
//! One daemon under tight bounds for all of them, since starting it is the slow part.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use tidegate_e2e::{Daemon, Gate, Outcome, gate};
use tidegate_hostile::{Guest, bomb};

fn push(gate: &Gate, daemon: &Daemon, guest: &Guest) -> Outcome {
    let file = gate.file("policy.wasm", guest.build().unwrap()).unwrap();
    let file = file.display().to_string();
    daemon.cli(&["policy", "push", &file]).unwrap()
}

#[track_caller]
fn refused(outcome: &Outcome, parts: &[&str]) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    for part in parts {
        assert!(
            outcome.stderr.contains(part),
            "`{part}` is not in: {outcome:?}"
        );
    }
}

/// Processes whose parent is the daemon.
fn children(daemon: &Daemon) -> String {
    let pid = daemon.pid();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: &Path| std::fs::read_to_string(task.join("children")).unwrap_or_default();
    tasks.flatten().map(|task| of(&task.path())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kills_its_trial_is_refused_with_the_bound_that_it_met() {
    let home = gate()
        .unwrap()
        .also("policies: { trial: { memory: 160, cpu: 2s, wall: 50s } }\n");
    // What is shipped is compiled under ordinary bounds, once per build.
    drop(gate().unwrap().start().await.unwrap());
    let daemon = home.start().await.unwrap();
    let good = Guest::forecaster("good");

    let memory = good.clone().extra(&bomb::long(60_000));
    refused(
        &push(&home, &daemon, &memory),
        &["more than 160 MiB of memory", "policies.trial.memory"],
    );
    let time = good.clone().extra(&bomb::many(3_500));
    refused(
        &push(&home, &daemon, &time),
        &["more than 2 s of CPU time", "policies.trial.cpu"],
    );
    let traps = good.clone().body("predict", "(unreachable)");
    refused(
        &push(&home, &daemon, &traps),
        &["canary call `predict`", "trapped"],
    );

    let outcome = push(&home, &daemon, &good);
    assert!(outcome.ok(), "the next good one is admitted: {outcome:?}");
    assert_eq!(children(&daemon).trim(), "", "no process is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_trusts_keys_takes_what_they_signed_and_nothing_else() {
    let home = gate().unwrap();
    let at = |name: &str| home.home().join(name).display().to_string();
    let keys = home.start().await.unwrap();
    let made = keys
        .cli(&["-o", "json", "policy", "key", &at("key.pem")])
        .unwrap();
    assert!(made.ok(), "{made:?}");
    drop(keys);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let public = made["public_key"].as_str().unwrap();
    let home = home.also(&format!(
        "policies: {{ trusted_keys: [ {{ name: release, key: \"{public}\" }} ] }}\n"
    ));
    let daemon = home.start().await.unwrap();
    let bytes = Guest::forecaster("good").build().unwrap();
    let at = |name: &str| home.home().join(name).display().to_string();
    home.file("policy.wasm", &bytes).unwrap();
    home.file("other.wasm", [&bytes[..], &[0, 2, 1, b'x']].concat())
        .unwrap();
    let sign = [
        "policy",
        "sign",
        &at("policy.wasm"),
        "--key",
        &at("key.pem"),
    ];
    assert!(daemon.cli(&sign).unwrap().ok());
    let signature = at("policy.wasm.sig");
    let push = |file: &str, signature: Option<&str>| {
        let mut verb = vec!["policy", "push", file];
        verb.extend(signature.iter().flat_map(|s| ["--signature", *s]));
        daemon.cli(&verb).unwrap()
    };
    refused(
        &push(&at("policy.wasm"), None),
        &["signed modules alone", "policy sign", "release"],
    );
    refused(
        &push(&at("other.wasm"), Some(&signature)),
        &["no trusted key (release)", "the very file"],
    );
    let outcome = push(&at("policy.wasm"), Some(&signature));
    assert!(outcome.ok(), "{outcome:?}");
}
