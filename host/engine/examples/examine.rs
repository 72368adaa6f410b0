//! Prints what admission finds of components, and what finding it took: `cargo run -p tidegate-engine
//! --example examine -- FILE...`. What the daemon runs in a process of its own runs here as it is.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures and answers a person"
)]

use std::error::Error;
use std::time::Instant;
use tidegate_engine::{Limits, Options, Terms, examine};

fn main() -> Result<(), Box<dyn Error>> {
    let terms = Terms::new(Limits::default(), &Options::default());
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let begun = Instant::now();
        let (mut compiled, mut code) = (0.0, 0);
        let outcome = examine(&bytes, &terms, |artefact| {
            compiled = begun.elapsed().as_secs_f64();
            code = artefact.len();
            Ok(())
        });
        let all = begun.elapsed().as_secs_f64();
        println!(
            "{path}: {} bytes, {code} of code in {compiled:.2} s, all in {all:.2} s",
            bytes.len()
        );
        match outcome {
            Ok(passed) => println!("  {passed:?}"),
            Err(error) => println!("  refused: {error}"),
        }
    }
    Ok(())
}
