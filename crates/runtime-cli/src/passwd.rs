//! Names of users, read from /etc/passwd itself: this program is static and calls no name service.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

/// More of the file is not read, in bytes.
const MOST: u64 = 4 << 20;

/// Names that were looked up, so that the file is read once, when it is first needed.
#[derive(Debug, Default)]
pub struct Names {
    known: Option<HashMap<u32, String>>,
}

impl Names {
    /// `#1000` for a user without a name.
    pub fn of(&mut self, uid: u32) -> String {
        let known = self.known.get_or_insert_with(|| parse(&read().unwrap_or_default()));
        known.get(&uid).cloned().unwrap_or_else(|| format!("#{uid}"))
    }
}

fn read() -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open("/etc/passwd")?.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first of several names of a number counts (passwd(5)).
fn parse(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts_and_broken_lines_do_not() {
        let names = parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0:::\nbroken\nx:y:z\nme:x:1000:\n");
        assert_eq!(names.len(), 2);
        assert_eq!(names[&0], "root");
        assert_eq!(names[&1000], "me");
        assert_eq!(Names { known: Some(names) }.of(7), "#7");
    }
}
