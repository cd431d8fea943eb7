//! Answers as BuildKit gives them: JSON for programs, columns for people.

use super::{Findings, Source};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dockerfile::lint::Report;
use dockerfile::outline::{self, Arg, Outline, targets as stages};
use dockerfile::{Dockerfile, Lines};
use serde::Serialize;

const VERSION: &str = "1.0.0";
/// What may be asked: name, what it does, whether it is asked of one target.
const ALL: [(&str, &str, Of); 4] = [
    ("frontend.outline", "List all parameters current build target supports", Of::Target),
    ("frontend.targets", "List all targets current build supports", Of::File),
    ("frontend.lint", "Lint a Dockerfile", Of::File),
    ("frontend.subrequests.describe", "List available subrequest types", Of::File),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    File,
    Target,
}

#[derive(Serialize)]
struct Position {
    line: usize,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize, Default)]
struct Location {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<Range>,
}

impl From<Lines> for Location {
    fn from(lines: Lines) -> Location {
        Location { ranges: vec![Range { start: Position { line: lines.first }, end: Position { line: lines.last } }] }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Warning<'a> {
    rule_name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    detail: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Text<'a> {
    filename: &'a str,
    data: String,
    language: &'static str,
}

#[derive(Serialize)]
struct Failure {
    message: String,
    location: Location,
}

#[derive(Serialize)]
struct Lint<'a> {
    /// `null` when there are none.
    warnings: Option<Vec<Warning<'a>>>,
    sources: [Text<'a>; 1],
    #[serde(rename = "buildError", skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// What a check found; a failure comes after the warnings.
pub(super) fn check(source: &Source<'_>, report: &Report) -> Result<Findings> {
    let warnings = report.by_line();
    let text: String = warnings.iter().map(|warning| warning.text(source.text, source.name)).collect();
    let shown = warnings.iter().map(|warning| Warning {
        rule_name: warning.rule.name(),
        description: warning.rule.description(),
        url: warning.rule.url(),
        detail: &warning.message,
        location: warning.lines.into(),
    });
    let failure = |error: &dockerfile::Error| Failure {
        message: error.to_string(),
        location: error.lines().map(Location::from).unwrap_or_default(),
    };
    let lint = Lint {
        warnings: Some(shown.collect()).filter(|all: &Vec<_>| !all.is_empty()),
        sources: [Text { filename: source.name, data: encoded(source), language: "Dockerfile" }],
        error: report.error.as_ref().map(failure),
    };
    let status = u8::from(!report.warnings.is_empty() || report.error.is_some());
    Ok(Findings { json: pretty(&lint)?, text, status, version: VERSION })
}

#[derive(Serialize)]
struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    base: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    location: Location,
}

#[derive(Serialize)]
struct Targets {
    targets: Vec<Target>,
    sources: [String; 1],
}

/// The stages of a file.
pub(super) fn targets(source: &Source<'_>, file: &Dockerfile) -> Result<Findings> {
    let found = stages(file);
    let mut rows = vec![vec!["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
    rows.extend(found.iter().map(|target| {
        let name = match (target.name.as_deref(), target.is_default) {
            (None, true) => "(default)".to_owned(),
            (name, true) => format!("{} (default)", name.unwrap_or_default()),
            (name, false) => name.unwrap_or_default().to_owned(),
        };
        vec![name, target.description.clone().unwrap_or_default()]
    }));
    let shown = found.into_iter().map(|target| Target {
        name: target.name,
        default: target.is_default,
        description: target.description,
        base: target.base,
        platform: target.platform,
        location: target.lines.into(),
    });
    let all = Targets { targets: shown.collect(), sources: [encoded(source)] };
    Ok(Findings { json: pretty(&all)?, text: columns(&rows, 1), status: 0, version: VERSION })
}

#[derive(Serialize)]
struct Argument<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Need<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    location: Location,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Argument<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Need<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<Need<'a>>,
    sources: [String; 1],
}

/// What a target wants to know.
pub(super) fn outline(source: &Source<'_>, outline: &Outline) -> Result<Findings> {
    let shown = Shown {
        name: outline.name.as_deref(),
        description: outline.description.as_deref(),
        args: outline.args.iter().map(argument).collect(),
        secrets: outline.secrets.iter().map(need).collect(),
        ssh: outline.ssh.iter().map(need).collect(),
        sources: [encoded(source)],
    };
    Ok(Findings { json: pretty(&shown)?, text: outline_text(outline), status: 0, version: VERSION })
}

fn argument(arg: &Arg) -> Argument<'_> {
    let description = arg.description.as_deref();
    Argument { name: &arg.name, description, value: &arg.value, location: arg.lines.into() }
}

fn need(need: &outline::Need) -> Need<'_> {
    Need { name: &need.id, required: need.required, location: need.lines.into() }
}

fn outline_text(outline: &Outline) -> String {
    let mut text = String::new();
    let mut table = |rows: &[Vec<String>], padding| text.push_str(&format!("{}\n", columns(rows, padding)));
    if outline.name.is_some() || outline.description.is_some() {
        let name = outline.name.clone().unwrap_or_else(|| "(default)".to_owned());
        let mut rows = vec![vec!["TARGET:".to_owned(), name]];
        rows.extend(outline.description.iter().map(|text| vec!["DESCRIPTION:".to_owned(), text.clone()]));
        table(&rows, 1);
    }
    if !outline.args.is_empty() {
        let mut rows = vec![["BUILD ARG", "VALUE", "DESCRIPTION"].map(str::to_owned).to_vec()];
        let row = |arg: &Arg| vec![arg.name.clone(), arg.value.clone(), arg.description.clone().unwrap_or_default()];
        rows.extend(outline.args.iter().map(row));
        table(&rows, 3);
    }
    for (head, needs) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if needs.is_empty() {
            continue;
        }
        let mut rows = vec![vec![head.to_owned(), "REQUIRED".to_owned()]];
        let row = |need: &outline::Need| vec![need.id.clone(), if need.required { "true" } else { "" }.to_owned()];
        rows.extend(needs.iter().map(row));
        table(&rows, 3);
    }
    text
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'static str,
}

#[derive(Serialize)]
struct Request {
    name: &'static str,
    version: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    description: &'static str,
    opts: Vec<Named>,
    metadata: [Named; 2],
}

/// What may be asked.
pub(super) fn describe() -> Result<Findings> {
    let target = || Named { name: "target", description: "Target build stage" };
    let part = |name| Named { name, description: "" };
    let requests = ALL.map(|(name, description, of)| Request {
        name,
        version: VERSION,
        kind: "rpc",
        description,
        opts: if of == Of::Target { vec![target()] } else { Vec::new() },
        metadata: [part("result.json"), part("result.txt")],
    });
    let mut rows = vec![["NAME", "VERSION", "DESCRIPTION"].map(str::to_owned).to_vec()];
    rows.extend(requests.iter().map(|request| {
        let name = request.name.trim_start_matches("frontend.");
        [name, request.version, request.description].map(str::to_owned).to_vec()
    }));
    Ok(Findings { json: pretty(&requests)?, text: columns(&rows, 1), status: 0, version: VERSION })
}

fn encoded(source: &Source<'_>) -> String {
    STANDARD.encode(source.text)
}

fn pretty(value: &impl Serialize) -> Result<String> {
    let wrong = |error: serde_json::Error| Error::Invalid(format!("cannot write the answer: {error}"));
    serde_json::to_string_pretty(value).map_err(wrong)
}

/// Cells one below the other, `padding` apart.
fn columns(rows: &[Vec<String>], padding: usize) -> String {
    let cells = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..cells).map(|at| wide(at).unwrap_or(0) + padding).collect();
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < row.len() {
                text.push_str(&" ".repeat(widths[at] - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# top base\nARG top=1\nFROM scratch AS base\nFROM base\nARG b=2\n\
        RUN --mount=type=secret,id=s,required=true --mount=type=ssh true\nMAINTAINER me\n";

    fn source() -> Source<'static> {
        Source { text: FILE, name: "Dockerfile" }
    }

    #[test]
    fn stages_are_rows_and_objects() {
        let file = dockerfile::parse(FILE.as_bytes()).expect("a Dockerfile");
        let found = targets(&source(), &file).expect("targets");
        assert_eq!(found.text, "TARGET    DESCRIPTION\nbase      \n(default) \n");
        let json: serde_json::Value = serde_json::from_str(&found.json).expect("JSON");
        assert_eq!(json["targets"][1]["default"], true);
        assert_eq!(json["targets"][0]["location"]["ranges"][0]["start"]["line"], 3);
    }

    #[test]
    fn a_check_that_finds_nothing_has_no_warnings_and_no_text() {
        let found = check(&source(), &Report::default()).expect("a check");
        let json: serde_json::Value = serde_json::from_str(&found.json).expect("JSON");
        assert_eq!((json["warnings"].is_null(), found.text.as_str(), found.status), (true, "", 0));
    }

    #[test]
    fn what_may_be_asked_is_a_table() {
        let found = describe().expect("a list");
        assert!(
            found.text.starts_with("NAME                 VERSION DESCRIPTION\noutline              1.0.0   List all")
        );
    }
}
