//! Platforms in words, as far as a Dockerfile needs them: `linux/arm64/v8`.

use oci::image::Platform;

const SYSTEMS: [&str; 10] =
    ["linux", "windows", "darwin", "freebsd", "openbsd", "netbsd", "dragonfly", "android", "ios", "solaris"];

/// `os/architecture[/variant]`.
pub(crate) fn text(platform: &Platform) -> String {
    if platform.os.is_empty() {
        return "unknown".to_owned();
    }
    let parts = [Some(&platform.os), Some(&platform.architecture), platform.variant.as_ref()];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// The system and the architecture that a specifier names, the one or the other being `host`'s when only one is named. `None` for
/// what is no specifier.
pub(crate) fn named(text: &str, host: &Platform) -> Option<(String, String)> {
    let lower = text.to_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    // A version of the system may stand behind it in parentheses.
    let system = parts[0].split('(').next().unwrap_or_default();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !std::iter::once(&system).chain(&parts[1..]).all(word) {
        return None;
    }
    let system = if system == "macos" { "darwin" } else { system };
    match parts.as_slice() {
        [_] if SYSTEMS.contains(&system) => Some((system.to_owned(), host.architecture.clone())),
        [architecture] => Some((host.os.clone(), plain(architecture))),
        [_, architecture] | [_, architecture, _] => Some((system.to_owned(), plain(architecture))),
        _ => None,
    }
}

fn plain(architecture: &str) -> String {
    match architecture {
        "i386" => "386",
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "armhf" | "armel" => "arm",
        other => other,
    }
    .to_owned()
}
