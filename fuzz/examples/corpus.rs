//! Corpora on their way in and out: lines that the crates' tests keep, and files that a fuzzer works on.
//!
//! `corpus files DIR < feeds.hex` writes a file for each line; `corpus lines feeds|codec|keys|logs FILE...` prints
//! the lines of files, each with the verdict that it has today.

use std::io::{BufRead, Write};
use std::path::Path;
use tidegate_bridges::fuzzing as bridges;
use tidegate_store::fuzzing as store;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["files", dir] => files(Path::new(dir)),
        ["lines", target, ref files @ ..] => lines(target, files),
        _ => panic!("corpus files DIR < LINES | corpus lines feeds|codec|keys|logs FILE..."),
    }
}

/// The place of a form in its table, if it has one.
fn place(form: &str) -> Option<u8> {
    let of = |names: Vec<&str>| names.iter().position(|name| *name == form);
    let feeds = of(bridges::FORMS.iter().map(|(name, _)| *name).collect());
    let codec = of(store::FORMS.iter().map(|(name, _)| *name).collect());
    feeds.or(codec).map(|at| at as u8)
}

fn files(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (n, text) in std::io::stdin().lock().lines().enumerate() {
        let text = text?;
        let (_, form, bytes) = store::line(&text).expect("a line of a corpus");
        // A log has no form before it; a store has the way in which it is tried.
        let first = (form != "log").then(|| place(form).unwrap_or(0));
        let data = [first.as_slice(), &bytes].concat();
        std::fs::write(dir.join(format!("{form}-{n}")), data)?;
    }
    Ok(())
}

fn lines(target: &str, files: &[&str]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for file in files {
        let data = std::fs::read(file)?;
        let Some((first, bytes)) = data.split_first() else {
            continue;
        };
        let of = |n: usize| usize::from(*first) % n;
        let (form, is_taken) = match target {
            "feeds" => (
                bridges::FORMS[of(bridges::FORMS.len())].0,
                bridges::feeds(&data),
            ),
            "codec" => (store::FORMS[of(store::FORMS.len())].0, store::codec(&data)),
            "logs" => {
                let dir = tempfile::tempdir()?;
                ("log", store::log(dir.path(), &data))
            }
            _ => {
                let dir = tempfile::tempdir()?;
                ("store", store::restored(dir.path(), bytes))
            }
        };
        let verdict = if is_taken { "taken" } else { "refused" };
        let bytes = if target == "logs" { &data[..] } else { bytes };
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{verdict} {form} {digits}")?;
    }
    Ok(())
}
