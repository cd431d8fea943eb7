//! Lines of progress, in Docker's words.

use api::types::{Progress, ProgressDetail};

/// A line about no layer.
pub fn message(text: impl Into<String>) -> Progress {
    Progress { status: Some(text.into()), ..Progress::default() }
}

/// The state of a layer.
pub fn state(id: &str, text: impl Into<String>) -> Progress {
    Progress { id: Some(id.to_owned()), progress_detail: Some(ProgressDetail::default()), ..message(text) }
}

/// How far a layer is, with a bar for clients that draw none.
pub fn bytes(id: &str, text: &str, current: u64, total: u64) -> Progress {
    Progress {
        progress_detail: Some(ProgressDetail {
            current: Some(current).filter(|bytes| *bytes > 0),
            total: Some(total).filter(|bytes| *bytes > 0),
        }),
        progress: Some(bar(current, total)).filter(|bar| !bar.is_empty()),
        ..state(id, text)
    }
}

/// Docker's bar for a wide terminal (moby, pkg/jsonmessage).
fn bar(current: u64, total: u64) -> String {
    if total == 0 {
        return if current == 0 { String::new() } else { format!("{:>8}", size(current)) };
    }
    let filled = usize::try_from((u128::from(current) * 100 / u128::from(total)) / 2).unwrap_or(50).min(50);
    let numbers = match current > total {
        true => format!("{:>8}", size(current)),
        false => format!("{:>8}/{}", size(current), size(total)),
    };
    format!("[{}>{}] {numbers}", "=".repeat(filled), " ".repeat(50 - filled))
}

/// `4.066MB`: four digits, decimal units (go-units, HumanSize).
#[allow(clippy::cast_precision_loss)]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1000.0 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1000.0, next);
    }
    let whole = format!("{value:.0}").len();
    let text = format!("{value:.*}", 4_usize.saturating_sub(whole));
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Progress) -> String {
        serde_json::to_string(line).expect("json")
    }

    #[test]
    fn lines_are_those_of_dockerd() {
        assert_eq!(text(&message("Digest: x")), r#"{"status":"Digest: x"}"#);
        assert_eq!(
            text(&state("208d1aae0017", "Pull complete")),
            r#"{"status":"Pull complete","progressDetail":{},"id":"208d1aae0017"}"#
        );
        assert_eq!(
            text(&bytes("208d1aae0017", "Downloading", 69213, 4_065_669)),
            r#"{"status":"Downloading","progressDetail":{"current":69213,"total":4065669},"progress":"[>                                                  ]  69.21kB/4.066MB","id":"208d1aae0017"}"#
        );
        assert_eq!(
            text(&bytes("a", "Pushing", 4_986_880, 4_982_256)),
            r#"{"status":"Pushing","progressDetail":{"current":4986880,"total":4982256},"progress":"[==================================================>]  4.987MB","id":"a"}"#
        );
    }

    #[test]
    fn a_length_that_is_not_known_has_no_bar() {
        assert_eq!(bytes("a", "x", 2048, 0).progress.as_deref(), Some(" 2.048kB"));
        assert_eq!(bytes("a", "x", 0, 0).progress, None);
    }

    #[test]
    fn sizes_have_four_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (65_536, "65.54kB"),
            (3_723_264, "3.723MB"),
            (200_000_000, "200MB"),
            (1_234_567_890_123, "1.235TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
