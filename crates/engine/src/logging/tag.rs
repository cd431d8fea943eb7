//! What the entries of a log say besides their line: chosen labels, variables, and a tag.

use super::options::Options;
use container::Container;
use gotmpl::MissingKey;
use regex_lite::Regex;
use std::collections::BTreeMap;

/// Attributes by key.
pub type Attributes = BTreeMap<String, String>;

/// The labels and variables of a container that `labels`, `labels-regex`, `env` and `env-regex` choose.
pub fn attributes(record: &Container, options: &Options) -> Result<Attributes, String> {
    let labels = &record.config.labels;
    let variables: Attributes = record
        .config
        .env
        .iter()
        .filter_map(|text| text.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut chosen = Attributes::new();
    choose(labels, options.get("labels"), options.get("labels-regex"), &mut chosen)?;
    choose(&variables, options.get("env"), options.get("env-regex"), &mut chosen)?;
    Ok(chosen)
}

fn choose(
    all: &Attributes,
    names: Option<&String>,
    pattern: Option<&String>,
    chosen: &mut Attributes,
) -> Result<(), String> {
    for name in names.into_iter().flat_map(|names| names.split(',')) {
        chosen.extend(all.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    if let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) {
        let pattern = Regex::new(pattern).map_err(|cause| format!("error parsing regexp: {cause}"))?;
        chosen.extend(
            all.iter().filter(|(key, _)| pattern.is_match(key)).map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    Ok(())
}

/// The tag of a container, by the template that its option `tag` is, or by `usual`.
pub fn tag(record: &Container, options: &Options, usual: &str) -> Result<String, String> {
    let template = options.get("tag").map(String::as_str).filter(|text| !text.is_empty()).unwrap_or(usual);
    if !template.contains("{{") {
        return Ok(template.to_owned());
    }
    let told = |cause: gotmpl::TemplateError| cause.to_string();
    let data = gotmpl::to_value(&words(record)).map_err(told)?;
    let parsed = gotmpl::Template::new("log-tag").missing_key(MissingKey::Error).parse(template).map_err(told)?;
    parsed.execute_to_string(&data).map_err(told)
}

fn words(record: &Container) -> serde_json::Value {
    let config = &record.config;
    let image_id = record.image_id.to_string();
    let short = image_id.split(':').next_back().unwrap_or_default().get(..12).unwrap_or_default().to_owned();
    let command: Vec<&str> =
        config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten()).map(String::as_str).collect();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    serde_json::json!({
        "ID": record.id.short(),
        "FullID": record.id.to_string(),
        "Name": record.name,
        "Command": command.join(" "),
        "ImageID": short,
        "ImageFullID": image_id,
        "ImageName": config.image,
        "Hostname": host,
        "DaemonName": "docker",
        "ContainerID": record.id.to_string(),
        "ContainerName": format!("/{}", record.name),
        "ContainerEntrypoint": command.first(),
        "ContainerArgs": command.get(1..).unwrap_or_default(),
        "ContainerImageID": image_id,
        "ContainerImageName": config.image,
        "ContainerEnv": config.env,
        "ContainerLabels": config.labels,
        "Config": config.log.options,
    })
}
