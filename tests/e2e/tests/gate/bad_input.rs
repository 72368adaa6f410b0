//! What a user sees who errs: a table to be read, not only to be compared.
//!
//! Every case is somebody's plausible mistake, or somebody's malice, at one of the four doors:
//! configuration, command line, gRPC, upload. The answers stand in `bad_input.txt`, word for word;
//! whoever changes a message reads there how it looks now. With `TIDEGATE_BLESS=1` the table is
//! written anew; the diff is then to be read as the users of those doors would read it.
//!
//! None of it may harm: the log holds no panic, the daemon is the same process afterwards, answers,
//! and has lost no sample.

mod calls;
mod files;
mod uploads;
mod verbs;

use crate::aftermath::Aftermath;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::path::Path;
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{Gate, Outcome, catalog, gate};
use tidegate_proto::v1;

/// The table as it grows.
pub(super) struct Table {
    text: String,
    cases: usize,
    /// Mistakes that were not noticed.
    pub(super) taken: Vec<String>,
    /// What differs from run to run, with its name.
    volatile: Vec<(String, &'static str)>,
}

impl Table {
    fn new() -> Self {
        let text = "What a user sees who errs.\n\n\
                    Written by tests/e2e; anew with TIDEGATE_BLESS=1 cargo test -p tidegate-e2e bad_input.\n";
        Self {
            text: text.into(),
            cases: 0,
            taken: vec![],
            volatile: vec![],
        }
    }

    /// A door.
    pub(super) fn door(&mut self, title: &str) {
        let line = "=".repeat(title.len());
        self.put(&format!("\n\n{title}\n{line}\n"));
    }

    /// One mistake: what it is, what was given, what came back.
    pub(super) fn case(&mut self, mistake: &str, given: &str, told: &str) -> Result<()> {
        self.cases += 1;
        let mut told = told.trim().to_owned();
        ensure!(!told.is_empty(), "{mistake}: nothing is told");
        for (text, name) in &self.volatile {
            told = told.replace(text, name);
        }
        // A control character would be obeyed by whoever shows the table.
        let told: String = told.chars().fold(String::new(), |all, c| match c {
            '\n' => all + "\n",
            c if c.is_control() => all + &c.escape_default().to_string(),
            c => all + c.encode_utf8(&mut [0; 4]),
        });
        ensure!(!told.contains("panicked"), "{mistake}: {told}");
        let indented = |text: &str, sign: &str| -> String {
            text.lines().fold(String::new(), |all, line| {
                all + format!("  {sign} {line}").trim_end() + "\n"
            })
        };
        self.put(&format!("\n{}. {mistake}\n", self.cases));
        self.put(&indented(&shorten(given), ">"));
        self.put(&indented(&told, "|"));
        Ok(())
    }

    /// A mistake on the command line; the exit code belongs to the answer.
    pub(super) fn command(&mut self, mistake: &str, given: &str, outcome: &Outcome) -> Result<()> {
        if outcome.ok() {
            self.taken.push(format!("{mistake}: {outcome:?}"));
            return Ok(());
        }
        let code = outcome
            .code
            .with_context(|| format!("{mistake}: a signal ended it"))?;
        ensure!(
            code == 1 || code == 2,
            "{mistake}: exit code {code}: {}",
            outcome.stderr
        );
        self.case(
            mistake,
            given,
            &format!("{}(exit {code})", with_line_end(&outcome.stderr)),
        )
    }

    /// A call that must fail.
    pub(super) fn call<T: std::fmt::Debug>(
        &mut self,
        mistake: &str,
        given: &str,
        answer: Result<T, tonic::Status>,
    ) -> Result<()> {
        use tonic_types::StatusExt as _;
        let status = match answer {
            Ok(taken) => {
                self.taken.push(format!("{mistake}: {taken:?}"));
                return Ok(());
            }
            Err(status) => status,
        };
        let mut told = format!("{:?}: {}", status.code(), status.message());
        for field in status
            .get_details_bad_request()
            .into_iter()
            .flat_map(|b| b.field_violations)
        {
            let line = format!("  {}: {}", field.field, field.description);
            // Where there is one violation, the message says it already.
            if !status.message().contains(&field.description) {
                told.push('\n');
                told.push_str(&line);
            }
        }
        self.case(mistake, given, &told)
    }

    fn put(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{text}");
    }
}

fn with_line_end(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// Input that is long on purpose is shown by its beginning.
fn shorten(given: &str) -> String {
    let long = |line: &str| match line.char_indices().nth(90) {
        Some((at, _)) => format!(
            "{} ... ({} characters)",
            &line[..at.min(60)],
            line.chars().count()
        ),
        None => line.to_owned(),
    };
    given.lines().map(long).collect::<Vec<_>>().join("\n")
}

/// Whether the table is to be written instead of compared.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's own switch, as in tests/scenarios"
)]
fn blessed() -> bool {
    std::env::var_os("TIDEGATE_BLESS").is_some_and(|v| v == "1")
}

fn compare(text: &str) -> Result<()> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("bad_input.txt");
    if blessed() {
        std::fs::write(golden, text)?;
        return Ok(());
    }
    let stored = std::fs::read_to_string(&golden).unwrap_or_default();
    let first = stored
        .lines()
        .zip(text.lines())
        .enumerate()
        .find(|(_, (a, b))| a != b);
    if let Some((n, (was, is))) = first {
        anyhow::bail!(
            "line {} of bad_input.txt is\n  {was}\nand should now be\n  {is}\n\
             If it is right so: TIDEGATE_BLESS=1 cargo test -p tidegate-e2e bad_input, and read the diff.\n\nAll of it:\n{text}",
            n + 1
        );
    }
    ensure!(
        stored.len() == text.len(),
        "bad_input.txt has {} lines, now it should have {}",
        stored.lines().count(),
        text.lines().count()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_at_every_door_is_answered_in_words_and_harms_nothing() -> Result<()> {
    let gate: Gate = gate()?;
    let series = Series::new("shop/orders", v1::Signal::Requests, 300);
    let mut daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    Feed::open(&channel, std::slice::from_ref(&series))
        .await?
        .store(0, 24)
        .await?;
    catalog::advance(&channel, series.at(24)).await?;

    let mut table = Table::new();
    table.volatile.push((daemon.url().to_owned(), "SERVER"));
    table
        .volatile
        .push((format!("{}/", gate.home().display()), ""));
    table.door("The configuration file of `tidegate serve`");
    files::configurations(&mut table)?;
    table.door("Files of `tidegate apply -f`");
    files::declarations(&mut table, &gate, &daemon)?;
    table.door("Calendars");
    files::calendars(&mut table, &gate, &daemon)?;
    table.door("The command line");
    verbs::all(&mut table, &daemon)?;
    table.door("Calls over gRPC");
    calls::all(&mut table, &channel).await?;
    table.door("Uploads of components");
    uploads::all(&mut table, &gate, &daemon, &channel).await?;

    ensure!(table.cases >= 40, "only {} cases", table.cases);
    ensure!(daemon.lives()?, "the daemon is gone:\n{}", gate.log()?);
    ensure!(
        !gate.log()?.contains("panicked"),
        "the daemon panicked:\n{}",
        gate.log()?
    );
    // It answers, takes samples and decides as if nothing had been.
    Feed::open(&channel, std::slice::from_ref(&series))
        .await?
        .store(24, 1)
        .await?;
    catalog::advance(&channel, series.at(25)).await?;
    daemon.stop().await?;
    let after = Aftermath::of(&gate.store())?;
    after.holds(&series, 25)?;
    ensure!(after.records("edge")?.len() == 2);
    compare(&table.text)?;
    ensure!(
        table.taken.is_empty(),
        "these mistakes were taken:\n{}",
        table.taken.join("\n")
    );
    Ok(())
}
