//! A class of apis declared once, from the file to what is told of each api.

use anyhow::{Result, ensure};
use serde_json::Value;
use tidegate_e2e::{Daemon, catalog, gate};

/// What the operator says of all that is critical, and the shop of its own.
const TEMPLATES: &str = "\
kind: template
name: critical
selector: {labels: {class: critical}}
base_tier: gold
floor: {requests: 5}
slos:
- {name: up, availability: {}, objective: 99%, window: 1d, judged: together}
---
kind: template
name: shop/mine
selector: {tenant: shop, labels: {class: critical}}
weight: 3
---
kind: api
name: shop/pay
pool: edge
labels: {class: critical}
---
kind: api
name: shop/orders
pool: edge
labels: {class: critical}
base_tier: silver
";

fn json(daemon: &Daemon, arguments: &[&str]) -> Result<Value> {
    let told = daemon.cli(&[arguments, &["-o", "json"]].concat())?;
    ensure!(told.ok(), "{}", told.stderr);
    Ok(serde_json::from_str(&told.stdout)?)
}

fn says(daemon: &Daemon, arguments: &[&str], part: &str) -> Result<()> {
    let told = daemon.cli(arguments)?;
    let text = format!("{}{}", told.stdout, told.stderr);
    ensure!(
        text.contains(part),
        "{arguments:?} does not say {part:?}:\n{text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_say_what_apis_are_and_are_told_as_what_said_so() -> Result<()> {
    let gate = gate()?;
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    let file = gate.file("templates.yaml", TEMPLATES)?;
    let file = file.display().to_string();
    let applied = daemon.cli(&["apply", "-f", &file])?;
    ensure!(applied.ok(), "{}", applied.stderr);
    says(
        &daemon,
        &["apply", "-f", &file],
        "template critical unchanged",
    )?;

    let pay = json(&daemon, &["get", "api", "shop/pay"])?;
    ensure!(pay["base_tier"] == "gold" && pay["weight"] == 3.0, "{pay}");
    ensure!(pay["filled"]["base_tier"] == "critical", "{pay}");
    ensure!(pay["filled"]["weight"] == "shop/mine", "{pay}");
    let orders = json(&daemon, &["get", "api", "shop/orders"])?;
    ensure!(orders["base_tier"] == "silver", "{orders}");
    ensure!(orders["filled"]["base_tier"].is_null(), "{orders}");
    says(
        &daemon,
        &["get", "api", "shop/pay"],
        "# base_tier is gold, by the template critical",
    )?;
    says(
        &daemon,
        &["get", "slos"],
        "by template critical, judged over its group together",
    )?;
    says(
        &daemon,
        &["get", "template", "critical"],
        "# it selects shop/orders, shop/pay",
    )?;

    // What is told can be put back, as it is and as its manifest, and is then still open.
    for told in [
        pay.to_string(),
        daemon.cli(&["get", "api", "shop/pay"])?.stdout,
    ] {
        let back = gate.file("back.yaml", told)?.display().to_string();
        says(&daemon, &["apply", "-f", &back], "api shop/pay unchanged")?;
    }

    // What does not fit is told at the line of the document that asks for it.
    let large = TEMPLATES.replace("requests: 5", "requests: 1e9");
    let large = gate.file("large.yaml", large)?.display().to_string();
    says(
        &daemon,
        &["apply", "-f", &large],
        "large.yaml:14: api shop/pay: floor.requests: ",
    )?;
    let twice = TEMPLATES.replace("availability: {}, ", "");
    let twice = gate.file("twice.yaml", twice)?.display().to_string();
    says(&daemon, &["apply", "-f", &twice], "twice.yaml:7: ")?;

    says(
        &daemon,
        &["delete", "slo", "shop/pay/up"],
        "the template `critical` puts it on the api",
    )?;
    let deleted = daemon.cli(&["delete", "template", "critical"])?;
    ensure!(deleted.ok(), "{}", deleted.stderr);
    let pay = json(&daemon, &["get", "api", "shop/pay"])?;
    ensure!(
        pay["base_tier"] == "bronze" && pay["weight"] == 3.0,
        "{pay}"
    );
    let slos = json(&daemon, &["get", "slos"])?;
    ensure!(
        !slos.to_string().contains("shop/pay/up"),
        "its SLOs went with it: {slos}"
    );
    daemon.stop().await?;
    Ok(())
}
