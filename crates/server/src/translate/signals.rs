//! Names of signals (signal(7)), as `--stop-signal` and `kill --signal` take them.

const NAMES: [&str; 33] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL",
    "PWR", "SYS",
];

/// Whether `text` is a signal: a number from 1 to 64, a name with or without `SIG`, or `RTMIN+3`, `RTMAX-2`.
pub fn is_known(text: &str) -> bool {
    if let Ok(number) = text.parse::<u32>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.contains(&name) || is_realtime(name)
}

fn is_realtime(name: &str) -> bool {
    let offset = name.strip_prefix("RTMIN").map(|rest| (rest, '+', 15)).or_else(|| Some((name.strip_prefix("RTMAX")?, '-', 14)));
    let Some((rest, sign, most)) = offset else { return false };
    rest.is_empty() || rest.strip_prefix(sign).and_then(|n| n.parse::<u32>().ok()).is_some_and(|n| n <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_signals() {
        for text in ["SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-1", "RTMIN", "64"] {
            assert!(is_known(text), "{text}");
        }
        for text in ["", "0", "65", "SIG", "SIGNOPE", "RTMIN+16", "RTMIN-1", "-9"] {
            assert!(!is_known(text), "{text}");
        }
    }
}
