//! Names of signals, as people write them (signal(7), generic numbering: x86 and ARM).

/// Number and name without `SIG`; the first of several names for a number is the one that is shown.
const NAMES: [(i32, &str); 35] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (6, "IOT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (17, "CHLD"),
    (17, "CLD"),
    (18, "CONT"),
    (19, "STOP"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (23, "URG"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (29, "POLL"),
    (30, "PWR"),
    (31, "SYS"),
    (31, "UNUSED"),
];

/// The first real-time signal that the C library leaves to programs, and the last.
const REALTIME_FIRST: i32 = 34;
const REALTIME_LAST: i32 = 64;

/// `KILL`, `SIGKILL`, `9`, `RTMIN+3` or `RTMAX-1`, in either case; `None` for what is no signal from 1 to 64.
pub fn parse(text: &str) -> Option<i32> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=REALTIME_LAST).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number).or_else(|| realtime(name))
}

fn realtime(name: &str) -> Option<i32> {
    let offset = |text: &str, sign: char| match text {
        "" => Some(0),
        text => {
            text.strip_prefix(sign).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse::<i32>().ok()
        }
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => REALTIME_FIRST.checked_add(offset(rest, '+')?)?,
        (_, Some(rest)) => REALTIME_LAST.checked_sub(offset(rest, '-')?)?,
        _ => return None,
    };
    (REALTIME_FIRST..=REALTIME_LAST).contains(&number).then_some(number)
}

/// `SIGKILL` for 9, `SIGRTMIN+3` for 37, the number itself for what has no name.
pub fn name(number: i32) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == number) {
        return format!("SIG{name}");
    }
    match number {
        REALTIME_FIRST => "SIGRTMIN".to_owned(),
        REALTIME_LAST => "SIGRTMAX".to_owned(),
        35..64 => format!("SIGRTMIN+{}", number - REALTIME_FIRST),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_name_and_number_in_either_case() {
        for (text, number) in [
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("9", 9),
            ("64", 64),
            ("SIGCLD", 17),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("RTMAX", 64),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "0",
            "65",
            "-9",
            "+9",
            "SIG",
            "FOO",
            "RTMIN+",
            "RTMIN+31",
            "RTMIN-1",
            "RTMAX-31",
            "RTMIN++1",
            "99999999999999",
            "SIGSIGKILL",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_signal_survives_its_own_name() {
        for number in (1..=31).chain(34..=64) {
            assert_eq!(parse(&name(number)), Some(number));
        }
        assert_eq!(name(99), "99");
    }
}
