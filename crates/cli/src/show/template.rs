//! Go templates, as `--format` and `inspect -f` take them. The only file that knows the template engine.

use std::sync::Arc;

use gotmpl::{MissingKey, TemplateError, Value};

/// A key that templates do not see: where a row keeps its labels for `{{.Label "key"}}`.
pub const HIDDEN_LABELS: &str = "\u{0}labels";

/// A parsed template.
pub struct Template(gotmpl::Template);

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

/// What the functions of a template do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Functions {
    /// What docker documents: json, split, join, title, lower, upper, pad, truncate.
    Working,
    /// For the heading of a table: they leave the column's name as it is.
    Heading,
}

impl Template {
    /// Parses `source`; in a strict template a field that is not there is an error.
    ///
    /// # Errors
    /// docker's sentence: `template parsing error: ...`.
    pub fn parse(source: &str, functions: Functions, strict: bool) -> Result<Template, String> {
        let missing = if strict { MissingKey::Error } else { MissingKey::Invalid };
        let template = with_functions(gotmpl::Template::new("").missing_key(missing), functions);
        template.parse(&label_calls(source)).map(Template).map_err(|cause| failed(&cause))
    }

    /// Fills the template with `data`.
    pub fn render(&self, data: &Value) -> Result<String, String> {
        self.0.execute_to_string(data).map_err(|cause| failed(&cause))
    }

    /// Fills the template with a JSON value.
    pub fn render_json(&self, data: &serde_json::Value) -> Result<String, String> {
        let data = gotmpl::to_value(data).map_err(|cause| failed(&cause))?;
        self.render(&data)
    }
}

fn failed(cause: &TemplateError) -> String {
    match cause {
        TemplateError::MissingKey { key } => format!("template parsing error: map has no entry for key {key:?}"),
        cause => format!("template parsing error: {cause}"),
    }
}

/// docker's rows have a method `Label`; here it is a function, so `.Label "x"` becomes `label . "x"`.
fn label_calls(source: &str) -> String {
    source.replace(".Label \"", "label $ \"").replace(".Label `", "label $ `")
}

fn with_functions(template: gotmpl::Template, functions: Functions) -> gotmpl::Template {
    let template = template.func("pad", pad).func("label", label);
    if functions == Functions::Heading {
        let names = ["json", "split", "join", "title", "lower", "upper", "truncate"];
        return names.iter().fold(template, |template, name| {
            template.func(name, |args| Ok(args.first().cloned().unwrap_or(Value::Nil)))
        });
    }
    template
        .func("json", |args| Ok(text(json(args.first().unwrap_or(&Value::Nil)))))
        .func("lower", |args| Ok(text(word(args, 0)?.to_lowercase())))
        .func("upper", |args| Ok(text(word(args, 0)?.to_uppercase())))
        .func("title", |args| Ok(text(title(&word(args, 0)?))))
        .func("truncate", |args| Ok(text(word(args, 0)?.chars().take(count(args, 1)).collect::<String>())))
        .func("split", |args| {
            let (whole, separator) = (word(args, 0)?, word(args, 1)?);
            Ok(Value::List(whole.split(separator.as_str()).map(|part| text(part.to_owned())).collect()))
        })
        .func("join", join)
}

fn text(text: String) -> Value {
    Value::String(Arc::from(text))
}

fn word(args: &[Value], index: usize) -> Result<String, TemplateError> {
    match args.get(index) {
        Some(Value::Nil) => Ok(String::new()),
        Some(value) => Ok(value.to_string()),
        None => Err(TemplateError::Exec("not enough arguments".to_owned())),
    }
}

fn count(args: &[Value], index: usize) -> usize {
    args.get(index).and_then(Value::as_int).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// White space around a text that is not empty.
fn pad(args: &[Value]) -> Result<Value, TemplateError> {
    let inner = word(args, 0)?;
    if inner.is_empty() {
        return Ok(text(inner));
    }
    Ok(text(format!("{}{inner}{}", " ".repeat(count(args, 1).min(1024)), " ".repeat(count(args, 2).min(1024)))))
}

fn join(args: &[Value]) -> Result<Value, TemplateError> {
    let separator = word(args, 1)?;
    let parts: Vec<String> = match args.first() {
        Some(Value::List(items)) => items.iter().map(ToString::to_string).collect(),
        Some(Value::Map(map)) => {
            let mut values: Vec<String> = map.values().map(ToString::to_string).collect();
            values.sort();
            values
        }
        Some(Value::Nil) => Vec::new(),
        other => {
            let kind = other.map_or("nothing", Value::type_name);
            return Err(TemplateError::Exec(format!("expected slice, got {kind}")));
        }
    };
    Ok(text(parts.join(&separator)))
}

fn label(args: &[Value]) -> Result<Value, TemplateError> {
    let key = word(args, 1)?;
    let found = match args.first() {
        Some(row @ Value::Map(_)) => row.field(HIDDEN_LABELS).and_then(|labels| labels.field(&key)).cloned(),
        _ => None,
    };
    Ok(found.unwrap_or_else(|| text(String::new())))
}

/// Each word with a capital letter.
fn title(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut start = true;
    for letter in words.chars() {
        match start {
            true => out.extend(letter.to_uppercase()),
            false => out.push(letter),
        }
        start = letter.is_whitespace();
    }
    out
}

/// A value as JSON; a row of a list with the escapes of Go's `json.Marshal`, which docker's rows go through.
fn json(value: &Value) -> String {
    let text = to_json(value).to_string();
    match value {
        Value::Map(map) if map.contains_key(HIDDEN_LABELS) => html_escaped(&text),
        _ => text,
    }
}

/// JSON without the letters that mean something in HTML.
pub fn html_escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(yes) => (*yes).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_ref().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => {
            let visible = map.iter().filter(|(key, _)| !key.starts_with('\0'));
            visible.map(|(key, value)| (key.to_string(), to_json(value))).collect()
        }
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(source: &str, data: serde_json::Value) -> Result<String, String> {
        Template::parse(source, Functions::Working, true)?.render_json(&data)
    }

    #[test]
    fn dockers_functions_do_what_docker_documents() {
        let data = json!({ "Name": "Web App", "List": ["a", "b"], "N": 3, "Map": {"k": "v", "b": true}, "None": null });
        for (source, result) in [
            ("{{.Name}} {{.N}}", "Web App 3"),
            ("{{json .Map}}", r#"{"b":true,"k":"v"}"#),
            ("{{json .None}}", "null"),
            ("{{join .List \"-\"}}", "a-b"),
            ("{{lower .Name}}/{{upper .Name}}", "web app/WEB APP"),
            ("{{title \"a b\"}}", "A B"),
            ("{{range split .Name \" \"}}[{{.}}]{{end}}", "[Web][App]"),
            ("{{pad .Name 1 2}}|{{pad \"\" 3 3}}|", " Web App  ||"),
            ("{{truncate .Name 3}}", "Web"),
            ("{{println .N}}", "3\n"),
            ("{{range $k, $v := .Map}}{{$k}}={{$v}};{{end}}", "b=true;k=v;"),
            ("{{if eq .N 3}}yes{{end}}", "yes"),
            ("{{index .List 1}}", "b"),
            ("{{len .List}}", "2"),
        ] {
            assert_eq!(fill(source, data.clone()).as_deref(), Ok(result), "{source}");
        }
    }

    #[test]
    fn wrong_templates_are_explained() {
        for source in ["{{", "{{.Missing}}", "{{nosuch .Name}}", "{{join .Name \",\"}}"] {
            let why = fill(source, json!({ "Name": "x" })).expect_err(source);
            assert!(why.starts_with("template parsing error: "), "{why}");
        }
    }
}
