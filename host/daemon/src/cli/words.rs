//! Words of the wire as people write them, and back.

use super::errors::usage;
use anyhow::Result;
use jiff::Timestamp;
use tidegate_client::v1;

/// `OBJECT_KIND_API` as `api`.
pub(crate) fn lower(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

/// A tier's word.
pub(crate) fn tier(tier: v1::Tier) -> String {
    lower(tier.as_str_name(), "TIER_")
}

/// A mode's word.
pub(crate) fn mode(mode: v1::Mode) -> String {
    match mode {
        v1::Mode::Unspecified => "enforce".into(),
        known => lower(known.as_str_name(), "MODE_"),
    }
}

/// Over which events an SLO of a template is judged.
pub(crate) fn judged(judged: v1::Judged) -> String {
    match judged {
        v1::Judged::Unspecified => "each".into(),
        known => lower(known.as_str_name(), "JUDGED_"),
    }
}

/// A signal's word.
pub(crate) fn signal(signal: v1::Signal) -> String {
    lower(signal.as_str_name(), "SIGNAL_")
}

/// A dimension's word.
pub(crate) fn dimension(dimension: v1::Dimension) -> String {
    lower(dimension.as_str_name(), "DIMENSION_")
}

/// What happened to a version.
pub(crate) fn life_event(event: v1::LifeEvent) -> String {
    lower(event.as_str_name(), "LIFE_EVENT_").replace('_', "-")
}

/// A module kind's word.
pub(crate) fn module_kind(kind: v1::ModuleKind) -> String {
    lower(kind.as_str_name(), "MODULE_KIND_")
}

/// An object kind's word.
pub(crate) fn object_kind(kind: v1::ObjectKind) -> String {
    lower(kind.as_str_name(), "OBJECT_KIND_")
}

/// Words of all object kinds, in the order in which they can be created.
pub(crate) const KINDS: [&str; 8] = [
    "tenant", "pool", "tier", "api", "slo", "event", "binding", "template",
];

/// Reads an object kind, also in the plural.
pub(crate) fn parse_kind(text: &str) -> Result<v1::ObjectKind> {
    let word = text.to_lowercase();
    let singular = word.strip_suffix('s').unwrap_or(&word);
    let found = v1::ObjectKind::from_str_name(&format!("OBJECT_KIND_{}", singular.to_uppercase()));
    found
        .filter(|k| *k != v1::ObjectKind::Unspecified)
        .ok_or_else(|| {
            usage(format!(
                "`{text}` is no kind of object{}; kinds are {}",
                hint(singular, &KINDS),
                KINDS.join(", ")
            ))
        })
}

/// Reads a signal.
pub(crate) fn parse_signal(text: &str) -> Result<v1::Signal, String> {
    let all = [
        "requests", "errors", "latency", "cpu", "memory", "network", "io",
    ];
    let found = v1::Signal::from_str_name(&format!("SIGNAL_{}", text.to_uppercase()));
    found
        .filter(|s| *s != v1::Signal::Unspecified)
        .ok_or_else(|| {
            format!(
                "`{text}` is no signal{}; signals are {}",
                hint(text, &all),
                all.join(", ")
            )
        })
}

/// `, did you mean X?`-like hint, or nothing when nothing is near.
pub(crate) fn hint(wrong: &str, known: &[&str]) -> String {
    nearest(wrong, known)
        .map(|k| format!(" (did you mean `{k}`?)"))
        .unwrap_or_default()
}

/// The nearest known word, if it is near.
pub(crate) fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(wrong, k), *k));
    let (distance, word) = distances.min()?;
    (distance <= 2.max(word.len() / 3) && distance < word.len()).then_some(word)
}

/// Reads an instant: RFC 3339, a day (its midnight in UTC), or seconds since the epoch; milliseconds from 10^11 on.
pub(crate) fn parse_instant(text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(epoch_ms(number));
    }
    if let Ok(midnight) = format!("{text}T00:00:00Z").parse::<Timestamp>() {
        return Ok(midnight.as_millisecond());
    }
    let instant: Timestamp = text.parse().map_err(|_| {
        format!("`{text}` is not an instant; write for example 2026-11-27T09:00:00Z, or seconds since the epoch")
    })?;
    Ok(instant.as_millisecond())
}

/// Seconds since the epoch as milliseconds; from 10^11 on (the year 5138) it is milliseconds.
pub(crate) fn epoch_ms(number: i64) -> i64 {
    if number.abs() < 100_000_000_000 {
        number * 1000
    } else {
        number
    }
}

/// An instant for a person.
pub(crate) fn instant(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(instant) if ms > 0 => instant.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        _ => "-".into(),
    }
}

/// How a tier shares: `lends, borrows, up to 30%`.
pub(crate) fn sharing(t: &v1::TierSpec) -> String {
    let lends = if t.lends.unwrap_or(true) {
        "lends"
    } else {
        "never lends"
    };
    let borrows = if t.borrows.unwrap_or(true) {
        "borrows"
    } else {
        "never borrows"
    };
    match t.max_share.unwrap_or(1.0) {
        share if share < 1.0 => format!("{lends}, {borrows}, up to {}%", number(100.0 * share)),
        _ => format!("{lends}, {borrows}"),
    }
}

/// A number with three or four significant digits.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        "-".into()
    } else if magnitude >= 1e15 {
        format!("{value:.3e}")
    } else if magnitude >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else if magnitude >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

/// Bytes with a binary suffix.
pub(crate) fn bytes(value: f64) -> String {
    let mut rest = value;
    for suffix in ["", "Ki", "Mi", "Gi", "Ti"] {
        if rest.abs() < 1024.0 || suffix == "Ti" {
            return format!("{}{suffix}", number(rest));
        }
        rest /= 1024.0;
    }
    number(value)
}

/// An amount of a dimension, with its unit.
pub(crate) fn amount(dimension: v1::Dimension, value: f64) -> String {
    match dimension {
        v1::Dimension::Memory => bytes(value),
        v1::Dimension::Network => format!("{}/s", bytes(value)),
        v1::Dimension::Io | v1::Dimension::Requests => format!("{}/s", number(value)),
        v1::Dimension::Cpu | v1::Dimension::Unspecified => number(value),
    }
}

/// The amounts that are given, by dimension.
pub(crate) fn amounts(resources: &v1::Resources) -> Vec<(v1::Dimension, f64)> {
    let all = [
        (v1::Dimension::Cpu, resources.cpu),
        (v1::Dimension::Memory, resources.memory),
        (v1::Dimension::Network, resources.network),
        (v1::Dimension::Io, resources.io),
        (v1::Dimension::Requests, resources.requests),
    ];
    all.into_iter()
        .filter_map(|(d, v)| v.map(|v| (d, v)))
        .collect()
}

/// Resources in one line: `cpu 16, memory 32Gi`.
pub(crate) fn resources(resources: Option<&v1::Resources>) -> String {
    let parts: Vec<String> = resources
        .map(amounts)
        .unwrap_or_default()
        .into_iter()
        .map(|(d, v)| format!("{} {}", dimension(d), amount(d, v)))
        .collect();
    if parts.is_empty() {
        "-".into()
    } else {
        parts.join(", ")
    }
}

/// Who answered, in one phrase.
pub(crate) fn served(served: Option<&v1::Served>) -> String {
    let Some(served) = served else {
        return "nobody that is named".into();
    };
    let module = served
        .module
        .as_ref()
        .map_or_else(|| "an unnamed module".to_owned(), module_ref);
    match served.retreat() {
        v1::Retreat::Active | v1::Retreat::Unspecified => module,
        v1::Retreat::LastGood => format!("{module}, the version before: the bound one failed"),
        v1::Retreat::Baseline => format!("{module}, the native baseline: no module could answer"),
        v1::Retreat::HeldPlan => {
            format!("{module}; the last plan is held, because no new one could be made")
        }
        v1::Retreat::SafeCapacity => {
            format!("{module}; the plan expired, safe capacity is in force")
        }
    }
}

/// `name version (digest)`.
pub(crate) fn module_ref(module: &v1::ModuleRef) -> String {
    let mut text = module.name.clone();
    if !module.version.is_empty() {
        text = format!("{text} {}", module.version);
    }
    match module.digest.get(..12) {
        Some(digest) => format!("{text} ({digest})"),
        None => text,
    }
}

/// A text that a terminal shows and does not obey: control characters other than line ends and tabs,
/// and those that turn the direction of writing, stand as escapes. Errors echo what somebody else
/// wrote (a file's name, an event's title), and that must not move the cursor or recolour the screen.
pub(crate) fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || turns(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_reads_as_rfc_3339_or_as_epoch_seconds_or_milliseconds() {
        assert_eq!(parse_instant("1970-01-02T00:00:00Z"), Ok(86_400_000));
        assert_eq!(parse_instant("86400"), Ok(86_400_000));
        assert_eq!(parse_instant("1764000000000"), Ok(1_764_000_000_000));
        assert!(
            parse_instant("tomorrow")
                .unwrap_err()
                .contains("2026-11-27T09:00:00Z")
        );
        assert_eq!(instant(1_764_000_000_000), "2025-11-24 16:00:00Z");
    }

    #[test]
    fn a_wrong_kind_names_the_right_one() {
        assert_eq!(parse_kind("Pools").unwrap(), v1::ObjectKind::Pool);
        let error = parse_kind("tennant").unwrap_err().to_string();
        assert!(error.contains("did you mean `tenant`"), "{error}");
        assert!(
            !parse_kind("zzz")
                .unwrap_err()
                .to_string()
                .contains("did you mean")
        );
    }

    #[test]
    fn amounts_show_their_unit() {
        let all = v1::Resources {
            cpu: Some(1.5),
            memory: Some(2048.0),
            requests: Some(120.0),
            ..Default::default()
        };
        assert_eq!(resources(Some(&all)), "cpu 1.5, memory 2Ki, requests 120/s");
    }

    #[test]
    fn what_an_error_echoes_is_shown_to_a_terminal_and_not_obeyed() {
        let shown = printable("a\u{1b}[31m\rb\u{202e}c\n\té");
        assert_eq!(shown, "a\\u{1b}[31m\\rb\\u{202e}c\n\té");
    }
}
