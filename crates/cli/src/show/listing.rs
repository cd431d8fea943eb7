//! Lists of things: docker's tables, `--format` templates, `--format json` and `-q`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use gotmpl::Value;

use super::template::{Functions, HIDDEN_LABELS, Template};
use crate::failure::Failure;

/// One thing of a list: its fields by docker's names for them, and its labels.
#[derive(Debug, Default)]
pub struct Row {
    pub fields: BTreeMap<&'static str, String>,
    pub labels: BTreeMap<String, String>,
}

/// What can be listed of a kind of thing.
#[derive(Debug)]
pub struct Columns {
    /// Every field and the heading of its column.
    pub headings: &'static [(&'static str, &'static str)],
    /// The fields of the table that is shown unless another format is asked for.
    pub shown: Vec<&'static str>,
    /// The field that `-q` shows alone.
    pub quiet: &'static str,
}

/// Renders `rows` in `format` (empty: docker's table); `quiet` shows only one field, whatever the format.
pub fn render(columns: &Columns, rows: &[Row], format: &str, quiet: bool) -> Result<String, Failure> {
    if quiet {
        if !matches!(format, "" | "table") {
            super::complain("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        }
        return Ok(rows.iter().map(|row| format!("{}\n", row.field(columns.quiet))).collect());
    }
    if matches!(format, "" | "table") {
        return Ok(aligned(&plain_table(columns, rows)));
    }
    let (source, table) = match format.strip_prefix("table") {
        Some(source) => (source.trim_matches(' '), true),
        None if format == "json" => ("{{json .}}", false),
        None => (format, false),
    };
    let source = source.replace("\\t", "\t").replace("\\n", "\n");
    let template = parse(&source, Functions::Working)?;
    let mut text = String::new();
    if table {
        text = parse(&source, Functions::Heading)?.render(&headings(columns)).map_err(Failure::Said)?;
        text.push('\n');
    }
    for row in rows {
        text.push_str(&template.render(&row.value()).map_err(Failure::Said)?);
        text.push('\n');
    }
    Ok(if table { aligned(&text) } else { text })
}

fn parse(source: &str, functions: Functions) -> Result<Template, Failure> {
    Template::parse(source, functions, true).map_err(Failure::Said)
}

fn plain_table(columns: &Columns, rows: &[Row]) -> String {
    let heading = |field: &&str| columns.headings.iter().find(|(name, _)| name == field).map_or("", |(_, text)| text);
    let mut text = columns.shown.iter().map(heading).collect::<Vec<_>>().join("\t");
    text.push('\n');
    for row in rows {
        let cells: Vec<&str> = columns.shown.iter().map(|field| row.field(field)).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    text
}

/// Cells separated by tabs, in columns at least 10 wide, as docker sets Go's tabwriter for its lists.
pub fn aligned(text: &str) -> String {
    aligned_to(text, 10)
}

/// Cells separated by tabs, in columns at least `width` wide with 3 spaces between them.
pub fn aligned_to(text: &str, width: usize) -> String {
    const PADDING: usize = 3;
    // Go's minimal width counts the padding, this writer's does not.
    let mut writer = tabwriter::TabWriter::new(Vec::new()).minwidth(width.saturating_sub(PADDING)).padding(PADDING);
    let written = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
    match (written, writer.into_inner()) {
        (Ok(()), Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => text.to_owned(),
    }
}

fn headings(columns: &Columns) -> Value {
    let entries = columns.headings.iter().map(|(name, text)| (Arc::from(*name), Value::String(Arc::from(*text))));
    Value::Map(Arc::new(entries.collect()))
}

impl Row {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn value(&self) -> Value {
        let text = |text: &str| Value::String(Arc::from(text));
        let mut map: BTreeMap<Arc<str>, Value> =
            self.fields.iter().map(|(key, value)| (Arc::from(*key), text(value))).collect();
        let labels: BTreeMap<Arc<str>, Value> =
            self.labels.iter().map(|(key, value)| (Arc::from(key.as_str()), text(value))).collect();
        map.insert(Arc::from(HIDDEN_LABELS), Value::Map(Arc::new(labels)));
        Value::Map(Arc::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things() -> (Columns, Vec<Row>) {
        let columns = Columns {
            headings: &[("ID", "THING ID"), ("Name", "NAME"), ("Ports", "PORTS")],
            shown: vec!["ID", "Ports", "Name"],
            quiet: "ID",
        };
        let row = |id: &str, name: &str, ports: &str| Row {
            fields: [("ID", id.to_owned()), ("Name", name.to_owned()), ("Ports", ports.to_owned())].into(),
            labels: [("app".to_owned(), format!("l-{id}"))].into(),
        };
        (columns, vec![row("1", "one", ""), row("22222222222", "two", "80/tcp")])
    }

    fn shown(format: &str, quiet: bool) -> String {
        let (columns, rows) = things();
        render(&columns, &rows, format, quiet).expect(format)
    }

    #[test]
    fn the_table_is_aligned_as_go_aligns_it() {
        let table = "THING ID      PORTS     NAME\n1                       one\n22222222222   80/tcp    two\n";
        assert_eq!(shown("", false), table);
        assert_eq!(shown("table {{.ID}}\\t{{.Ports}}\\t{{.Name}}", false), table);
    }

    #[test]
    fn other_formats_are_lines() {
        assert_eq!(shown("", true), "1\n22222222222\n");
        assert_eq!(shown("{{.Name}}-{{.ID | upper}}", false), "one-1\ntwo-22222222222\n");
        assert_eq!(shown("json", false).lines().next(), Some(r#"{"ID":"1","Name":"one","Ports":""}"#));
        assert_eq!(shown("{{.Label \"app\"}}{{.Label \"no\"}}", false), "l-1\nl-22222222222\n");
        assert_eq!(shown("table {{upper .Name}}", false), "NAME\nONE\nTWO\n");
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let (columns, rows) = things();
        assert!(render(&columns, &rows, "{{.Nope}}", false).is_err());
    }
}
