//! `--platform`: what was typed becomes the JSON that the engine is asked with (containerd's rules).

use serde::Serialize;

use crate::failure::Failure;

/// A platform of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Platform {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
}

const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];
const ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// `os`, `architecture`, `os/architecture` or `os/architecture/variant`.
    ///
    /// # Errors
    /// docker's sentence for what is none of them.
    pub fn parse(text: &str) -> Result<Platform, Failure> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        if let Some(part) = parts.iter().find(|part| !word(part)) {
            return Err(Failure::said(format!("{part:?} is an invalid component of {text:?}: invalid argument")));
        }
        let made = |os: &str, (architecture, variant): (String, String)| Platform {
            architecture,
            os: if os == "macos" { "darwin".to_owned() } else { os.to_owned() },
            variant,
        };
        let first = parts[0].to_lowercase();
        match parts.as_slice() {
            [_] if SYSTEMS.contains(&first.as_str()) => Ok(made(&first, architecture(std::env::consts::ARCH, ""))),
            [only] => {
                let found = without_default(architecture(only, ""));
                if !ARCHITECTURES.contains(&found.0.as_str()) {
                    return Err(Failure::said(format!(
                        "{text:?}: unknown operating system or architecture: invalid argument"
                    )));
                }
                Ok(made("linux", found))
            }
            [_, arch] => Ok(made(&first, without_default(architecture(arch, "")))),
            [_, arch, variant] => Ok(made(
                &first,
                match architecture(arch, variant) {
                    (arch, variant) if arch == "arm64" && variant.is_empty() => (arch, "v8".to_owned()),
                    found => found,
                },
            )),
            _ => Err(Failure::said(format!("{text:?}: cannot parse platform specifier: invalid argument"))),
        }
    }

    /// As the engine wants it in a query.
    pub fn json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// The JSON of a `--platform` that may not be given.
pub fn asked(text: Option<&str>) -> Result<Option<String>, Failure> {
    match text.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match Platform::parse(text) {
            Ok(platform) => Ok(Some(platform.json())),
            Err(why) => Err(Failure::said(format!("invalid platform: {why}"))),
        },
    }
}

/// Plain `arm` is `v7`, which is then not said.
fn without_default((architecture, variant): (String, String)) -> (String, String) {
    let variant = if architecture == "arm" && variant == "v7" { String::new() } else { variant };
    (architecture, variant)
}

/// The one spelling of an architecture and its variant.
fn architecture(arch: &str, variant: &str) -> (String, String) {
    let (arch, variant) = (arch.to_lowercase(), variant.to_lowercase());
    let (arch, variant) = match (arch.as_str(), variant.as_str()) {
        ("i386" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (arch.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_one_spelling() {
        for (typed, json) in [
            ("linux/amd64", r#"{"architecture":"amd64","os":"linux"}"#),
            ("Linux/x86_64", r#"{"architecture":"amd64","os":"linux"}"#),
            ("arm64", r#"{"architecture":"arm64","os":"linux"}"#),
            ("linux/arm64/v8", r#"{"architecture":"arm64","os":"linux","variant":"v8"}"#),
            ("linux/arm/v7", r#"{"architecture":"arm","os":"linux","variant":"v7"}"#),
            ("linux/arm", r#"{"architecture":"arm","os":"linux"}"#),
            ("linux/armel", r#"{"architecture":"arm","os":"linux","variant":"v6"}"#),
        ] {
            assert_eq!(Platform::parse(typed).expect(typed).json(), json);
        }
        for text in ["", "nosuch", "a/b/c/d", "linux/", "linux/*"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
        assert_eq!(asked(None).expect("nothing"), None);
        assert_eq!(
            asked(Some("nosuch")).expect_err("no platform").to_string(),
            "invalid platform: \"nosuch\": unknown operating system or architecture: invalid argument"
        );
    }
}
