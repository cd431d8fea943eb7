//! `--volume`, `--tmpfs` and `--mount`.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::{Object, Surroundings, put_list};
use crate::grammar::container::ContainerFlags;
use crate::grammar::values;

/// One `--mount`, as JSON; a relative source is made absolute when the plan is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount(Object);

/// The fields of a line of comma-separated values, where a field in quotes may hold commas.
pub(super) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut field = String::new();
    let mut letters = text.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => return Err("bare \" in non-quoted field".to_owned()),
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    if quoted {
        return Err("extraneous or missing \" in quoted-field".to_owned());
    }
    all.push(field);
    Ok(all)
}

/// Reads one `--mount`.
pub fn parse(text: &str) -> Result<Mount, String> {
    let mut mount = Object::new();
    mount.insert("Type".to_owned(), json!("volume"));
    let fields = fields(text)?;
    if text.is_empty() {
        return Err("value is empty".to_owned());
    }
    for field in &fields {
        read_field(&mut mount, field)?;
    }
    check(&mount)?;
    if mount.get("Type") == Some(&json!("bind")) {
        read_only_bind(&mut mount)?;
    }
    Ok(Mount(mount))
}

fn read_field(mount: &mut Object, field: &str) -> Result<(), String> {
    let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
    let key = key.to_lowercase();
    let may_stand_alone =
        matches!(key.as_str(), "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src");
    let Some(value) = value.or(may_stand_alone.then_some("true")) else {
        return Err(format!("invalid field '{field}' must be a key=value pair"));
    };
    let yes = || values::switch(value).map_err(|_| format!("invalid value for {key}: {value}"));
    match key.as_str() {
        "type" => set(mount, "", "Type", json!(value.to_lowercase())),
        "source" | "src" => set(mount, "", "Source", json!(value)),
        "target" | "dst" | "destination" => set(mount, "", "Target", json!(value)),
        "readonly" | "ro" => set(mount, "", "ReadOnly", json!(yes()?)),
        "consistency" => set(mount, "", "Consistency", json!(value.to_lowercase())),
        "bind-propagation" => set(mount, "BindOptions", "Propagation", json!(value.to_lowercase())),
        "bind-nonrecursive" => set(mount, "BindOptions", "NonRecursive", json!(yes()?)),
        "bind-create-src" => set(mount, "BindOptions", "CreateMountpoint", json!(yes()?)),
        "bind-recursive" => bind_recursive(mount, value)?,
        "volume-subpath" => set(mount, "VolumeOptions", "Subpath", json!(value)),
        "volume-nocopy" => set(mount, "VolumeOptions", "NoCopy", json!(yes()?)),
        "volume-label" => add_pair(mount, "Labels", value),
        "volume-driver" => driver(mount).insert("Name".to_owned(), json!(value)).map_or((), drop),
        "volume-opt" => {
            let (key, value) = value.split_once('=').unwrap_or((value, ""));
            inner(driver(mount), "Options").insert(key.to_owned(), json!(value));
        }
        "image-subpath" => set(mount, "ImageOptions", "Subpath", json!(value)),
        "tmpfs-size" => {
            let size = values::bytes(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
            set(mount, "TmpfsOptions", "SizeBytes", json!(size));
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8).map_err(|_| format!("invalid value for {key}: {value}"))?;
            set(mount, "TmpfsOptions", "Mode", json!(mode));
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn bind_recursive(mount: &mut Object, value: &str) -> Result<(), String> {
    match value {
        "enabled" => {}
        "disabled" => set(mount, "BindOptions", "NonRecursive", json!(true)),
        "writable" => set(mount, "BindOptions", "ReadOnlyNonRecursive", json!(true)),
        "readonly" => set(mount, "BindOptions", "ReadOnlyForceRecursive", json!(true)),
        _ => {
            return Err(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

/// The object `name` inside `object`, made if need be.
fn inner<'a>(object: &'a mut Object, name: &str) -> &'a mut Object {
    let slot = object.entry(name.to_owned()).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(inner) => inner,
        _ => unreachable!("an object was just put there"),
    }
}

fn set(mount: &mut Object, group: &str, key: &str, value: Value) {
    let object = if group.is_empty() { mount } else { inner(mount, group) };
    object.insert(key.to_owned(), value);
}

fn add_pair(mount: &mut Object, name: &str, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    inner(inner(mount, "VolumeOptions"), name).insert(key.to_owned(), json!(value));
}

fn driver(mount: &mut Object) -> &mut Object {
    inner(inner(mount, "VolumeOptions"), "DriverConfig")
}

fn check(mount: &Object) -> Result<(), String> {
    let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("Type").is_empty() {
        return Err("type is required".to_owned());
    }
    if text("Target").is_empty() {
        return Err("target is required".to_owned());
    }
    for (group, kind) in
        [("VolumeOptions", "volume"), ("ImageOptions", "image"), ("BindOptions", "bind"), ("TmpfsOptions", "tmpfs")]
    {
        if mount.contains_key(group) && text("Type") != kind {
            return Err(format!("cannot mix '{kind}-*' options with mount type '{}'", text("Type")));
        }
    }
    Ok(())
}

fn read_only_bind(mount: &mut Object) -> Result<(), String> {
    let read_only = mount.get("ReadOnly") == Some(&json!(true));
    let options = mount.get("BindOptions").cloned().unwrap_or_default();
    let has = |key: &str| options.get(key) == Some(&json!(true));
    if has("ReadOnlyNonRecursive") && !read_only {
        return Err("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction".to_owned());
    }
    if has("ReadOnlyForceRecursive") {
        if !read_only {
            return Err(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction".to_owned()
            );
        }
        if options.get("Propagation") != Some(&json!("rprivate")) {
            return Err(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Puts all mounts into the body.
pub(super) fn write(flags: &ContainerFlags, around: &Surroundings<'_>, config: &mut Object, host: &mut Object) {
    let mut anonymous = Object::new();
    let mut binds: Vec<String> = Vec::new();
    for text in &flags.volume {
        match text.split_once(':') {
            Some((source, rest)) if !source.is_empty() && !rest.is_empty() => {
                let bind = format!("{}:{rest}", on_host(source, around));
                if !binds.contains(&bind) {
                    binds.push(bind);
                }
            }
            _ => drop(anonymous.insert(text.clone(), json!({}))),
        }
    }
    if !anonymous.is_empty() {
        config.insert("Volumes".to_owned(), Value::Object(anonymous));
    }
    put_list(host, "Binds", &binds);
    let tmpfs: Object = flags
        .tmpfs
        .iter()
        .map(|text| text.split_once(':').unwrap_or((text, "")))
        .map(|(path, options)| (path.to_owned(), json!(options)))
        .collect();
    if !tmpfs.is_empty() {
        host.insert("Tmpfs".to_owned(), Value::Object(tmpfs));
    }
    let mounts: Vec<Value> = flags.mount.iter().map(|mount| absolute(mount, around)).collect();
    if !mounts.is_empty() {
        host.insert("Mounts".to_owned(), Value::Array(mounts));
    }
}

fn absolute(mount: &Mount, around: &Surroundings<'_>) -> Value {
    let mut mount = mount.0.clone();
    let source = mount.get("Source").and_then(Value::as_str).map(str::to_owned);
    if let Some(source) = source.filter(|_| mount.get("Type") == Some(&json!("bind"))) {
        mount.insert("Source".to_owned(), json!(on_host(&source, around)));
    }
    if mount.get("ReadOnly") == Some(&json!(false)) {
        mount.remove("ReadOnly");
    }
    Value::Object(mount)
}

/// A source that begins with a dot is a path from where the command was typed; any other stays as it is.
fn on_host(source: &str, around: &Surroundings<'_>) -> String {
    if !source.starts_with('.') {
        return source.to_owned();
    }
    let mut clean = PathBuf::new();
    for part in around.folder.join(Path::new(source)).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean.to_string_lossy().into_owned()
}
