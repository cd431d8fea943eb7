//! The patterns people put in `name=` filters: a small part of Go's regular expressions.
//!
//! Understood: `^ $ . * + ? | [...] \x`. Everything else stands for itself.

/// A pattern: alternatives, each a list of pieces.
#[derive(Debug)]
pub struct Pattern(Vec<Vec<Piece>>);

#[derive(Debug)]
struct Piece {
    what: What,
    /// How often at least and at most.
    least: usize,
    most: usize,
}

#[derive(Debug)]
enum What {
    Start,
    End,
    Any,
    One(char),
    /// (negated, inclusive ranges)
    Class(bool, Vec<(char, char)>),
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let mut alternatives = vec![Vec::new()];
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == '|' {
                alternatives.push(Vec::new());
                continue;
            }
            let what = match letter {
                '^' => What::Start,
                '$' => What::End,
                '.' => What::Any,
                '[' => class(&mut letters),
                '\\' => What::One(letters.next().unwrap_or('\\')),
                other => What::One(other),
            };
            let (least, most) = match letters.peek() {
                Some('*') => (0, usize::MAX),
                Some('+') => (1, usize::MAX),
                Some('?') => (0, 1),
                _ => (1, 1),
            };
            if (least, most) != (1, 1) {
                letters.next();
            }
            if let Some(last) = alternatives.last_mut() {
                last.push(Piece { what, least, most });
            }
        }
        Pattern(alternatives)
    }

    /// A glob over a whole name: `*` and `?` stop at slashes.
    pub fn of_glob(text: &str) -> Pattern {
        let not_slash = || What::Class(true, vec![('/', '/')]);
        let piece = |what, least, most| Piece { what, least, most };
        let mut pieces = vec![piece(What::Start, 1, 1)];
        pieces.extend(text.chars().map(|letter| match letter {
            '*' => piece(not_slash(), 0, usize::MAX),
            '?' => piece(not_slash(), 1, 1),
            other => piece(What::One(other), 1, 1),
        }));
        pieces.push(piece(What::End, 1, 1));
        Pattern(vec![pieces])
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_in(&self, text: &str) -> bool {
        let letters: Vec<char> = text.chars().collect();
        self.0.iter().any(|pieces| (0..=letters.len()).any(|at| matches(pieces, &letters, at, &mut 10_000)))
    }
}

fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> What {
    let negated = letters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while let Some(from) = letters.next() {
        if from == ']' && !ranges.is_empty() {
            break;
        }
        let mut ahead = letters.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                *letters = ahead;
                ranges.push((from, to));
            }
            _ => ranges.push((from, from)),
        }
    }
    What::Class(negated, ranges)
}

/// Tries the longest repetition first. `budget` bounds the work that a hostile pattern can cause.
fn matches(pieces: &[Piece], letters: &[char], at: usize, budget: &mut usize) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return true };
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    match piece.what {
        What::Start => at == 0 && matches(rest, letters, at, budget),
        What::End => at == letters.len() && matches(rest, letters, at, budget),
        _ => {
            let fitting = letters[at..].iter().take_while(|letter| fits(&piece.what, **letter)).count();
            let most = fitting.min(piece.most);
            (piece.least..=most).rev().any(|count| matches(rest, letters, at + count, budget))
        }
    }
}

fn fits(what: &What, letter: char) -> bool {
    match what {
        What::Any => true,
        What::One(wanted) => *wanted == letter,
        What::Class(negated, ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&letter)) != *negated,
        What::Start | What::End => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_patterns_match() {
        for (pattern, text, found) in [
            ("web", "/web-1", true),
            ("^/web$", "/web", true),
            ("^web$", "/web", false),
            ("^web.*db$", "web-x-db", true),
            ("a|b$", "xb", true),
            ("^[a-c]+$", "abcabc", true),
            ("^[^a]$", "a", false),
            (r"a\.b", "axb", false),
            ("colou?r", "color", true),
            ("", "anything", true),
        ] {
            assert_eq!(Pattern::new(pattern).is_in(text), found, "{pattern} in {text}");
        }
    }

    #[test]
    fn globs_are_of_whole_names() {
        for (glob, text, found) in
            [("busy*", "busybox", true), ("busy", "busybox", false), ("*", "a/b", false), ("a/?", "a/b", true)]
        {
            assert_eq!(Pattern::of_glob(glob).is_in(text), found, "{glob} in {text}");
        }
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = "a*".repeat(40) + "b";
        assert!(!Pattern::new(&pattern).is_in(&"a".repeat(200)));
        for broken in ["[", "[a-", "\\", "*", "**", "|", "[]"] {
            let _ = Pattern::new(broken).is_in("abc");
        }
    }
}
