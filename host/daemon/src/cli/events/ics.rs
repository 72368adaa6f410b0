//! An iCalendar file as lines with their numbers: RFC 5545, section 3.
//!
//! `icalendar` reads the content lines (folding, parameters, escapes). It tells a mistake in the terms
//! of its grammar and recurses over components, so the frame is looked at first, line by line: that
//! the file is one, that what begins ends, and how deep. Its errors then carry the line of the file.

use anyhow::{Result, bail};
use icalendar::parser::{Component, Property, read_components, unfold};

/// Most bytes of a file: ten years of a busy calendar are a tenth of it.
pub(super) const MOST_BYTES: u64 = 16 << 20;
/// Deepest nesting; a calendar needs three.
const DEEPEST: usize = 8;

/// What a calendar file holds of interest here.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    /// X-WR-CALNAME.
    pub(super) name: Option<String>,
    /// X-WR-TIMEZONE: of times that name no zone.
    pub(super) time_zone: Option<String>,
    /// TZID of each VTIMEZONE, with its X-LIC-LOCATION.
    pub(super) zones: Vec<(String, String)>,
    /// The VEVENTs, in order.
    pub(super) events: Vec<Content>,
}

/// A component's own properties.
#[derive(Debug)]
pub(super) struct Content {
    /// Line of its BEGIN.
    pub(super) line: usize,
    /// Its content lines, in order.
    pub(super) lines: Vec<Line>,
}

/// A content line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Its number in the file, from 1 on.
    pub(super) number: usize,
    /// The property, in capitals.
    pub(super) name: String,
    /// Parameters, their names in capitals.
    pub(super) params: Vec<(String, String)>,
    /// The value; texts unescaped.
    pub(super) value: String,
}

impl Line {
    /// A parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Content {
    /// The only line of a property.
    pub(super) fn one(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|l| l.name == name)
    }

    /// Lines of a property that may stand more than once.
    pub(super) fn every<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> + 'a {
        self.lines.iter().filter(move |l| l.name == name)
    }
}

/// Where a component and its own content lines stand.
#[derive(Debug)]
struct Frame {
    component: String,
    line: usize,
    own: Vec<usize>,
}

/// Reads a file's text.
pub(super) fn read(text: &str, file: &str) -> Result<Calendar> {
    let text = text.trim_start_matches('\u{feff}');
    let frames = frames(text, file)?;
    // Bare CR and blank lines are not the reader's grammar, but harmless.
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let unfolded = unfold(&(lines.join("\r\n") + "\r\n"));
    let roots = read_components(&unfolded).map_err(|error| {
        let why = error
            .lines()
            .find(|l| l.contains(':'))
            .unwrap_or("a line is malformed");
        anyhow::anyhow!(
            "{file}: it is no iCalendar file that can be read: {}; export it again",
            why.trim()
        )
    })?;
    let mut calendar = Calendar::default();
    let mut places = frames.iter().filter(|f| f.component == "VEVENT");
    for root in roots.iter().filter(|c| is(c, "VCALENDAR")) {
        let own = |name: &str| {
            root.properties
                .iter()
                .find(|p| p.name.as_str().eq_ignore_ascii_case(name))
        };
        let text = |p: &Property<'_>| p.val.as_str().trim().to_owned();
        calendar.name = calendar.name.or_else(|| own("X-WR-CALNAME").map(text));
        calendar.time_zone = calendar
            .time_zone
            .or_else(|| own("X-WR-TIMEZONE").map(text));
        for part in &root.components {
            if is(part, "VTIMEZONE") {
                let of = |name: &str| {
                    part.find_prop(name)
                        .map(|p| p.val.as_str().trim().to_owned())
                };
                calendar.zones.extend(of("TZID").zip(of("X-LIC-LOCATION")));
            } else if is(part, "VEVENT") {
                let Some(place) = places.next() else { break };
                calendar.events.push(component(part, place));
            }
        }
    }
    Ok(calendar)
}

fn is(component: &Component<'_>, name: &str) -> bool {
    component.name.as_str().eq_ignore_ascii_case(name)
}

fn component(read: &Component<'_>, place: &Frame) -> Content {
    let lines = read.properties.iter().enumerate().map(|(i, p)| Line {
        number: place.own.get(i).copied().unwrap_or(place.line),
        name: p.name.as_str().to_ascii_uppercase(),
        params: p
            .params
            .iter()
            .map(|param| {
                let value = param.val.as_ref().map_or("", |v| v.as_str());
                (
                    param.key.as_str().to_ascii_uppercase(),
                    value.trim_matches('"').to_owned(),
                )
            })
            .collect(),
        value: p.val.as_str().trim().to_owned(),
    });
    Content {
        line: place.line,
        lines: lines.collect(),
    }
}

/// The components of a file in the order of their BEGIN, checked.
fn frames(text: &str, file: &str) -> Result<Vec<Frame>> {
    let (mut frames, mut open): (Vec<Frame>, Vec<usize>) = (vec![], vec![]);
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        if line.trim().is_empty() || line.starts_with([' ', '\t']) {
            continue;
        }
        let upper = line.trim_end().to_ascii_uppercase();
        if let Some(name) = upper.strip_prefix("BEGIN:") {
            if frames.is_empty() && name != "VCALENDAR" {
                bail!(
                    "{file}:{number}: a calendar begins with BEGIN:VCALENDAR, not with BEGIN:{name}; give an iCalendar file (.ics)"
                );
            }
            if open.len() == DEEPEST {
                bail!(
                    "{file}:{number}: components are nested deeper than {DEEPEST}; export the calendar again"
                );
            }
            open.push(frames.len());
            frames.push(Frame {
                component: name.to_owned(),
                line: number,
                own: vec![],
            });
            continue;
        }
        let Some(current) = open.last().and_then(|i| frames.get_mut(*i)) else {
            bail!(
                "{file}:{number}: this is outside of BEGIN:VCALENDAR and END:VCALENDAR; give an iCalendar file (.ics)"
            );
        };
        if let Some(name) = upper.strip_prefix("END:") {
            if current.component != name {
                bail!(
                    "{file}:{number}: END:{name} closes BEGIN:{} of line {}; export the calendar again",
                    current.component,
                    current.line
                );
            }
            open.pop();
            continue;
        }
        let key = upper.find([':', ';']).map_or("", |at| &upper[..at]);
        let ok = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if key.is_empty() || !key.chars().all(ok) || !upper.contains(':') {
            bail!("{file}:{number}: this is no line of a calendar; it should read NAME:VALUE");
        }
        current.own.push(number);
    }
    if let Some(frame) = open.last().and_then(|i| frames.get(*i)) {
        bail!(
            "{file}:{}: BEGIN:{} is never closed; the file is cut off, export it again",
            frame.line,
            frame.component
        );
    }
    if frames.is_empty() {
        bail!("{file}: it is empty; give an iCalendar file (.ics)");
    }
    Ok(frames)
}
