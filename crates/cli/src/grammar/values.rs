//! The values of flags as Go's flag parser reads them: switches, numbers, sizes, durations, processors.

/// `true` and `false` in the spellings of Go's `strconv.ParseBool`.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A whole number.
pub fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|cause: std::num::ParseIntError| {
        let why = match cause.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {why}")
    })
}

/// Bytes from `64m`, `1.5g`, `2GiB`, ...: powers of 1024 (go-units `RAMInBytes`).
pub fn bytes(text: &str) -> Result<i64, String> {
    let wrong = || format!("invalid size: '{text}'");
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(wrong)?;
    let (number, suffix) = (text[..=end].trim_end_matches(' '), &text[end + 1..]);
    let number: f64 = number.parse().map_err(|_| format!("strconv.ParseFloat: parsing {number:?}: invalid syntax"))?;
    if number.is_sign_negative() || !number.is_finite() {
        return Err(wrong());
    }
    let factor = factor(suffix).ok_or_else(|| format!("invalid suffix: '{suffix}'"))?;
    // A float beyond i64 saturates, which no limit of the kernel's tells from the real value.
    #[allow(clippy::cast_possible_truncation)]
    Ok((number * factor) as i64)
}

fn factor(suffix: &str) -> Option<f64> {
    let lower = suffix.to_ascii_lowercase();
    let mut letters = lower.chars();
    let Some(first) = letters.next() else { return Some(1.0) };
    let rest = letters.as_str();
    if first == 'b' {
        return rest.is_empty().then_some(1.0);
    }
    let power = "kmgtpezy".find(first)? + 1;
    let power = i32::try_from(power).ok()?;
    matches!(rest, "" | "b" | "ib").then(|| 1024f64.powi(power))
}

/// As [`bytes`], and `-1` for no limit.
pub fn bytes_or_unlimited(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// Billionths of a processor from `0.5`, `2`, `.25`.
pub fn nano_cpus(text: &str) -> Result<i64, String> {
    let wrong = || format!("failed to parse {text} as a rational number");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let part = part.trim_end_matches('0');
    if part.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000_000_000).and_then(|nano| nano.checked_add(part)).ok_or_else(wrong)
}

/// Nanoseconds from `1m30s`, `100ms`, `1.5h` (Go's `time.ParseDuration`).
pub fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..number_end].parse().map_err(|_| wrong())?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..unit_end];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let scale = nanoseconds(unit).ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        total += number * scale;
        rest = &rest[unit_end..];
    }
    // Durations beyond 292 years saturate; the engine refuses them anyway.
    #[allow(clippy::cast_possible_truncation)]
    Ok((sign * total).round() as i64)
}

fn nanoseconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

/// `KEY=VALUE` or `KEY`, for `--env`; a key alone is looked up when the plan is made.
pub fn variable(text: &str) -> Result<String, String> {
    match text.split('=').next() {
        None | Some("") => Err(format!("invalid environment variable: {text}")),
        Some(_) => Ok(text.to_owned()),
    }
}

/// `KEY=VALUE` or `KEY`, for `--label`.
pub fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid label '{text}': empty name"));
    }
    Ok(text.to_owned())
}

/// `HOST:IP` or `HOST=IP`, for `--add-host`; becomes `HOST:IP`.
pub fn extra_host(text: &str) -> Result<String, String> {
    let wrong = || format!("bad format for add-host: {text:?}");
    let (host, ip) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(wrong)?;
    if host.is_empty() {
        return Err(wrong());
    }
    if ip == "host-gateway" {
        return Ok(format!("{host}:{ip}"));
    }
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    match bare.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(format!("{host}:{bare}")),
        Err(_) => Err(format!("invalid IP address in add-host: {ip:?}")),
    }
}

/// An IP address, for `--dns`.
pub fn address(text: &str) -> Result<String, String> {
    match text.trim().parse::<std::net::IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

/// A domain, or `.` for none, for `--dns-search`.
pub fn domain(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed == "." {
        return Ok(trimmed.to_owned());
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let name = trimmed.strip_suffix('.').unwrap_or(trimmed);
    if name.len() < 255 && name.bytes().any(|b| b.is_ascii_alphabetic()) && name.split('.').all(label) {
        return Ok(trimmed.to_owned());
    }
    Err(format!("{text} is not a valid domain"))
}

/// One of the three standard streams, for `--attach`.
pub fn stream(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "stdin" | "stdout" | "stderr" => Ok(lower),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

/// `KEY=VALUE` of a sysctl that a namespace isolates.
pub fn sysctl(text: &str) -> Result<String, String> {
    const NAMES: [&str; 6] =
        ["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"];
    const MORE: [&str; 2] = ["kernel.shmmni", "kernel.shm_rmid_forced"];
    let allowed = text.split_once('=').is_some_and(|(key, _)| {
        NAMES.contains(&key) || MORE.contains(&key) || key.starts_with("net.") || key.starts_with("fs.mqueue.")
    });
    if allowed { Ok(text.to_owned()) } else { Err(format!("sysctl '{text}' is not allowed")) }
}

/// `KEY=VALUE` of a `--filter`.
pub fn filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_lowercase(), value.trim().to_owned())),
        None => Err("bad format of filter (expected name=value)".to_owned()),
    }
}

/// One limit of `--ulimit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// `NAME=SOFT[:HARD]`, `-1` for no limit.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let wrong = || format!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (integer(soft)?, integer(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// A rate or weight of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAmount {
    pub path: String,
    pub amount: i64,
}

fn device_amount(text: &str, read: impl Fn(&str) -> Option<i64>) -> Result<DeviceAmount, String> {
    let (path, amount) =
        text.split_once(':').filter(|(path, _)| !path.is_empty()).ok_or(format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    let wrong = || {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    };
    Ok(DeviceAmount { path: path.to_owned(), amount: read(amount).ok_or_else(wrong)? })
}

/// `/dev/NAME:RATE` with a size unit.
pub fn device_bytes(text: &str) -> Result<DeviceAmount, String> {
    device_amount(text, |amount| bytes(amount).ok())
}

/// `/dev/NAME:NUMBER`.
pub fn device_number(text: &str) -> Result<DeviceAmount, String> {
    device_amount(text, |amount| amount.parse::<u32>().ok().map(i64::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, size) in [
            ("0", 0),
            ("64m", 64 << 20),
            ("1g", 1 << 30),
            ("1.5g", 3 << 29),
            ("32MB", 32 << 20),
            ("1GiB", 1 << 30),
            ("7b", 7),
            ("5 k", 5 << 10),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "m", "1x", "1mbb", "1bb", "-1", "1.2.3m", "infm", "nan", "1kbb"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(bytes_or_unlimited("-1"), Ok(-1));
        assert_eq!(bytes("99999999y"), Ok(i64::MAX));
    }

    #[test]
    fn processors_are_exact() {
        for (text, nano) in [
            ("0.5", 500_000_000),
            ("2", 2_000_000_000),
            (".25", 250_000_000),
            ("1.333", 1_333_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(nano_cpus(text), Ok(nano), "{text}");
        }
        for text in ["", ".", "abc", "-1", "1e3", "0.0000000001", "99999999999999999999"] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_gos() {
        for (text, nano) in [
            ("0", 0),
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("-2s", -2_000_000_000),
            ("3us", 3_000),
            ("1µs", 1_000),
        ] {
            assert_eq!(duration(text), Ok(nano), "{text}");
        }
        for text in ["", "5", "5x", "s", "1..2s", "-"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_names_and_hosts_are_checked() {
        assert_eq!(ulimit("nofile=10:20"), Ok(Ulimit { name: "nofile".to_owned(), soft: 10, hard: 20 }));
        assert_eq!(ulimit("core=-1"), Ok(Ulimit { name: "core".to_owned(), soft: -1, hard: -1 }));
        for text in ["foo", "foo=1", "nofile=20:10", "nofile=a", "nofile=-1:5"] {
            assert!(ulimit(text).is_err(), "{text}");
        }
        for (text, host) in
            [("a:1.2.3.4", "a:1.2.3.4"), ("b=::1", "b:::1"), ("d=[::2]", "d:::2"), ("c:host-gateway", "c:host-gateway")]
        {
            assert_eq!(extra_host(text).as_deref(), Ok(host));
        }
        for text in ["foo", ":1.2.3.4", "a:b"] {
            assert!(extra_host(text).is_err(), "{text}");
        }
        assert!(domain(".").is_ok() && domain("a-b.example.").is_ok());
        assert!(domain("a b").is_err() && domain("-a.b").is_err() && domain("1.2").is_err());
        assert!(
            sysctl("net.core.somaxconn=1").is_ok() && sysctl("kernel.panic=1").is_err() && sysctl("net.x").is_err()
        );
        assert!(
            device_bytes("/dev/sda:1mb").is_ok()
                && device_bytes("sda:1").is_err()
                && device_number("/dev/sda:-1").is_err()
        );
    }
}
