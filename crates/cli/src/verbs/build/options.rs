//! Options that have parts: `type=local,dest=out`, `id=key,src=file`.

use std::collections::BTreeMap;
use std::path::Path;

use api::types::BuildOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::files;
use crate::failure::Failure;
use crate::grammar::values::switch;

type Parts = BTreeMap<String, String>;

/// `key=value`s, parted by commas.
fn fields(text: &str) -> Result<Vec<String>, Failure> {
    dockerfile::csv_fields(text).map_err(|why| Failure::said(format!("invalid value {text:?}: {why}")))
}

fn pair(field: &str) -> Result<(String, String), Failure> {
    let (key, value) = field.split_once('=').ok_or_else(|| Failure::said(format!("invalid value {field}")))?;
    Ok((key.trim().to_lowercase(), value.to_owned()))
}

/// The type of an option, and the rest of it.
fn typed(fields: &[String]) -> Result<(String, Parts), Failure> {
    let mut parts = fields.iter().map(|field| pair(field)).collect::<Result<Parts, Failure>>()?;
    let kind = parts.remove("type").unwrap_or_default();
    Ok((kind, parts))
}

/// What `--output` says: a folder, `-` for a tar on stdout, or `type=...,key=value`.
pub fn output(text: &str) -> Result<BuildOption, Failure> {
    let of = |kind: &str| BuildOption {
        kind: kind.to_owned(),
        attributes: Parts::from([("dest".to_owned(), text.to_owned())]),
    };
    let fields = fields(text)?;
    if text == "-" {
        return Ok(of("tar"));
    }
    if fields.len() == 1 && !text.starts_with("type=") {
        return Ok(of("local"));
    }
    let (kind, attributes) = typed(&fields)?;
    if kind.is_empty() {
        return Err(Failure::said("type is required for output"));
    }
    Ok(BuildOption { kind, attributes })
}

/// What `--cache-from` and `--cache-to` say: the name of an image, or `type=...,key=value`.
pub fn cache(text: &str) -> Result<Vec<BuildOption>, Failure> {
    let fields = fields(text)?;
    if fields.iter().all(|field| !field.contains('=')) {
        // Several names, as the classic builder takes them, are several options.
        let of = |name: String| BuildOption {
            kind: "registry".to_owned(),
            attributes: Parts::from([("ref".to_owned(), name)]),
        };
        return Ok(fields.into_iter().map(of).collect());
    }
    let (kind, attributes) = typed(&fields)?;
    if kind.is_empty() {
        return Err(Failure::said(format!("type required for {text:?}")));
    }
    Ok(vec![BuildOption { kind, attributes }])
}

/// What `--attest` says; `None`: that it is not wanted.
pub fn attest(text: &str) -> Result<Option<BuildOption>, Failure> {
    let (kind, mut attributes) = typed(&fields(text)?)?;
    if !matches!(kind.as_str(), "provenance" | "sbom") {
        return Err(Failure::said(match kind.as_str() {
            "" => format!("attestation type not specified: use type=provenance or type=sbom in {text:?}"),
            other => format!("unknown attestation type {other:?}: use provenance or sbom"),
        }));
    }
    let disabled = attributes.remove("disabled").map(|text| switch(&text)).transpose().map_err(Failure::said)?;
    Ok((disabled != Some(true)).then_some(BuildOption { kind, attributes }))
}

/// `--provenance` and `--sbom` in the words of `--attest`.
pub fn short_attest(kind: &str, text: &str) -> String {
    match switch(text) {
        Ok(on) => format!("type={kind},disabled={}", !on),
        Err(_) => format!("type={kind},{text}"),
    }
}

/// What `--annotation` says: the attribute of an image's output that it is.
pub fn annotation(text: &str) -> Result<(String, String), Failure> {
    const LEVELS: [&str; 4] = ["index", "index-descriptor", "manifest", "manifest-descriptor"];
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| Failure::said(format!("invalid annotation {text:?}, expected key=value")))?;
    let Some((level, key)) = key.split_once(':') else { return Ok((format!("annotation.{key}"), value.to_owned())) };
    let (name, platform) = match level.split_once('[') {
        Some((name, rest)) => (name, rest.strip_suffix(']')),
        None => (level, Some("")),
    };
    let Some(platform) = platform else {
        return Err(Failure::said(format!(
            "invalid annotation type {level:?}, expected type and optional platform in square brackets"
        )));
    };
    if !LEVELS.contains(&name) {
        return Err(Failure::said(format!("unknown annotation type {name:?}: use one of {}", LEVELS.join(", "))));
    }
    let platform = if platform.is_empty() { String::new() } else { format!("[{platform}]") };
    Ok((format!("annotation-{name}{platform}.{key}"), value.to_owned()))
}

/// `id=name[,src=path|env=VARIABLE]`: its id, and its value in base64.
pub fn secret(typed: &str) -> Result<(String, String), Failure> {
    let (mut id, mut source, mut variable, mut kind) = (String::new(), None, None, String::new());
    for part in fields(typed)? {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| Failure::said(format!("invalid field '{part}' must be a key=value pair")))?;
        match key.to_lowercase().as_str() {
            "id" => value.clone_into(&mut id),
            "src" | "source" => source = Some(value.to_owned()),
            "env" => variable = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => value.clone_into(&mut kind),
            "type" => return Err(Failure::said(format!("unsupported secret type {value:?}: use file or env"))),
            _ => return Err(Failure::said(format!("unexpected key '{key}' in '{part}'"))),
        }
    }
    if id.is_empty() {
        return Err(Failure::said("secret without an id: expected id=NAME[,src=PATH]"));
    }
    if kind == "env" && variable.is_none() {
        variable = source.take();
    }
    let value = match (source, variable) {
        (Some(path), _) => files::bytes(Path::new(&path))?,
        (None, variable) => {
            let name = variable.unwrap_or_else(|| id.clone());
            match std::env::var(&name) {
                Ok(value) => value.into_bytes(),
                Err(_) if kind != "env" && Path::new(&id).is_file() => files::bytes(Path::new(&id))?,
                Err(_) => return Err(Failure::said(format!("secret {id}: neither a variable nor a file {name}"))),
            }
        }
    };
    Ok((id, STANDARD.encode(value)))
}

/// `default`, `id=SOCKET`: its id and the socket of an agent. Keys in files need an agent, who does not give them away.
pub fn agent(typed: &str) -> Result<(String, String), Failure> {
    let (id, path) = typed.split_once('=').unwrap_or((typed, ""));
    let path = match path {
        "" => std::env::var("SSH_AUTH_SOCK").unwrap_or_default(),
        path => path.to_owned(),
    };
    if path.is_empty() {
        return Err(Failure::said("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"));
    }
    let id = if id.is_empty() { "default" } else { id };
    let path = files::absolute(&path)?;
    use std::os::unix::fs::FileTypeExt;
    if !std::fs::metadata(&path)?.file_type().is_socket() {
        return Err(Failure::said(format!(
            "{} is not the socket of an agent: start one ('eval $(ssh-agent)'), give it the key ('ssh-add {}'), and use --ssh {id}",
            path.display(),
            path.display()
        )));
    }
    Ok((id.to_owned(), path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(option: &BuildOption) -> String {
        let parts: Vec<String> = option.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} {}", option.kind, parts.join(" ")).trim_end().to_owned()
    }

    #[test]
    fn an_output_is_a_folder_a_tar_or_has_a_type() {
        for (typed, meant) in [
            ("out", "local dest=out"),
            ("-", "tar dest=-"),
            ("type=oci,dest=x.tar", "oci dest=x.tar"),
            ("type=image,\"name=a,b\",push=true", "image name=a,b push=true"),
            ("type=docker", "docker"),
        ] {
            assert_eq!(text(&output(typed).expect(typed)), meant, "{typed}");
        }
        for wrong in ["dest=x,y=z", "type=oci,x", "\"a"] {
            assert!(output(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cache_is_an_image_or_has_a_type() {
        let texts = |typed| cache(typed).expect(typed).iter().map(text).collect::<Vec<_>>();
        assert_eq!(texts("user/app:cache"), ["registry ref=user/app:cache"]);
        assert_eq!(texts("a,b:1"), ["registry ref=a", "registry ref=b:1"]);
        assert_eq!(texts("type=local,src=d"), ["local src=d"]);
        assert!(cache("src=d").is_err());
    }

    #[test]
    fn what_is_said_of_a_result_can_be_switched_off() {
        let meant = |kind, typed| attest(&short_attest(kind, typed)).expect(typed).map(|option| text(&option));
        assert_eq!(meant("provenance", "false"), None);
        assert_eq!(meant("provenance", "mode=max").as_deref(), Some("provenance mode=max"));
        assert_eq!(meant("sbom", "true").as_deref(), Some("sbom"));
        assert!(attest("type=other").is_err() && attest("mode=max").is_err());
    }

    #[test]
    fn annotations_have_levels_and_platforms() {
        for (typed, key) in [
            ("a=b", "annotation.a"),
            ("index:a=b", "annotation-index.a"),
            ("manifest[linux/arm64]:a=b", "annotation-manifest[linux/arm64].a"),
        ] {
            assert_eq!(annotation(typed).expect(typed), (key.to_owned(), "b".to_owned()));
        }
        for wrong in ["a", "what:a=b", "manifest[x:a=b"] {
            assert!(annotation(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_a_file_or_a_variable_and_has_an_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        std::fs::write(&path, "value").expect("written");
        let typed = format!("id=a,src={}", path.display());
        assert_eq!(secret(&typed).expect("a secret"), ("a".to_owned(), STANDARD.encode("value")));
        let path = std::env::var("PATH").expect("set");
        assert_eq!(secret("id=a,type=env,src=PATH").expect("a secret"), ("a".to_owned(), STANDARD.encode(path)));
        for wrong in ["src=x", "id", "id=a,foo=b", "id=a,src=/nonexistent", "id=a,type=x", "id=NOT_SET_ANYWHERE"] {
            assert!(secret(wrong).is_err(), "{wrong}");
        }
    }
}
