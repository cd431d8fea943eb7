//! Names that match a pattern, as Go's `filepath.Match` has it: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a letter that is meant
//! as it is.

/// A broken pattern.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// Whether a part of a path has letters that are not meant as they are.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// Whether one name (without `/`) matches one part of a pattern.
pub fn matches(pattern: &str, name: &str) -> Result<bool, Broken> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    whole(&pattern, &name)
}

/// Goes on after the latest `*` with one letter more of it, so the time is the product of the lengths at most.
fn whole(pattern: &[char], name: &[char]) -> Result<bool, Broken> {
    let (mut at, mut letter) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while letter < name.len() || at < pattern.len() {
        if at < pattern.len() && pattern[at] == '*' {
            star = Some((at, letter));
            at += 1;
            continue;
        }
        if at < pattern.len() {
            let (length, fits) = one(&pattern[at..], name.get(letter).copied())?;
            if fits && letter < name.len() {
                at += length;
                letter += 1;
                continue;
            }
        }
        match star {
            Some((back, from)) if from < name.len() => {
                at = back + 1;
                letter = from + 1;
                star = Some((back, letter));
            }
            _ => return check(&pattern[at..]).map(|()| false),
        }
    }
    Ok(true)
}

/// How long the first element of a pattern is, and whether a letter fits it.
fn one(pattern: &[char], letter: Option<char>) -> Result<(usize, bool), Broken> {
    match pattern[0] {
        '?' => Ok((1, letter.is_some())),
        '\\' => pattern.get(1).map(|meant| (2, letter == Some(*meant))).ok_or(Broken),
        '[' => set(pattern, letter),
        plain => Ok((1, letter == Some(plain))),
    }
}

fn set(pattern: &[char], letter: Option<char>) -> Result<(usize, bool), Broken> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let (mut fits, mut ranges) = (false, 0);
    loop {
        if pattern.get(at) == Some(&']') && ranges > 0 {
            return Ok((at + 1, letter.is_some() && fits != negated));
        }
        let low = member(pattern, &mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&'-') {
            at += 1;
            high = member(pattern, &mut at)?;
        }
        fits |= letter.is_some_and(|letter| (low..=high).contains(&letter));
        ranges += 1;
    }
}

fn member(pattern: &[char], at: &mut usize) -> Result<char, Broken> {
    let found = *pattern.get(*at).ok_or(Broken)?;
    *at += 1;
    match found {
        '-' | ']' => Err(Broken),
        '\\' => {
            let meant = *pattern.get(*at).ok_or(Broken)?;
            *at += 1;
            Ok(meant)
        }
        plain => Ok(plain),
    }
}

/// Whether the rest of a pattern that does not match is one at all.
fn check(mut pattern: &[char]) -> Result<(), Broken> {
    while let [first, rest @ ..] = pattern {
        if *first == '*' {
            pattern = rest;
            continue;
        }
        let (length, _) = one(pattern, None)?;
        pattern = &pattern[length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("a?c", "abc", true),
            ("a?", "a", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^e-g]", "abc", true),
            ("ab[^b-d]", "abc", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("[\\]a]", "]", true),
            ("[x-]", "x", false),
        ] {
            let found = matches(pattern, name);
            if pattern == "[x-]" {
                assert_eq!(found, Err(Broken));
            } else {
                assert_eq!(found, Ok(expected), "{pattern} {name}");
            }
        }
        for broken in ["[", "[]a]", "a\\", "[a", "[-]"] {
            assert_eq!(matches(broken, "a"), Err(Broken), "{broken}");
        }
    }
}
