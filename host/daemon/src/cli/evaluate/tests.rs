//! The command as a person types it: what it understands, what it refuses and how, what it writes.
//!
//! The arithmetic has its tests in `backtest`; here are flags, files and sentences.

use super::*;
use crate::cli::errors::Usage;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parsed(words: &str) -> Args {
    let words = std::iter::once("evaluate").chain(words.split_whitespace());
    Line::try_parse_from(words).unwrap().args
}

#[track_caller]
fn refused(words: &str, said: &str) {
    let error = run(&parsed(words), Output::Json).expect_err("it should be refused");
    let text = format!("{error:#}");
    assert!(text.contains(said), "{text}");
}

#[track_caller]
fn misused(words: &str, said: &str) {
    let error = run(&parsed(words), Output::Json).expect_err("it should be refused");
    assert!(error.is::<Usage>(), "{error:#} is no misuse");
    assert!(error.to_string().contains(said), "{error}");
}

#[test]
fn spans_read_as_they_are_written_weeks_too() {
    for (text, seconds) in [("2h", 7200), ("1d", 86_400), ("1w", 604_800), ("90", 90)] {
        assert_eq!(text.parse::<Span>(), Ok(Span(seconds)));
    }
    assert_eq!(Span(604_800).to_string(), "1w");
    assert_eq!(Span(7200).to_string(), "2h");
    assert!("soon".parse::<Span>().is_err() && "-1w".parse::<Span>().is_err());
}

#[test]
fn the_two_documented_calls_are_understood() {
    let m4 = parsed("--m4 train.csv test.csv --season 24 --horizon 48 --forecasts out.csv");
    let question = Question::of(&m4).unwrap();
    assert_eq!(question.step.secs(), 3600);
    assert_eq!((question.plan.season, question.plan.horizon), (24, 48));
    assert_eq!((question.plan.train, question.score_at), (None, vec![48]));
    let csv = parsed(
        "--csv a.csv b.csv --step 300 --season 288 --train 4032 --origins 8 --gap 137 \
         --horizon 288 --score-at 12,288 --forecasts out.csv",
    );
    let question = Question::of(&csv).unwrap();
    let plan = question.plan;
    assert_eq!((plan.origins, plan.gap, plan.train), (8, 137, Some(4032)));
    assert_eq!(
        (plan.min_history, question.score_at),
        (5 * 288, vec![12, 288])
    );
    // And all of it is what files get unless told.
    let short = Question::of(&parsed("--csv a.csv b.csv")).unwrap();
    assert_eq!((short.plan, short.score_at), (plan, vec![12, 288]));
    let minutes = Question::of(&parsed("--csv a.csv --step 60 --stream")).unwrap();
    assert_eq!((minutes.plan.season, minutes.plan.horizon), (1440, 60));
}

#[test]
fn misuse_is_told_with_the_flag_and_the_remedy() {
    misused("", "--m4 TRAIN TEST, --csv FILE");
    misused("--csv a.csv --m4 a b", "not several");
    misused("--csv a.csv --horizon 0", "--horizon is 0");
    misused(
        "--csv a.csv --horizon 6 --score-at 12",
        "beyond the horizon of 6",
    );
    misused("--csv a.csv --step 0", "1 to 86400 seconds");
    misused("--m4 a b --season 7", "say with --step");
    misused("--csv a.csv --native --module est", "did you mean `ets`?");
    misused(
        "--csv a.csv --module waterfall",
        "did you mean `waterfill`?",
    );
    misused(
        "--csv a.csv --module waterfill",
        "evaluate takes forecasters",
    );
    misused(
        "--csv a.csv --native --config {season",
        "--config is not JSON",
    );
    misused(
        "--csv a.csv --native --config {\"sesaon\":1}",
        "does not fit",
    );
    misused("--csv a.csv --module @abcdef", "--store DIR");
    misused(
        "--csv a.csv --native --until monday",
        "no second since 1970",
    );
    misused(
        "--csv a.csv --native --until b=7",
        "no file is called `b`; there are a",
    );
    misused("--csv a/a.csv a/a.csv --native", "given twice");
    misused(
        "--store nowhere --series shop/orders --native",
        "no store in it",
    );
    misused(
        "--store . --series shop/orders:wind --native",
        "`wind` is no signal",
    );
}

#[test]
fn files_that_are_missing_or_rubbish_are_named_with_their_line() {
    refused("--csv none.csv --native", "cannot read none.csv");
    refused(
        "--csv a.csv --native --events none.csv",
        "cannot read none.csv",
    );
    refused("--csv a.csv --module none.wasm", "cannot read none.wasm");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let rubbish = file("rubbish.csv", b"timestamp,value\n0,1\n60,one\n");
    refused(
        &format!("--csv {rubbish} --native"),
        "rubbish.csv:3: the value is `one`",
    );
    let binary = file("binary.csv", &[0xff, 0xfe, 0x00]);
    refused(&format!("--csv {binary} --native"), "is no text");
    let short = file("short.csv", b"timestamp,value\n0,1\n60,2\n");
    refused(
        &format!("--csv {short} --native"),
        "no series is long enough: 1728 steps",
    );
    let wasm = file("x.wasm", b"not wasm");
    refused(&format!("--csv {short} --module {wasm}"), "is refused");
    let pair = file("m4.csv", b"H1,1,2,3\n");
    misused(
        &format!("--m4 {pair} {pair} --native --horizon 48"),
        "has 3 values in TEST; give at most --horizon 3",
    );
}

#[test]
fn forecasts_of_both_ways_are_written_and_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let day = |t: usize| 50 + 10 * (t % 24) + (t * 7919) % 11;
    let line = |from: usize, to: usize| {
        let cells: Vec<String> = (from..to).map(|t| day(t).to_string()).collect();
        format!("H1,{}\n", cells.join(","))
    };
    std::fs::write(at("train.csv"), line(0, 400)).unwrap();
    std::fs::write(at("test.csv"), line(400, 448)).unwrap();
    let written = |way: &str| {
        let out = at("out.csv");
        let words = format!(
            "--m4 {} {} --forecasts {out} --module seasonal-naive {way}",
            at("train.csv"),
            at("test.csv")
        );
        run(&parsed(&words), Output::Human).unwrap();
        let text = std::fs::read_to_string(out).unwrap();
        // The last column is time.
        let lines = text
            .lines()
            .map(|l| l.rsplit_once(',').unwrap().0.to_owned());
        lines.collect::<Vec<_>>()
    };
    let native = written("--native --plot");
    assert_eq!(native[0], "series,step,mean,lo80,hi80,lo95,hi95");
    assert_eq!(native.len(), 49);
    assert!(native[48].starts_with("H1,48,"));
    assert_eq!(native, written("--jobs 2"));
}

#[test]
fn streams_and_cold_starts_answer() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("load.csv");
    let mut text = String::from("timestamp,value\n");
    for t in 0..24 * 12 {
        text += &format!("{},{}\n", t * 3600, 20 + 5 * (t % 24) + (t * 7919) % 7);
    }
    std::fs::write(&file, text).unwrap();
    let file = file.display();
    for words in [
        "--stream --horizon 2",
        "--cold-start 2h,1w --origins 2 --gap 5",
        "--compare seasonal-naive,last-value --per-series",
    ] {
        for output in [Output::Human, Output::Json] {
            let args = parsed(&format!("--csv {file} --step 3600 --native {words}"));
            run(&args, output).unwrap();
        }
    }
}

#[test]
fn robustness_needs_no_file_and_tells_every_case() {
    let args = parsed("--robustness --native --module seasonal-naive");
    run(&args, Output::Json).unwrap();
    misused("--robustness --native --jobs 0", "--jobs");
}
