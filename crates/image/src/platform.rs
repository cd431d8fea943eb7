//! What machine this is, in the words of images (Go's GOOS and GOARCH).

use crate::Error;
use oci::image::{Image, Platform};

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

/// Whether this machine runs `image` natively. A variant is compared only where the machine has one.
pub fn runs_here(image: &Platform) -> bool {
    let machine = machine_platform();
    let variant = match (&machine.variant, &image.variant) {
        (Some(ours), Some(theirs)) => theirs <= ours,
        _ => true,
    };
    image.os == machine.os && image.architecture == machine.architecture && variant
}

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
