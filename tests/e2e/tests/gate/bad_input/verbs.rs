//! The command line: verbs, names and flags. Exit code 2 says that the question was wrong, 1 that
//! the answer was; scripts rely on the difference, so the table holds the code too.

use super::Table;
use anyhow::Result;
use tidegate_e2e::Daemon;

/// Mistakes in verbs, names and flags.
pub(super) fn all(table: &mut Table, daemon: &Daemon) -> Result<()> {
    let cases: [(&str, &[&str]); 27] = [
        ("no verb", &[]),
        ("a misspelt verb", &["aply"]),
        ("a misspelt flag", &["get", "api", "--ouput", "json"]),
        (
            "a form of output that there is not",
            &["get", "api", "-o", "xml"],
        ),
        ("a misspelt kind", &["get", "tennant"]),
        ("an object that is not there", &["get", "api", "shop/none"]),
        (
            "deleting what is not there",
            &["delete", "api", "shop/none"],
        ),
        ("deleting what others stand on", &["delete", "pool", "edge"]),
        ("a forecast of nobody", &["forecast", "shop/none"]),
        (
            "a forecast of an api that was never fed",
            &["forecast", "shop/search"],
        ),
        (
            "a signal that there is not",
            &["forecast", "shop/orders", "--signal", "wind"],
        ),
        ("a plan of no pool", &["plan", "egde"]),
        (
            "a plan that was never made",
            &["plan", "edge", "--generation", "99"],
        ),
        (
            "an instant in words",
            &["why", "shop/orders", "--at", "yesterday"],
        ),
        (
            "an instant before all plans",
            &["why", "shop/orders", "--at", "1970-01-02T00:00:00Z"],
        ),
        ("a grant of nobody", &["grant", "shop/none"]),
        (
            "a binding that is not there",
            &["policy", "bind", "mine", "ets"],
        ),
        (
            "a module that is not there",
            &["policy", "bind", "default-forecaster", "oracle"],
        ),
        (
            "a module of another kind",
            &["policy", "bind", "default-forecaster", "waterfill"],
        ),
        (
            "a config that is no JSON",
            &[
                "policy",
                "bind",
                "default-forecaster",
                "ets",
                "--config",
                "{season",
            ],
        ),
        (
            "going back where nothing was before",
            &["policy", "rollback", "default-judge"],
        ),
        (
            "a shadow of another kind",
            &["policy", "shadow", "default-forecaster", "waterfill"],
        ),
        (
            "promoting where nothing is in shadow",
            &["policy", "promote", "default-tierer"],
        ),
        (
            "a quarantine that does not say where",
            &["policy", "quarantine", "ets"],
        ),
        (
            "the past of what is not there",
            &["policy", "history", "oracle"],
        ),
        (
            "a difference to what is not there",
            &["policy", "diff", "ets", "oracle"],
        ),
        (
            "a clock that should go back",
            &["advance", "2001-01-01T00:00:00Z"],
        ),
    ];
    for (mistake, arguments) in cases {
        table.command(
            mistake,
            &format!("tidegate {}", arguments.join(" ")),
            &daemon.cli(arguments)?,
        )?;
    }
    let elsewhere: [(&str, &[&str]); 3] = [
        (
            "a daemon that is not there",
            &["--server", "http://127.0.0.1:1", "status"],
        ),
        (
            "a server that is no address",
            &["--server", "ftp:/nowhere", "status"],
        ),
        (
            "a token file that is not there",
            &["--token-file", "no-such-file", "status"],
        ),
    ];
    for (mistake, arguments) in elsewhere {
        table.command(
            mistake,
            &format!("tidegate {}", arguments.join(" ")),
            &daemon.cli(arguments)?,
        )?;
    }
    Ok(())
}
