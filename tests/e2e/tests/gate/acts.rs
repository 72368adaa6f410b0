//! A version's life with power cut in the middle of its acts: who serves, what is declared and what the
//! journal tells are of one mind afterwards, and what was cut short is ended by the next start.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_e2e::{Daemon, Gate, catalog, gate};
use tidegate_generations::Guest;
use tidegate_proto::v1::{self, policies_client::PoliciesClient};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// How often the power fails.
const KILLS: u64 = 24;

const BINDING: &str = "shop-forecasts";

fn json(daemon: &Daemon, arguments: &[&str]) -> Result<Value> {
    let told = daemon.cli(&[arguments, &["-o", "json"]].concat())?;
    ensure!(told.ok(), "{arguments:?}: {}", told.stderr);
    Ok(serde_json::from_str(&told.stdout)?)
}

/// How the binding stands: who serves, and who is in shadow.
#[derive(Debug, PartialEq)]
struct Stands {
    serves: String,
    shadow: Option<String>,
}

fn version(of: &Value) -> Option<String> {
    of["module"]["version"].as_str().map(str::to_owned)
}

/// As the slots and the catalog say it.
fn stands(daemon: &Daemon) -> Result<Stands> {
    let slots = json(daemon, &["policy", "slots"])?;
    let mut all = slots.as_array().context("no list")?.iter();
    let slot = all.find(|s| s["binding"] == BINDING).context("no slot")?;
    let active = &slot["active"];
    ensure!(active["name"] == "steady", "{slot:#}");
    let of_trial = || {
        let is_shadow = slot["trial"]["serving"] == "incumbent";
        is_shadow.then(|| version(&slot["trial"]["candidate"]))?
    };
    Ok(Stands {
        serves: active["version"].as_str().context("no version")?.to_owned(),
        shadow: of_trial(),
    })
}

/// As the journal tells it.
fn told(daemon: &Daemon) -> Result<Stands> {
    let steps = json(daemon, &["policy", "history", BINDING])?;
    let mut of = Stands {
        serves: String::new(),
        shadow: None,
    };
    for step in steps.as_array().context("no list")? {
        match step["event"].as_str().unwrap_or_default() {
            "bound" | "rolled-back" => {
                of.serves = version(&step["to"]).with_context(|| format!("{step:#}"))?;
            }
            "promoted" => {
                of.serves = version(&step["to"]).with_context(|| format!("{step:#}"))?;
                of.shadow = None;
            }
            "shadow" => of.shadow = version(&step["to"]),
            "shadow-ended" => of.shadow = None,
            _ => {}
        }
    }
    Ok(of)
}

/// Begins the act that comes next in a life, whatever the one before came to.
async fn act(
    channel: Channel,
    round: u64,
    stands: &Stands,
    modules: &BTreeMap<String, String>,
) -> bool {
    let mut policies = PoliciesClient::new(channel);
    let binding = BINDING.to_owned();
    let module = modules["2.0.0"].clone();
    let is_first = stands.serves == "1.0.0";
    let done = match (&stands.shadow, is_first) {
        (Some(_), _) if round % 5 == 4 => {
            let asked = v1::EndShadowRequest { binding };
            policies.end_shadow(asked).await.map(drop)
        }
        (Some(_), _) => {
            let asked = v1::PromoteRequest {
                binding,
                force: true,
            };
            policies.promote(asked).await.map(drop)
        }
        (None, false) => {
            let asked = v1::RollbackRequest { binding };
            policies.rollback(asked).await.map(drop)
        }
        // What was taken back comes by word, else in shadow.
        (None, true) if round.is_multiple_of(3) => {
            let asked = v1::BindRequest {
                binding,
                module,
                config: None,
            };
            policies.bind(asked).await.map(drop)
        }
        (None, true) => {
            let lifted = v1::LiftRequest {
                module: module.clone(),
                binding: binding.clone(),
            };
            policies.lift(lifted).await.ok();
            let asked = v1::PutInShadowRequest {
                binding,
                module,
                config: None,
            };
            policies.put_in_shadow(asked).await.map(drop)
        }
    };
    done.is_ok()
}

fn push(gate: &Gate, daemon: &Daemon, guest: Guest) -> Result<()> {
    let file = gate.file("steady.wasm", guest.component()?)?;
    let told = daemon.cli(&["policy", "push", &file.display().to_string()])?;
    ensure!(told.ok(), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_in_the_acts_of_a_life_leave_slots_catalog_and_journal_of_one_mind() -> Result<()>
{
    let gate = gate()?;
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    push(&gate, &daemon, Guest::FirstForecaster)?;
    let of = v1::Binding {
        name: BINDING.into(),
        kind: v1::ModuleKind::Forecaster.into(),
        selector: Some(v1::Selector {
            tenant: "shop".into(),
            ..v1::Selector::default()
        }),
        module: "steady".into(),
        gate: Some(v1::Gate {
            // A shadow is not to wait for the end of a watch.
            watch_s: Some(0),
            ..v1::Gate::default()
        }),
        ..v1::Binding::default()
    };
    catalog::apply(&channel, vec![v1::object::Object::Binding(of)]).await?;
    push(&gate, &daemon, Guest::SecondForecaster)?;
    let mut policies = PoliciesClient::new(channel.clone());
    let all = policies.list_modules(v1::ListModulesRequest {}).await?;
    let mine = all.into_inner().modules.into_iter().filter_map(|m| {
        let manifest = m.manifest.filter(|f| f.name == "steady")?;
        Some((manifest.version, m.digest))
    });
    let modules: BTreeMap<String, String> = mine.collect();
    ensure!(modules.len() == 2, "{modules:?}");
    drop((policies, channel));
    daemon.stop().await?;

    let (mut heard, mut changed, mut before) = (0, 0, None);
    for round in 0..=KILLS {
        let daemon = gate.start().await?;
        let stands = stands(&daemon)?;
        let told = told(&daemon)?;
        ensure!(
            stands == told,
            "round {round}: {stands:?}, and the journal tells {told:?}"
        );
        changed += u64::from(before.is_some_and(|b| b != stands));
        if round == KILLS {
            break;
        }
        let channel = daemon.connect().await?;
        let draw = tidegate_core::canonical::seed(21, "kill", "", i64::try_from(round)?);
        let wait = tokio::time::sleep(Duration::from_millis(draw % 12));
        let mut asked = JoinSet::new();
        let modules = modules.clone();
        let (of, tx) = (
            Stands {
                serves: stands.serves.clone(),
                shadow: stands.shadow.clone(),
            },
            round,
        );
        asked.spawn(async move { act(channel, tx, &of, &modules).await });
        wait.await;
        daemon.kill()?;
        heard += u64::from(asked.join_all().await == [true]);
        before = Some(stands);
    }
    let log = gate.log()?;
    ensure!(!log.contains("panicked"), "{log}");
    println!("{KILLS} kills, {changed} acts were done, {heard} of them heard of");
    Ok(())
}
