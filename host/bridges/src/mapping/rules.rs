//! Rules for what does not follow conventions: a matcher as in PromQL, and what its streams are.
//!
//! A matcher is what Prometheus' users write every day, `http_requests_total{job="edge",code=~"5.."}`,
//! with the same meaning: operators `=`, `!=`, `=~`, `!~`; an expression matches the whole value; a
//! label that is not there is the empty value. Names may hold dots, and may be quoted
//! (`{"http.server.duration"}`), as in Prometheus 3. Expressions are those of the `regex` crate,
//! whose time is linear in the text, so no rule can be made to hang.
//!
//! A rule that matches decides, even where it then cannot use the stream: to go on with the next
//! one would hide the mistake.

use super::{Basis, Draft, How, Shape, Stream, Verdict, conventions, how, name_of};
use regex::{Regex, RegexBuilder};
use tidegate_core::units::Signal;

/// Why a text is no matcher, or a rule no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(pub String);

/// Largest compiled expression, in bytes.
const MAX_REGEX: usize = 1 << 20;

#[derive(Debug, Clone)]
enum Test {
    Is(String),
    IsNot(String),
    Like(Regex),
    Unlike(Regex),
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Test::Is(text) => value == text,
            Test::IsNot(text) => value != text,
            Test::Like(regex) => regex.is_match(value),
            Test::Unlike(regex) => !regex.is_match(value),
        }
    }
}

/// `NAME{label="x", …}`.
#[derive(Debug, Clone)]
pub struct Matcher {
    text: String,
    name: Vec<Test>,
    labels: Vec<(String, Test)>,
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Matcher {
    /// Parses a matcher.
    ///
    /// # Errors
    /// Says what is wrong and at which character.
    pub fn new(text: &str) -> Result<Self, RuleError> {
        let mut parser = Parser { text, at: 0 };
        let matcher = parser.matcher()?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.wrong("something follows the closing `}`"));
        }
        Ok(matcher)
    }

    /// Whether a metric of this name can match.
    #[must_use]
    pub fn may_match(&self, name: &str) -> bool {
        self.name.iter().all(|test| test.holds(name))
    }

    /// Whether a stream matches.
    #[must_use]
    pub fn matches(&self, stream: &Stream<'_>) -> bool {
        let value = |label: &str| stream.labels.get(label).unwrap_or("");
        self.may_match(stream.name) && self.labels.iter().all(|(l, test)| test.holds(value(l)))
    }
}

/// A metric as a person writes it: `NAME{label="x", …} VALUE`, for trying rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Value, if one was written.
    pub value: Option<f64>,
}

/// Reads `NAME{label="x"} 5`.
///
/// # Errors
/// Says what is wrong and at which character.
pub fn written(text: &str) -> Result<Written, RuleError> {
    let mut parser = Parser { text, at: 0 };
    let matcher = parser.matcher()?;
    let plain = |test: &Test| match test {
        Test::Is(value) => Some(value.clone()),
        _ => None,
    };
    let only = || RuleError("a metric has plain labels; write each as label=\"value\"".into());
    let name = matcher
        .name
        .first()
        .and_then(plain)
        .ok_or_else(|| RuleError("the metric has no name; write it before the `{`".into()))?;
    let labels = matcher
        .labels
        .iter()
        .map(|(label, test)| Some((label.clone(), plain(test)?)));
    let labels = labels.collect::<Option<Vec<_>>>().ok_or_else(only)?;
    let rest = text[parser.at..].trim();
    let value = (!rest.is_empty())
        .then(|| {
            rest.parse()
                .map_err(|_| RuleError(format!("`{rest}` is not a value")))
        })
        .transpose()?;
    Ok(Written {
        name,
        labels,
        value,
    })
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn wrong(&self, what: &str) -> RuleError {
        let place = self.text[..self.at].chars().count() + 1;
        RuleError(format!("`{}`: character {place}: {what}", self.text))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, word: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// A name without quotes: letters, digits, `_`, `:`, `.`, `-` and `/`.
    fn word(&mut self) -> &'t str {
        self.space();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_:.-/".contains(c)));
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn quoted(&mut self) -> Result<Option<String>, RuleError> {
        self.space();
        let Some(quote) = self
            .rest()
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
        else {
            return Ok(None);
        };
        let began = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((i, c)) = chars.next() {
            if c == quote {
                self.at += i + 1;
                return Ok(Some(text));
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                _ => {
                    self.at += i;
                    return Err(self.wrong("known escapes are \\\\, \\\", \\', \\n and \\t"));
                }
            }
        }
        self.at = began;
        Err(self.wrong("this quote is not closed"))
    }

    fn matcher(&mut self) -> Result<Matcher, RuleError> {
        let mut name = vec![];
        let bare = self.word();
        if !bare.is_empty() {
            name.push(Test::Is(bare.to_owned()));
        }
        let mut labels = vec![];
        if self.eat("{") {
            while !self.eat("}") {
                let (label, was_quoted) = match self.quoted()? {
                    Some(label) => (label, true),
                    None => (self.word().to_owned(), false),
                };
                if label.is_empty() {
                    return Err(self.wrong("a label, or the closing `}`, is wanted here"));
                }
                self.space();
                if was_quoted && (self.rest().starts_with(',') || self.rest().starts_with('}')) {
                    name.push(Test::Is(label));
                } else {
                    let test = self.test()?;
                    if label == "__name__" {
                        name.push(test);
                    } else {
                        labels.push((label, test));
                    }
                }
                if !self.eat(",") {
                    self.space();
                    if !self.rest().starts_with('}') {
                        return Err(self.wrong("`,` or `}` is wanted here"));
                    }
                }
            }
        }
        if name.is_empty() && labels.is_empty() {
            return Err(self.wrong("it would match everything; write a name or a label"));
        }
        Ok(Matcher {
            text: self.text.to_owned(),
            name,
            labels,
        })
    }

    fn test(&mut self) -> Result<Test, RuleError> {
        let ops = ["=~", "!~", "!=", "="];
        let Some(op) = ops.into_iter().find(|op| self.eat(op)) else {
            return Err(self.wrong("`=`, `!=`, `=~` or `!~` is wanted here"));
        };
        let Some(text) = self.quoted()? else {
            return Err(self.wrong("a value in quotes is wanted here"));
        };
        let regex = || {
            // The whole value has to match, and a dot means any character.
            RegexBuilder::new(&format!("^(?:{text})$"))
                .dot_matches_new_line(true)
                .size_limit(MAX_REGEX)
                .build()
                .map_err(|e| self.wrong(&format!("`{text}` is no expression: {e}")))
        };
        Ok(match op {
            "=" => Test::Is(text),
            "!=" => Test::IsNot(text),
            "=~" => Test::Like(regex()?),
            _ => Test::Unlike(regex()?),
        })
    }
}

/// What a rule makes of what it matches.
#[derive(Debug, Clone)]
pub enum Action {
    /// It is passed over.
    Drop,
    /// It is a signal of an api.
    Feed {
        /// The api's name; `{label}` stands for a label's value.
        api: String,
        /// The signal; a histogram of requests feeds latency too.
        signal: Signal,
        /// What counts as failed among requests, besides.
        errors: Option<Matcher>,
        /// Sent values times this are in the signal's unit; by the metric's own unit where absent.
        scale: Option<f64>,
    },
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which streams.
    pub matcher: Matcher,
    /// What they are.
    pub action: Action,
}

impl Rule {
    /// Whether a metric of this name can match.
    #[must_use]
    pub fn may_match(&self, name: &str) -> bool {
        self.matcher.may_match(name)
    }

    /// Whether a stream matches.
    #[must_use]
    pub fn matches(&self, stream: &Stream<'_>) -> bool {
        self.matcher.matches(stream)
    }

    pub(super) fn draft(&self, number: usize, stream: &Stream<'_>) -> Result<Draft, Verdict> {
        let mut why = vec![format!("rule {} matches: {}", number + 1, self.matcher)];
        let Action::Feed {
            api,
            signal,
            errors,
            scale,
        } = &self.action
        else {
            return Err(Verdict::PassedOver(format!("{}, and drops it", why[0])));
        };
        let refused = |problem: String| {
            Verdict::Refused(format!("rule {} ({}): {problem}", number + 1, self.matcher))
        };
        let factor = match scale {
            Some(scale) => *scale,
            None => conventions::factor(stream.unit).ok_or_else(|| {
                refused(format!(
                    "the unit `{}` is not known here; write `scale:`",
                    stream.unit
                ))
            })?,
        };
        let mut feeds = vec![(*signal, how(stream.shape, *signal).map_err(refused)?)];
        if *signal == Signal::Requests {
            if stream.shape == Shape::Histogram {
                feeds.push((Signal::Latency, How::Latency));
            }
            if let Some(errors) = errors {
                if errors.matches(stream) {
                    feeds.push((Signal::Errors, How::Count));
                    why.push(format!("{errors} matches, so they count as errors too"));
                } else {
                    why.push(format!("{errors} does not match, so they are no errors"));
                }
            }
        }
        let name = fill(api, stream).map_err(refused)?;
        Ok(Draft {
            api: name,
            feeds,
            factor,
            basis: Basis {
                group: format!("rule {} of {}", number + 1, signal.name()).into(),
                metric: "".into(),
            },
            why,
        })
    }
}

/// Whether a template of an api's name can be filled in.
///
/// # Errors
/// When a brace is not closed, or names nothing.
pub fn check_template(template: &str) -> Result<(), RuleError> {
    parts(template, |_| Ok("x".into())).map(drop)
}

fn fill(template: &str, stream: &Stream<'_>) -> Result<String, String> {
    let filled = parts(template, |label| {
        let value = stream.labels.get(label);
        value.map(str::to_owned).ok_or_else(|| {
            RuleError(format!(
                "`{template}` wants the label `{label}`, which this stream has not"
            ))
        })
    });
    filled.map_err(|e| e.0)
}

fn parts(
    template: &str,
    value: impl Fn(&str) -> Result<String, RuleError>,
) -> Result<String, RuleError> {
    let (mut filled, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((label, after)) = after.split_once('}').filter(|(label, _)| !label.is_empty())
        else {
            return Err(RuleError(format!(
                "`{template}` has a `{{` that names no label; write {{label}}"
            )));
        };
        filled.push_str(&value(label)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(name_of([filled.as_str()].into_iter()))
}
