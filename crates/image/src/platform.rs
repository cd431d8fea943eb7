//! What machine this is, in the words of images (Go's GOOS and GOARCH).

use crate::Error;
use oci::image::{Descriptor, Image, Platform};

/// The platform of this machine.
pub fn machine_platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", None),
        "aarch64" => ("arm64", Some("v8")),
        "x86" => ("386", None),
        "arm" => ("arm", Some("v7")),
        "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
        "loongarch64" => ("loong64", None),
        other => (other, None),
    };
    Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        variant: variant.map(str::to_owned),
        os_version: None,
    }
}

/// `linux`, `linux/arm64`, `linux/arm/v6`.
pub fn parse(text: &str) -> Result<Platform, Error> {
    let wrong = || Error::InvalidPlatform(text.to_owned());
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() > 3 || !parts.iter().all(|part| word(part)) {
        return Err(wrong());
    }
    let machine = machine_platform();
    Ok(match parts[..] {
        [os] => Platform { os: os.to_lowercase(), ..machine },
        [os, architecture] => {
            Platform { os: os.to_lowercase(), architecture: plain(architecture), variant: None, os_version: None }
        }
        [os, architecture, variant] => Platform {
            os: os.to_lowercase(),
            architecture: plain(architecture),
            variant: Some(variant.to_lowercase()),
            os_version: None,
        },
        _ => return Err(wrong()),
    })
}

/// uname's words for what images call otherwise.
fn plain(architecture: &str) -> String {
    match architecture.to_lowercase().as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        "i386" => "386".to_owned(),
        other => other.to_owned(),
    }
}

/// Of an index, the image for `wanted`: the best that runs there, else one that says nothing about its platform.
/// Attestations have the platform `unknown/unknown` and are so never chosen.
pub fn choose<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let fitting = fitting(wanted);
    let rank = |entry: &Descriptor| match &entry.platform {
        Some(platform) => fitting.iter().position(|fits| same(fits, platform)),
        None => Some(fitting.len()),
    };
    let ranked = entries.iter().filter_map(|entry| Some((rank(entry)?, entry)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry)
}

/// Whether an image is of the very platform that was wanted: no index could give a better one.
pub fn is_best(image: &Image, wanted: &Platform) -> bool {
    same(&normal(wanted), &platform_of(image))
}

/// Whether an image is one of those that could be chosen for `wanted`.
pub fn runs_on(image: &Image, wanted: &Platform) -> bool {
    let platform = platform_of(image);
    fitting(wanted).iter().any(|fits| same(fits, &platform))
}

/// What an image says that it is for.
pub fn platform_of(image: &Image) -> Platform {
    let variant = Some(image.variant.clone()).filter(|variant| !variant.is_empty());
    Platform { architecture: image.architecture.clone(), os: image.os.clone(), variant, os_version: None }
}

/// Whether an image for `own` is one for the very platform that is wanted. A variant is compared where both say one.
pub fn is_for(own: &Platform, wanted: &Platform) -> bool {
    let (own, wanted) = (normal(own), normal(wanted));
    let variants = own.variant.is_none() || wanted.variant.is_none() || own.variant == wanted.variant;
    own.os == wanted.os && own.architecture == wanted.architecture && variants
}

fn same(normal_one: &Platform, other: &Platform) -> bool {
    let other = normal(other);
    (&normal_one.os, &normal_one.architecture, &normal_one.variant) == (&other.os, &other.architecture, &other.variant)
}

/// The platforms whose images run on `wanted`, the best first (containerd, platforms/compare.go, `Only`).
fn fitting(wanted: &Platform) -> Vec<Platform> {
    let wanted = normal(wanted);
    let of = |architecture: &str, variant: Option<String>| Platform {
        architecture: architecture.to_owned(),
        variant,
        ..wanted.clone()
    };
    let version = wanted.variant.as_deref().and_then(|variant| variant.strip_prefix('v')?.parse::<u32>().ok());
    let down = |architecture: &str, from: u32, to: u32| -> Vec<Platform> {
        (to..=from.min(64)).rev().map(|n| of(architecture, Some(format!("v{n}")))).collect()
    };
    let lower = match (wanted.architecture.as_str(), version) {
        ("amd64", version) => {
            let mut all = down("amd64", version.unwrap_or(1).saturating_sub(1), 2);
            all.extend([of("amd64", None), of("386", None)]);
            all
        }
        ("arm64", Some(version)) => [down("arm64", version.saturating_sub(1), 8), down("arm", 8, 5)].concat(),
        ("arm", Some(version)) => down("arm", version.saturating_sub(1), 5),
        _ => Vec::new(),
    };
    let mut all = vec![wanted];
    all.extend(lower);
    all
}

/// The one spelling of a platform (containerd, platforms/database.go).
pub fn normal(platform: &Platform) -> Platform {
    let architecture = plain(&platform.architecture);
    let variant = platform.variant.as_deref().unwrap_or_default().to_lowercase();
    let variant = match (architecture.as_str(), variant.as_str()) {
        ("amd64", "" | "v1") => None,
        ("arm64", "" | "8" | "v8.0") => Some("v8".to_owned()),
        ("arm", "") => Some("v7".to_owned()),
        ("arm", "5" | "6" | "7" | "8") => Some(format!("v{variant}")),
        (_, "") => None,
        _ => Some(variant),
    };
    Platform { architecture, os: platform.os.to_lowercase(), variant, os_version: None }
}

/// As BuildKit tells it: without the variant that all machines of an architecture have (containerd, platforms/database.go).
pub fn short(platform: &Platform) -> Platform {
    let normal = normal(platform);
    let is_plain = normal.architecture == "arm64" && normal.variant.as_deref() == Some("v8");
    Platform { variant: normal.variant.filter(|_| !is_plain), ..normal }
}

/// `linux/arm/v7`
pub fn words(platform: &Platform) -> String {
    let mut text = format!("{}/{}", platform.os, platform.architecture);
    if let Some(variant) = &platform.variant {
        text.push('/');
        text.push_str(variant);
    }
    text
}

/// Images of another operating system cannot even be unpacked; those of another architecture can.
pub fn check_os(name: &str, image: &Image) -> Result<(), Error> {
    if image.os.is_empty() || image.os == "linux" {
        return Ok(());
    }
    Err(Error::Platform {
        name: name.to_owned(),
        image: format!("{}/{}", image.os, image.architecture),
        machine: words(&machine_platform()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(platforms: &[&str]) -> Vec<Descriptor> {
        let entry = |(n, text): (usize, &&str)| Descriptor {
            media_type: String::new(),
            digest: base::Digest::from_bytes([0; 32]),
            size: n as u64,
            annotations: Default::default(),
            platform: (!text.is_empty()).then(|| {
                let mut parts = text.split('/').map(str::to_owned);
                Platform {
                    os: parts.next().unwrap(),
                    architecture: parts.next().unwrap(),
                    variant: parts.next(),
                    os_version: None,
                }
            }),
        };
        platforms.iter().enumerate().map(entry).collect()
    }

    /// Which of the platforms is chosen.
    fn chosen<'a>(wanted: &str, platforms: &[&'a str]) -> Option<&'a str> {
        let entries = entries(platforms);
        choose(&entries, &parse(wanted).unwrap()).map(|entry| platforms[usize::try_from(entry.size).unwrap()])
    }

    #[test]
    fn the_best_image_that_runs_is_chosen() {
        let all = [
            "unknown/unknown",
            "windows/amd64",
            "linux/386",
            "linux/arm/v5",
            "linux/arm/v7",
            "linux/arm64",
            "linux/amd64",
            "linux/amd64/v3",
            "linux/s390x",
        ];
        for (wanted, expected) in [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/amd64/v1", Some("linux/amd64")),
            ("linux/amd64/v2", Some("linux/amd64")),
            ("linux/amd64/v4", Some("linux/amd64/v3")),
            ("linux/386", Some("linux/386")),
            ("linux/arm64", Some("linux/arm64")),
            ("linux/arm64/v9", Some("linux/arm64")),
            ("linux/arm", Some("linux/arm/v7")),
            ("linux/arm/v8", Some("linux/arm/v7")),
            ("linux/arm/v6", Some("linux/arm/v5")),
            ("linux/s390x", Some("linux/s390x")),
            ("linux/riscv64", None),
        ] {
            assert_eq!(chosen(wanted, &all), expected, "{wanted}");
        }
        assert_eq!(chosen("linux/amd64", &["linux/386", "linux/arm64"]), Some("linux/386"));
        assert_eq!(chosen("linux/arm64", &["linux/arm/v6", "linux/arm/v7"]), Some("linux/arm/v7"));
        assert_eq!(chosen("linux/amd64", &["", "linux/amd64"]), Some("linux/amd64"));
        assert_eq!(chosen("linux/amd64", &["linux/s390x", ""]), Some(""));
        assert_eq!(chosen("linux/amd64", &["unknown/unknown"]), None);
    }

    #[test]
    fn the_spelling_of_a_platform_does_not_matter() {
        let text = |wanted: &str| words(&normal(&parse(wanted).unwrap()));
        assert_eq!(text("linux/aarch64"), "linux/arm64/v8");
        assert_eq!(text("linux/arm64/8"), "linux/arm64/v8");
        assert_eq!(text("linux/arm"), "linux/arm/v7");
        assert_eq!(text("linux/x86_64"), "linux/amd64");
        assert_eq!(text("linux/ppc64le"), "linux/ppc64le");
    }

    #[test]
    fn platforms_are_read() {
        let read = |text: &str| parse(text).map(|p| words(&p)).ok();
        assert_eq!(read("linux/arm64").as_deref(), Some("linux/arm64"));
        assert_eq!(read("linux/x86_64").as_deref(), Some("linux/amd64"));
        assert_eq!(read("Linux/arm/V6").as_deref(), Some("linux/arm/v6"));
        assert_eq!(read("linux").as_deref(), Some(words(&machine_platform()).as_str()));
        for wrong in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
