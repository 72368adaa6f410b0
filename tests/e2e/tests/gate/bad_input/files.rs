//! YAML: what an operator writes, at night and by hand. A mistake must name its file, its line and
//! the word that was meant, because nobody debugs a parser at three o'clock.

use super::Table;
use anyhow::Result;
use tidegate_e2e::{Daemon, Gate, gate};

/// Mistakes in the configuration; each daemon must refuse to start.
pub(super) fn configurations(table: &mut Table) -> Result<()> {
    let deep = "[".repeat(5000);
    let cases = [
        ("a key is misspelt", "step: 60s\nhorizn: 1h\n"),
        ("a duration is a word", "step: soon\n"),
        ("a step of no length", "step: 0s\n"),
        (
            "a horizon that is no whole number of steps",
            "step: 60s\nhorizon: 90s\n",
        ),
        (
            "a plan that reaches beyond the forecasts",
            "horizon: 15m\nplan: 1h\n",
        ),
        ("a horizon of 86,400 steps", "step: 1s\nhorizon: 24h\n"),
        ("a part above one", "target_utilisation: 1.5\n"),
        ("a part that is no number", "target_utilisation: .nan\n"),
        ("a clock that does not exist", "clock: lunar\n"),
        ("an address without a port", "listen: localhost\n"),
        ("a negative seed", "seed: -1\n"),
        ("a bracket stays open", "telemetry: { filter: info\n"),
        ("brackets without end", deep.as_str()),
        ("the same key twice", "step: 60s\nstep: 30s\n"),
        ("a list instead of a map", "- step: 60s\n"),
        (
            "a token by its text instead of its hash",
            "auth:\n  tokens:\n    - { name: ci, sha256: s3cret, role: writer }\n",
        ),
        (
            "a role that does not exist",
            "auth:\n  tokens:\n    - { name: ci, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90, role: king }\n",
        ),
        (
            "a tenant's name with a blank",
            "auth:\n  tokens:\n    - { name: ci, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90, role: reader, tenants: [my shop] }\n",
        ),
        (
            "a certificate that is not there",
            "tls: { certificate: no-such.pem, key: no-such.key }\n",
        ),
        (
            "a log filter that is none",
            "telemetry: { filter: 'info,=,debug==' }\n",
        ),
    ];
    for (mistake, yaml) in cases {
        let gate = gate()?.config(yaml);
        let mut outcome = gate.refused()?;
        outcome.stderr = outcome
            .stderr
            .replace(&format!("{}/", gate.home().display()), "");
        outcome.stderr = without_log(&outcome.stderr);
        table.command(mistake, yaml, &outcome)?;
    }
    Ok(())
}

/// What is told to the person, without what is told to the log (whose lines begin with a date).
fn without_log(text: &str) -> String {
    let dated = |line: &&str| !line.starts_with("20");
    text.lines()
        .filter(dated)
        .map(|l| format!("{l}\n"))
        .collect()
}

/// Mistakes in declarations, caught by the file's reader or by the daemon.
pub(super) fn declarations(table: &mut Table, gate: &Gate, daemon: &Daemon) -> Result<()> {
    let api = "kind: api\nname: shop/pay\npool: edge\n";
    let event = "kind: event\nname: shop/batch\ntype: batch\nduration: 1h\n";
    let cases = [
        ("an unknown key", format!("{api}base_teir: gold\n")),
        ("an unknown kind", "kind: tennant\nname: shop\n".to_owned()),
        ("no kind at all", "name: shop\n".to_owned()),
        ("an unknown tier", format!("{api}base_tier: platinum\n")),
        ("an amount with a wrong suffix", format!("{api}ceiling: {{ memory: 32Gb }}\n")),
        ("a negative floor", format!("{api}floor: {{ requests: -4 }}\n")),
        ("a pool that is not there", "kind: api\nname: shop/pay\npool: egde\n".to_owned()),
        ("an api without its tenant", "kind: api\nname: pay\npool: edge\n".to_owned()),
        ("a tenant that is not there", "kind: api\nname: shpo/pay\npool: edge\n".to_owned()),
        ("a time zone that is none", format!("{api}time_zone: Mars/Olympus\n")),
        ("tiers in the wrong order", format!("{api}lowest_tier: gold\nhighest_tier: bronze\n")),
        (
            "an objective in per cent without the sign",
            "kind: slo\nname: shop/fast\napi: shop/orders\nlatency: 200ms\nobjective: 99.9\nwindow: 30d\n".to_owned(),
        ),
        (
            "an objective that is always missed or always met",
            "kind: slo\nname: shop/fast\napi: shop/orders\nlatency: 200ms\nobjective: 100%\nwindow: 30d\n".to_owned(),
        ),
        (
            "a template of another tenant's name",
            "kind: template\nname: bank/all\nselector: {tenant: shop}\nweight: 2\n".to_owned(),
        ),
        (
            "a template with an SLO that is two in one",
            "kind: template\nname: shop/all\nselector: {tenant: shop}\nslos:\n- {name: up, availability: {}, latency: 200ms, objective: 99%, window: 1d}\n".to_owned(),
        ),
        (
            "a template whose floor is more than the pool",
            "kind: template\nname: shop/all\nselector: {tenant: shop}\nfloor: {requests: 100000}\n".to_owned(),
        ),
        (
            "an SLO of nobody's api",
            "kind: slo\nname: shop/fast\napi: shop/none\nlatency: 200ms\nobjective: 99%\nwindow: 30d\n".to_owned(),
        ),
        (
            "an event that ends before it starts",
            "kind: event\nname: shop/friday\ntype: campaign\nstart: 2026-11-27T00:00:00Z\nduration: 0s\n".to_owned(),
        ),
        (
            "an event on a day that is none",
            "kind: event\nname: shop/friday\ntype: campaign\nstart: 2026-02-30T00:00:00Z\nduration: 24h\n".to_owned(),
        ),
        (
            "a rule that is none",
            format!("{event}start: 2026-11-30T09:00\nrrule: FREQ=WEKLY;BYDAY=MO\n"),
        ),
        (
            "a rule of minutes",
            format!("{event}start: 2026-11-30T09:00\nrrule: FREQ=MINUTELY;INTERVAL=10\n"),
        ),
        (
            "a rule in a zone that is none",
            format!("{event}start: 2026-11-30T09:00\nrrule: FREQ=WEEKLY\ntimezone: Mars/Olympus\n"),
        ),
        (
            "a rule and an interval",
            format!("{event}start: 2026-11-30T09:00\nrrule: FREQ=WEEKLY\nevery: 7d\n"),
        ),
        (
            "an exception of no rule",
            format!("{event}start: 2026-11-30T09:00\nexdate: [2026-12-28]\n"),
        ),
        (
            "a rule that comes ten thousand times",
            format!("{event}start: 2026-11-30T09:00\nrrule: FREQ=HOURLY\n"),
        ),
        ("a binding to a module that is not there", "kind: binding\nname: mine\ntype: forecaster\nmodule: oracle\n".to_owned()),
        ("a binding to a module of another kind", "kind: binding\nname: mine\ntype: forecaster\nmodule: waterfill\n".to_owned()),
        (
            "a config that the module's schema refuses",
            "kind: binding\nname: mine\ntype: forecaster\nmodule: ets\nconfig: { saeson: 24 }\n".to_owned(),
        ),
        (
            "a binding under one tenant's name that serves another",
            "kind: binding\nname: bank/own\ntype: forecaster\nmodule: ets\nselector: { tenant: shop }\n".to_owned(),
        ),
        (
            "a gate that a coin could replace",
            "kind: binding\nname: mine\ntype: forecaster\nmodule: ets\ngate: { alpha: 60%, min_duration: 15d }\n".to_owned(),
        ),
        (
            "a misspelt key of a gate",
            "kind: binding\nname: mine\ntype: forecaster\nmodule: ets\ngate: { promot: manual }\n".to_owned(),
        ),
        (
            "a judge in shadow",
            "kind: binding\nname: mine\ntype: judge\nmodule: sequential-judge\nshadow: { module: sequential-judge, config: { alpha: 0.05 } }\n".to_owned(),
        ),
        ("the same object twice", "kind: tenant\nname: a\n---\nkind: tenant\nname: a\n".to_owned()),
        ("one good and one bad document: neither is applied", "kind: tenant\nname: good\n---\nkind: pool\nname: bad\n".to_owned()),
        ("a file without documents", "# nothing yet\n".to_owned()),
        ("no YAML", "kind: [api\n".to_owned()),
    ];
    for (mistake, yaml) in cases {
        let file = gate.file("shop.yaml", &yaml)?;
        let outcome = daemon.cli(&["apply", "-f", &file.display().to_string()])?;
        table.command(mistake, &yaml, &outcome)?;
    }
    let binary = gate.file("shop.yaml", [0xff, 0xfe, 0x00, 0x61])?;
    let outcome = daemon.cli(&["apply", "-f", &binary.display().to_string()])?;
    table.command("a file that is no text", "(bytes ff fe 00 61)", &outcome)?;
    let none = gate.home().join("none.yaml").display().to_string();
    table.command(
        "a file that is not there",
        "(none)",
        &daemon.cli(&["apply", "-f", &none])?,
    )?;
    let good = daemon.cli(&["get", "tenant", "good"])?;
    anyhow::ensure!(!good.ok(), "half of a change set was applied: {good:?}");
    Ok(())
}

/// Mistakes in calendars, caught by the file's reader; nothing of one is ever applied.
pub(super) fn calendars(table: &mut Table, gate: &Gate, daemon: &Daemon) -> Result<()> {
    let of = |lines: &str| {
        let head = "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:good@shop.example\nCATEGORIES:sale\nDTSTART:20261127T080000Z\nDURATION:PT8H\nEND:VEVENT\n";
        format!("{head}BEGIN:VEVENT\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n")
    };
    let start = "UID:1@shop.example\nCATEGORIES:sale\nDTSTART:20261130T080000Z";
    let cases: [(&str, String, &[&str]); 12] = [
        ("an empty calendar", String::new(), &[]),
        ("a calendar that is YAML", "kind: event\n".to_owned(), &[]),
        (
            "a calendar that is cut off",
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n".to_owned(),
            &[],
        ),
        (
            "a calendar without events",
            "BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR\n".to_owned(),
            &[],
        ),
        (
            "a component without a UID",
            of("DTSTART:20261130T080000Z"),
            &[],
        ),
        (
            "a component without a kind",
            of("UID:1@shop.example\nDTSTART:20261130T080000Z\nDURATION:PT1H"),
            &[],
        ),
        ("a component without a length", of(start), &[]),
        (
            "a component that begins on no day",
            of("UID:1@shop.example\nCATEGORIES:sale\nDTSTART:20261131T080000Z"),
            &[],
        ),
        (
            "a component in a zone of its vendor's",
            of(
                "UID:1@shop.example\nCATEGORIES:sale\nDTSTART;TZID=Romance Standard Time:20261130T080000\nDURATION:PT1H",
            ),
            &[],
        ),
        (
            "a component with a rule that is none",
            of(&format!(
                "{start}\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101"
            )),
            &[],
        ),
        (
            "a calendar for an api that is not there",
            of(&format!("{start}\nDURATION:PT1H")),
            &["--api", "ordres"],
        ),
        (
            "a minimum that is none",
            of(&format!("{start}\nDURATION:PT1H")),
            &["--at-least", "lots"],
        ),
    ];
    for (mistake, ics, flags) in cases {
        let file = gate.file("sales.ics", &ics)?;
        let path = file.display().to_string();
        let tenant = ["events", "import", &path, "--tenant", "shop"];
        let arguments: Vec<&str> = tenant.iter().chain(flags).copied().collect();
        table.command(mistake, &ics, &daemon.cli(&arguments)?)?;
    }
    let nothing = daemon.cli(&["events", "delete"])?;
    table.command("deleting no event", "events delete", &nothing)?;
    let good = daemon.cli(&["events", "list", "--calendar", "sales", "-o", "json"])?;
    anyhow::ensure!(
        good.stdout.trim() == "[]",
        "a part of a calendar was imported: {good:?}"
    );
    Ok(())
}
