//! `context`: named ways to engines, shared with docker.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::connect::default_socket;
use crate::contexts::{Context, Contexts, DEFAULT, Endpoints, FILES, check_name};
use crate::failure::Failure;
use crate::grammar::{About, Needs, help};
use crate::show::listing::{Columns, Row, render};
use crate::show::template::{Functions, Template};
use crate::show::{complain, json, print};
use crate::words::{Global, Offline, Outcome};

/// Lists contexts.
#[derive(Debug, Args)]
pub struct Ls {
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Only show context names
    #[arg(short, long)]
    quiet: bool,
}

/// Shows which context counts.
#[derive(Debug, Args)]
pub struct Show {}

/// Chooses a context.
#[derive(Debug, Args)]
pub struct Use {
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Makes a context.
#[derive(Debug, Args)]
pub struct Create {
    /// Description of the context
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    description: String,
    /// Set the docker endpoint
    #[arg(long, value_name = "stringToString", value_parser = pairs)]
    docker: Vec<Pairs>,
    /// Create context from a named context
    #[arg(long, value_name = "string")]
    from: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Changes a context.
#[derive(Debug, Args)]
pub struct Update {
    /// Description of the context
    #[arg(long, value_name = "string")]
    description: Option<String>,
    /// Set the docker endpoint
    #[arg(long, value_name = "stringToString", value_parser = pairs)]
    docker: Vec<Pairs>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Removes contexts.
#[derive(Debug, Args)]
pub struct Rm {
    /// Force the removal of a context in use
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Shows contexts in full.
#[derive(Debug, Args)]
pub struct Inspect {
    #[arg(short, long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// `host=tcp://h:2376,ca=/ca.pem`, taken apart.
type Pairs = Vec<(String, String)>;

fn pairs(text: &str) -> Result<Pairs, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.split(',').map(|text| pair(text).ok_or_else(|| format!("{text} must be formatted as key=value"))).collect()
}

const HEADINGS: &[(&str, &str)] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
    ("Current", "CURRENT"),
];

/// What docker says of the context that is always there.
const OF_DEFAULT: &str = "Current DOCKER_HOST based configuration";

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The context of that name, with the host that it means.
fn found(global: &Global, contexts: &Contexts, name: &str) -> Result<Context, Failure> {
    if name != DEFAULT {
        return contexts.get(name);
    }
    let told = global.flags().host.clone().or_else(|| set("DHOW_HOST")).or_else(|| set("DOCKER_HOST"));
    let mut context = Context { name: DEFAULT.to_owned(), ..Context::default() };
    context.endpoints.docker.host = told.unwrap_or_else(|| format!("unix://{}", default_socket().display()));
    Ok(context)
}

impl Offline for Ls {
    const ABOUT: About = About { name: "context ls", usage: "[OPTIONS]", does: "List contexts", needs: Needs::None };

    fn run(self, global: &Global) -> Outcome {
        let contexts = global.contexts();
        let current = global.context()?;
        let mut all = contexts.all()?;
        all.push(found(global, &contexts, DEFAULT)?);
        let missing = (current != DEFAULT && !contexts.has(&current)).then(|| current.clone());
        all.extend(missing.iter().map(|name| Context { name: name.clone(), ..Context::default() }));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        // In JSON the name is without its mark.
        let mark = !self.quiet && matches!(self.format.as_str(), "" | "table") || self.format.starts_with("table ");
        let rows: Vec<Row> = all.iter().map(|context| row(context, &current, mark, missing.as_ref())).collect();
        let shown = vec!["Name", "Description", "DockerEndpoint", "Error"];
        print(listing(&self, &rows, shown, &all, &current)?)?;
        if global.flags().host.is_none()
            && let Some(name) = ["DHOW_HOST", "DOCKER_HOST"].into_iter().find(|name| set(name).is_some())
        {
            complain(&format!(
                "Warning: {name} environment variable overrides the active context. To use a context, either set the global --context flag, or unset {name} environment variable."
            ));
        }
        Ok(0)
    }
}

/// As docker lists them; in JSON `Current` is a truth.
fn listing(
    asked: &Ls,
    rows: &[Row],
    shown: Vec<&'static str>,
    all: &[Context],
    current: &str,
) -> Result<String, Failure> {
    if asked.format != "json" && asked.format != "{{json .}}" || asked.quiet {
        return render(&Columns { headings: HEADINGS, shown, quiet: "Name" }, rows, &asked.format, asked.quiet);
    }
    let line = |(context, row): (&Context, &Row)| {
        let field = |name: &str| row.fields.get(name).cloned().unwrap_or_default();
        let value = json!({
            "Current": context.name == current,
            "Description": field("Description"),
            "DockerEndpoint": field("DockerEndpoint"),
            "Error": field("Error"),
            "Name": context.name,
        });
        format!("{value}\n")
    };
    Ok(all.iter().zip(rows).map(line).collect())
}

fn row(context: &Context, current: &str, mark: bool, missing: Option<&String>) -> Row {
    let is_current = context.name == current;
    let name = if mark && is_current { format!("{} *", context.name) } else { context.name.clone() };
    let host = &context.endpoints.docker.host;
    let description = if context.name == DEFAULT { OF_DEFAULT } else { context.description() };
    let error = if missing == Some(&context.name) { "context not found" } else { "" };
    let fields = [
        ("Name", name),
        ("Description", description.to_owned()),
        ("DockerEndpoint", host.clone()),
        ("Error", error.to_owned()),
        ("Current", is_current.to_string()),
    ];
    Row { fields: fields.into(), ..Row::default() }
}

impl Offline for Show {
    const ABOUT: About =
        About { name: "context show", usage: "", does: "Print the name of the current context", needs: Needs::None };

    fn run(self, global: &Global) -> Outcome {
        print(global.context()? + "\n")?;
        Ok(0)
    }
}

impl Offline for Use {
    const ABOUT: About =
        About { name: "context use", usage: "CONTEXT", does: "Set the current context", needs: Needs::Exactly(1) };

    fn run(self, global: &Global) -> Outcome {
        let (contexts, name) = (global.contexts(), &self.operands[0]);
        if name != DEFAULT {
            contexts.get(name)?;
        }
        contexts.choose(name)?;
        print(format!("{name}\n"))?;
        complain(&format!("Current context is now {name:?}"));
        if let Some(variable) = ["DHOW_HOST", "DOCKER_HOST"].into_iter().find(|name| set(name).is_some())
            && name != DEFAULT
        {
            complain(&format!(
                "Warning: {variable} environment variable overrides the active context. To use {name:?}, either set the global --context flag, or unset {variable} environment variable."
            ));
        }
        Ok(0)
    }
}

impl Offline for Create {
    const ABOUT: About = About {
        name: "context create",
        usage: "[OPTIONS] CONTEXT",
        does: "\
Create a context

Keys of --docker:

host                Engine to connect to: unix://, tcp:// or ssh://
ca                  PEM file: trust certificates signed by this CA alone
cert                PEM file: this client's certificate
key                 PEM file: its key
skip-tls-verify     Take any certificate
from                Copy the endpoint of that context",
        needs: Needs::Exactly(1),
    };

    fn run(self, global: &Global) -> Outcome {
        let (contexts, name) = (global.contexts(), &self.operands[0]);
        if name == DEFAULT {
            return Err(Failure::said(format!("{DEFAULT:?} is a reserved context name")));
        }
        check_name(name)?;
        if contexts.has(name) {
            return Err(Failure::said(format!("context {name:?} already exists")));
        }
        let mut asked: BTreeMap<String, String> = self.docker.into_iter().flatten().collect();
        if let Some(from) = self.from {
            asked.entry("from".to_owned()).or_insert(from);
        }
        let mut context = Context { name: name.clone(), ..Context::default() };
        if !self.description.is_empty() {
            context.metadata.insert("Description".to_owned(), json!(self.description));
        }
        let files = endpoint(global, &contexts, &mut context, &asked)?;
        contexts.put(&context)?;
        contexts.put_tls(name, &files)?;
        print(format!("{name}\n"))?;
        complain(&format!("Successfully created context {name:?}"));
        Ok(0)
    }
}

impl Offline for Update {
    const ABOUT: About = About {
        name: "context update",
        usage: "[OPTIONS] CONTEXT",
        does: "Update a context\nThe keys of --docker are those of 'context create'.",
        needs: Needs::Exactly(1),
    };

    fn run(self, global: &Global) -> Outcome {
        let (contexts, name) = (global.contexts(), &self.operands[0]);
        let mut context = contexts.get(name)?;
        if let Some(description) = self.description {
            context.metadata.insert("Description".to_owned(), json!(description));
        }
        let asked: BTreeMap<String, String> = self.docker.into_iter().flatten().collect();
        if !asked.is_empty() {
            let files = endpoint(global, &contexts, &mut context, &asked)?;
            contexts.put_tls(name, &files)?;
        }
        contexts.put(&context)?;
        print(format!("{name}\n"))?;
        complain(&format!("Successfully updated context {name:?}"));
        Ok(0)
    }
}

type Files = Vec<(&'static str, Vec<u8>)>;

/// Puts what `--docker` says into a context; its files of TLS are given back.
fn endpoint(
    global: &Global,
    contexts: &Contexts,
    context: &mut Context,
    asked: &BTreeMap<String, String>,
) -> Result<Files, Failure> {
    let failed = |why: String| Failure::said(format!("unable to create docker endpoint config: {why}"));
    const KEYS: [&str; 6] = ["host", "ca", "cert", "key", "skip-tls-verify", "from"];
    if let Some(key) = asked.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(failed(format!("unrecognized config key: {key}")));
    }
    if let Some(from) = asked.get("from") {
        context.endpoints = found(global, contexts, from)?.endpoints;
        let copy = |file: &'static str| Some((file, std::fs::read(contexts.tls_file(from, file)?).ok()?));
        return Ok(FILES.into_iter().filter_map(copy).collect());
    }
    let mut files = Files::new();
    for (key, file) in ["ca", "cert", "key"].into_iter().zip(FILES) {
        if let Some(path) = asked.get(key).filter(|path| !path.is_empty()) {
            files.push((file, std::fs::read(path).map_err(|cause| failed(format!("cannot read {path}: {cause}")))?));
        }
    }
    context.endpoints.docker.host = asked.get("host").cloned().unwrap_or_default();
    let skip = asked.get("skip-tls-verify").map_or(Ok(false), |text| text.parse());
    context.endpoints.docker.skip_tls_verify =
        skip.map_err(|_| failed("skip-tls-verify: use true or false".to_owned()))?;
    global.check_host(&context.endpoints.docker.host).map_err(|failure| failed(failure.to_string()))?;
    Ok(files)
}

impl Offline for Rm {
    const ABOUT: About = About {
        name: "context rm",
        usage: "CONTEXT [CONTEXT...]",
        does: "Remove one or more contexts",
        needs: Needs::AtLeast(1),
    };

    fn run(self, global: &Global) -> Outcome {
        let contexts = global.contexts();
        let mut failed = false;
        for name in &self.operands {
            match remove(&contexts, name, self.force) {
                Ok(()) => print(format!("{name}\n"))?,
                Err(failure) => {
                    failed = true;
                    complain(&failure.to_string());
                }
            }
        }
        Ok(u8::from(failed))
    }
}

fn remove(contexts: &Contexts, name: &str, force: bool) -> Result<(), Failure> {
    if name == DEFAULT {
        return Err(Failure::said(format!("context {DEFAULT:?} cannot be removed")));
    }
    if !contexts.has(name) && !force {
        return Err(Failure::said(format!("context {name:?} does not exist")));
    }
    if contexts.chosen().as_deref() == Some(name) {
        if !force {
            return Err(Failure::said(format!("context {name:?} is in use, set -f flag to force remove")));
        }
        contexts.choose(DEFAULT)?;
    }
    contexts.remove(name)
}

impl Offline for Inspect {
    const ABOUT: About = About {
        name: "context inspect",
        usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
        does: "Display detailed information on one or more contexts",
        needs: Needs::AtLeast(0),
    };

    fn run(self, global: &Global) -> Outcome {
        let contexts = global.contexts();
        let names = if self.operands.is_empty() { vec![global.context()?] } else { self.operands };
        let (mut shown, mut failures) = (Vec::new(), Vec::new());
        for name in &names {
            match found(global, &contexts, name) {
                Ok(context) => shown.push(described(&contexts, &context)?),
                Err(failure) => failures.push(failure),
            }
        }
        match self.format.as_str() {
            "" => print(json::indented(&format!("[{}]", shown.join(",")), "    ", 0) + "\n")?,
            "json" => print(format!("[{}]\n", shown.join(",")))?,
            source => {
                let source = source.replace("\\t", "\t").replace("\\n", "\n");
                let template = Template::parse(&source, Functions::Working, true).map_err(Failure::Template)?;
                for one in &shown {
                    let one: Value = serde_json::from_str(one).map_err(|cause| Failure::said(cause.to_string()))?;
                    print(template.render_json(&one).map_err(Failure::Said)? + "\n")?;
                }
            }
        }
        failures.iter().for_each(|failure| complain(&failure.to_string()));
        Ok(u8::from(!failures.is_empty()))
    }
}

/// In docker's order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described<'a> {
    name: &'a str,
    metadata: &'a serde_json::Map<String, Value>,
    endpoints: &'a Endpoints,
    #[serde(rename = "TLSMaterial")]
    tls_material: Value,
    storage: Storage,
}

#[derive(Serialize)]
struct Storage {
    #[serde(rename = "MetadataPath")]
    metadata: String,
    #[serde(rename = "TLSPath")]
    tls: String,
}

fn described(contexts: &Contexts, context: &Context) -> Result<String, Failure> {
    let name = &context.name;
    let files: Vec<&str> = FILES.into_iter().filter(|file| contexts.tls_file(name, file).is_some()).collect();
    let shown = |path: std::path::PathBuf| path.display().to_string();
    let in_memory = || "<IN MEMORY>".to_owned();
    let storage = if name == DEFAULT {
        Storage { metadata: in_memory(), tls: in_memory() }
    } else {
        Storage { metadata: shown(contexts.meta_folder(name)), tls: shown(contexts.tls_folder(name)) }
    };
    let described = Described {
        name,
        metadata: &context.metadata,
        endpoints: &context.endpoints,
        tls_material: if files.is_empty() { json!({}) } else { json!({"docker": files}) },
        storage,
    };
    serde_json::to_string(&described).map_err(|cause| Failure::said(cause.to_string()))
}
