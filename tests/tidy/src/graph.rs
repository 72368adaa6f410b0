//! Who may see whom: the design's dependency rules over the resolved graph.
//!
//! The resolved graph is looked at, not the manifests, because a rule such as "the core cannot do
//! I/O" is about everything that comes along. Dependencies of tests (`dev-dependencies`) do not
//! count: they are not in what ships.

use crate::Finding;
use std::collections::{BTreeMap, BTreeSet};

/// Package names to the names that each depends on.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

/// The resolved dependencies (normal and build) of every package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The workspace's graph.
    pub dependencies: Edges,
    /// For a crate that must be pure, its graph when it is built alone. In the workspace's, a
    /// package has the features that any crate (or test) wants of it, and so brings more along.
    pub alone: BTreeMap<String, Edges>,
    /// Our own packages, each with its folder relative to the repository's root.
    pub ours: BTreeMap<String, String>,
}

/// What a crate of ours may see of the others, `*` at the end of a name standing for any rest.
struct Row {
    /// The crate.
    of: &'static str,
    /// Which of ours it may depend on.
    sees: &'static [&'static str],
    /// Whether nothing that does I/O may come along, however indirectly.
    is_pure: bool,
}

const fn row(of: &'static str, sees: &'static [&'static str]) -> Row {
    Row {
        of,
        sees,
        is_pure: false,
    }
}

const fn pure(of: &'static str, sees: &'static [&'static str]) -> Row {
    Row {
        of,
        sees,
        is_pure: true,
    }
}

/// The table of design section 4.
const SEES: [Row; 20] = [
    pure("tidegate-core", &[]),
    pure("tidegate-flow", &["tidegate-core"]),
    row("tidegate-store", &["tidegate-core"]),
    row("tidegate-engine", &["tidegate-core"]),
    row("tidegate-api", &["tidegate-core", "tidegate-proto"]),
    row("tidegate-bridges", &["tidegate-core", "tidegate-proto"]),
    row("tidegate-console", &["tidegate-core"]),
    row("tidegate-telemetry", &["tidegate-core"]),
    row("tidegate-runtime", &[]),
    row(
        "tidegate-backtest",
        &["tidegate-core", "tidegate-flow", "tidegate-engine"],
    ),
    row(
        "tidegate-native",
        &["tidegate-core", "tidegate-guest", "tidegate-plugin-*"],
    ),
    row("tidegate", &["tidegate-*"]),
    row("tidegate-proto", &[]),
    pure("tidegate-fit", &["tidegate-model-*"]),
    pure("tidegate-guest", &["tidegate-fit", "tidegate-model-*"]),
    row("tidegate-client", &["tidegate-proto"]),
    row("tidegate-build", &[]),
    pure(
        "tidegate-plugin-*",
        &["tidegate-guest", "tidegate-fit", "tidegate-model-*"],
    ),
    pure("tidegate-model-*", &["tidegate-model-*", "tidegate-fit"]),
    // What an author begins with sees what an author has.
    pure("tidegate-template-*", &["tidegate-guest"]),
];

/// What does I/O, knows the time or draws chance, and so may not come along with a pure crate.
const IMPURE: [&str; 14] = [
    "tokio",
    "tonic",
    "hyper",
    "h2",
    "mio",
    "socket2",
    "reqwest",
    "sled",
    "wasmtime",
    "getrandom",
    "tracing-subscriber",
    "opentelemetry",
    "jiff",
    "chrono",
];

/// Who alone may depend, directly, on what. A crate exists only if it owns such a thing.
const OWNED: [(&str, &[&str]); 7] = [
    ("sled", &["tidegate-store"]),
    ("pco", &["tidegate-store"]),
    ("wasmtime", &["tidegate-engine"]),
    ("wit-component", &["tidegate-build"]),
    ("tracing-subscriber", &["tidegate-telemetry"]),
    ("opentelemetry-otlp", &["tidegate-telemetry"]),
    // Libraries have typed errors; only the binary may do with a text.
    ("anyhow", &["tidegate"]),
];

/// Every rule on who sees whom.
#[must_use]
pub fn check(graph: &Graph) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in graph.shipped() {
        let Some(row) = SEES.iter().find(|row| matches(row.of, name)) else {
            let what = "no rule says what it may see: add a row to the table in tests/tidy";
            found.push(Finding::new(name, what));
            continue;
        };
        for other in graph.direct(name) {
            let is_ours = graph.ours.contains_key(other);
            if is_ours && !row.sees.iter().any(|pattern| matches(pattern, other)) {
                let allowed = if row.sees.is_empty() {
                    "none".to_owned()
                } else {
                    row.sees.join(", ")
                };
                let what = format!("depends on {other}; of ours it may see only: {allowed}");
                found.push(Finding::new(name, what));
            }
        }
        if row.is_pure {
            for (impure, way) in graph.ways_to(name, &IMPURE) {
                let what = format!("brings {impure} along ({way}); it must not do I/O");
                found.push(Finding::new(name, what));
            }
        }
        for (owned, owners) in OWNED {
            if graph.direct(name).any(|other| other == owned) && !owners.contains(&name) {
                let what = format!(
                    "depends on {owned}, which belongs to {} alone",
                    owners.join(", ")
                );
                found.push(Finding::new(name, what));
            }
        }
    }
    found
}

/// Reads `cargo tree --prefix depth --format " {p}"`: a depth, a name, a version on each line.
#[must_use]
pub fn parse_tree(text: &str) -> Edges {
    let mut edges = Edges::new();
    let mut way: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let depth = words.next().and_then(|depth| depth.parse::<usize>().ok());
        let (Some(depth), Some(name)) = (depth, words.next()) else {
            continue;
        };
        way.truncate(depth);
        if let Some(parent) = way.last() {
            edges
                .entry(parent.clone())
                .or_default()
                .insert(name.to_owned());
        }
        way.push(name.to_owned());
    }
    edges
}

impl Graph {
    /// Our crates that must be pure: those whose graph [`Graph::alone`] is needed.
    pub fn pure(&self) -> impl Iterator<Item = &str> {
        let is_pure = |name: &&str| SEES.iter().any(|row| row.is_pure && matches(row.of, name));
        self.shipped().filter(is_pure)
    }

    /// Our crates that ship, that is, all but those under `tests/`.
    fn shipped(&self) -> impl Iterator<Item = &str> {
        let ships = |folder: &str| folder != "tests" && !folder.starts_with("tests/");
        self.ours
            .iter()
            .filter(move |(_, folder)| ships(folder))
            .map(|(name, _)| name.as_str())
    }

    fn direct<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.dependencies
            .get(name)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// Each of `targets` that `from` reaches, with one shortest way there, for a person to follow.
    fn ways_to(&self, from: &str, targets: &[&str]) -> BTreeMap<String, String> {
        let edges = self.alone.get(from).unwrap_or(&self.dependencies);
        let mut ways = BTreeMap::new();
        let mut seen = BTreeSet::from([from.to_owned()]);
        let mut layer = vec![(from.to_owned(), from.to_owned())];
        while !layer.is_empty() {
            let mut next = Vec::new();
            for (name, way) in &layer {
                for other in edges.get(name).into_iter().flatten().map(String::as_str) {
                    if !seen.insert(other.to_owned()) {
                        continue;
                    }
                    let way = format!("{way} > {other}");
                    if targets.contains(&other) {
                        ways.insert(other.to_owned(), way.clone());
                    }
                    next.push((other.to_owned(), way));
                }
            }
            layer = next;
        }
        ways
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph from lines `a > b c`; names that begin with `tidegate` are ours, under `host/`.
    fn graph(lines: &str) -> Graph {
        let mut graph = Graph::default();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let (name, others) = line.split_once('>').expect("a > b");
            let name = name.trim().to_owned();
            if name.starts_with("tidegate") {
                graph.ours.insert(name.clone(), "host/x".to_owned());
            }
            let others = others.split_whitespace().map(str::to_owned).collect();
            graph.dependencies.insert(name, others);
        }
        graph
    }

    fn objects(lines: &str, said: &str) {
        let found = check(&graph(lines));
        let texts: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert!(
            texts.iter().any(|text| text.contains(said)),
            "{said}: {texts:?}"
        );
    }

    #[test]
    fn the_house_as_designed_is_fine() {
        let lines = "tidegate-core > libm thiserror\ntidegate-flow > tidegate-core libm
            tidegate-store > tidegate-core sled pco\ntidegate-engine > tidegate-core wasmtime
            tidegate-proto > tonic\ntidegate-api > tidegate-core tidegate-proto tonic
            tidegate-guest > wit-bindgen\ntidegate-model-ets > libm
            tidegate-plugin-ets > tidegate-guest tidegate-model-ets\ntidegate-runtime > tokio
            tidegate > tidegate-flow tidegate-store tidegate-engine anyhow\ntonic > tokio";
        assert_eq!(check(&graph(lines)), []);
    }

    #[test]
    fn a_core_that_could_do_io_is_found_with_the_way_there() {
        let lines = "tidegate-core > helper\nhelper > deeper\ndeeper > tokio";
        objects(
            lines,
            "brings tokio along (tidegate-core > helper > deeper > tokio)",
        );
        objects("tidegate-model-x > getrandom", "brings getrandom along");
    }

    #[test]
    fn what_only_other_crates_want_of_a_package_does_not_count_against_a_pure_one() {
        let mut shared = graph("tidegate-core > rand\nrand > getrandom");
        assert_eq!(check(&shared).len(), 1);
        let tree = "0 tidegate-core v0.1.0 (/x)\n1 rand v1.0.0\n2 libm v0.2.0\n1 sha2 v0.11.0\n\n";
        let alone = parse_tree(tree);
        assert_eq!(
            alone,
            graph("tidegate-core > rand sha2\nrand > libm").dependencies
        );
        shared.alone.insert("tidegate-core".to_owned(), alone);
        assert_eq!(check(&shared), []);
        let bad = parse_tree("0 tidegate-core v0\n1 rand v1\n2 getrandom v0\n1 sha2 v0");
        shared.alone.insert("tidegate-core".to_owned(), bad);
        assert!(
            check(&shared)[0]
                .what
                .contains("tidegate-core > rand > getrandom")
        );
    }

    #[test]
    fn siblings_that_see_each_other_or_flow_are_found() {
        let ours = "tidegate-store >\ntidegate-flow >\ntidegate-core >\ntidegate-engine >\n";
        objects(
            &format!("{ours}tidegate-api > tidegate-store"),
            "tidegate-api: depends on tidegate-store",
        );
        objects(
            &format!("{ours}tidegate-telemetry > tidegate-flow"),
            "depends on tidegate-flow",
        );
        objects(
            &format!("{ours}tidegate-runtime > tidegate-core"),
            "may see only: none",
        );
        objects(
            &format!("{ours}tidegate-client > tidegate-core"),
            "only: tidegate-proto",
        );
        objects(
            &format!("{ours}tidegate-plugin-x > tidegate-core"),
            "depends on tidegate-core",
        );
        let flow = "tidegate-engine >\ntidegate-flow > tidegate-engine";
        objects(flow, "tidegate-flow: depends on tidegate-engine");
    }

    #[test]
    fn a_dependency_outside_its_owner_is_found() {
        objects("tidegate-api > sled", "belongs to tidegate-store alone");
        objects(
            "tidegate-build > wasmtime",
            "belongs to tidegate-engine alone",
        );
        objects("tidegate-store > anyhow", "belongs to tidegate alone");
    }

    #[test]
    fn a_crate_that_no_rule_knows_is_found_unless_it_is_a_test() {
        objects("tidegate-misc >", "no rule says");
        let mut tests = graph("tidegate-harness > tokio anyhow");
        tests
            .ours
            .insert("tidegate-harness".to_owned(), "tests/harness".to_owned());
        assert_eq!(check(&tests), []);
    }
}
