//! Lengths of time in the words that docker uses (go-units' `HumanDuration`), on both sides of the API.

/// `About a minute`, `3 hours`, `2 weeks`: how long `seconds` are, roughly.
pub fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Rounded to the nearest hour.
    let hours = (seconds + 1800).div_euclid(3600);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}
