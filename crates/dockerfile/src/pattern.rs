//! Patterns in substitutions: `*` and `?`, matched in time that grows with pattern times text.

/// Pattern length times text length beyond which a match is refused rather than waited for.
const MOST_WORK: usize = 50_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// `*`: any characters of a line.
    Any,
    /// `?`: one character other than a newline.
    One,
    Char(char),
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                // Of several in a row one is enough.
                '*' if tokens.last() == Some(&Token::Any) => continue,
                '*' => Token::Any,
                '?' => Token::One,
                // The substitution itself needs these two escaped.
                '\\' if chars.peek().is_some_and(|c| matches!(c, '}' | '/')) => continue,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\')) => Token::Char(c),
                    Some(c) => return Err(format!("invalid escape '\\{c}'")),
                    None => return Err("invalid escape '\\'".to_owned()),
                },
                c => Token::Char(c),
            };
            tokens.push(token);
        }
        Ok(Pattern { tokens })
    }

    pub fn without_shortest_prefix(&self, text: &str) -> Result<String, String> {
        self.affordable(text)?;
        let chars: Vec<char> = text.chars().collect();
        let end = ends(&self.tokens, &chars).next().unwrap_or(0);
        Ok(chars[end..].iter().collect())
    }

    pub fn without_longest_prefix(&self, text: &str) -> Result<String, String> {
        self.affordable(text)?;
        let chars: Vec<char> = text.chars().collect();
        let end = ends(&self.tokens, &chars).last().unwrap_or(0);
        Ok(chars[end..].iter().collect())
    }

    pub fn without_shortest_suffix(&self, text: &str) -> Result<String, String> {
        Ok(reversed(&self.reversed().without_shortest_prefix(&reversed(text))?))
    }

    pub fn without_longest_suffix(&self, text: &str) -> Result<String, String> {
        Ok(reversed(&self.reversed().without_longest_prefix(&reversed(text))?))
    }

    fn reversed(&self) -> Pattern {
        Pattern { tokens: self.tokens.iter().rev().copied().collect() }
    }

    /// The first `most` matches, each as early and then as long as can be, replaced; the result at most `limit` bytes.
    pub fn replace(&self, text: &str, with: &str, most: usize, limit: usize) -> Result<String, String> {
        self.affordable(text)?;
        let chars: Vec<char> = text.chars().collect();
        let (mut out, mut at, mut done) = (String::new(), 0, 0);
        // Where the last match ended: an empty one right there is none.
        let mut after = None;
        while done < most {
            let Some((start, end)) = self.find(&chars, at) else { break };
            let adjacent = start == end && after == Some(start);
            out.extend(&chars[at..start]);
            if !adjacent {
                out.push_str(with);
                done += 1;
            }
            if out.len() > limit {
                return Err(format!("the result is longer than {limit} bytes"));
            }
            after = Some(end);
            at = end;
            if start == end {
                let Some(c) = chars.get(end) else { break };
                out.push(*c);
                at = end + 1;
            }
        }
        out.extend(&chars[at.min(chars.len())..]);
        Ok(out)
    }

    /// The leftmost match from `from` on, the longest one there.
    fn find(&self, chars: &[char], from: usize) -> Option<(usize, usize)> {
        let mut best: Option<(usize, usize)> = None;
        let mut states = States::new(self.tokens.len());
        for at in from..=chars.len() {
            if best.is_none() {
                states.enter(&self.tokens, 0, at);
            }
            if let Some(start) = states.begun[self.tokens.len()]
                && best.is_none_or(|(known, _)| start <= known)
            {
                best = Some((start, at));
            }
            if let Some((start, _)) = best {
                states.forget_later_than(start);
            }
            let Some(c) = chars.get(at).filter(|_| best.is_none() || states.alive()) else { break };
            states = states.after(&self.tokens, *c);
        }
        best
    }

    fn affordable(&self, text: &str) -> Result<(), String> {
        match self.tokens.len().saturating_mul(text.len()) > MOST_WORK {
            true => Err("pattern and value are too long".to_owned()),
            false => Ok(()),
        }
    }
}

/// For each place in a pattern, where the earliest match began that has come there.
struct States {
    begun: Vec<Option<usize>>,
}

impl States {
    fn new(tokens: usize) -> States {
        States { begun: vec![None; tokens + 1] }
    }

    /// A match that began at `start` has come to `place`, and past stars, which may be empty.
    fn enter(&mut self, tokens: &[Token], mut place: usize, start: usize) {
        loop {
            if self.begun[place].is_some_and(|known| known <= start) {
                return;
            }
            self.begun[place] = Some(start);
            if tokens.get(place) != Some(&Token::Any) {
                return;
            }
            place += 1;
        }
    }

    fn after(&self, tokens: &[Token], c: char) -> States {
        let mut next = States::new(tokens.len());
        for (place, start) in self.begun.iter().enumerate() {
            let (Some(start), Some(token)) = (*start, tokens.get(place)) else { continue };
            match token {
                Token::Any if c != '\n' => next.enter(tokens, place, start),
                Token::One if c != '\n' => next.enter(tokens, place + 1, start),
                Token::Char(wanted) if *wanted == c => next.enter(tokens, place + 1, start),
                _ => {}
            }
        }
        next
    }

    fn forget_later_than(&mut self, start: usize) {
        self.begun.iter_mut().filter(|begun| begun.is_some_and(|begun| begun > start)).for_each(|begun| *begun = None);
    }

    fn alive(&self) -> bool {
        self.begun[..self.begun.len() - 1].iter().any(Option::is_some)
    }
}

/// Where matches end that begin at the start, in order.
fn ends<'a>(tokens: &'a [Token], chars: &'a [char]) -> impl Iterator<Item = usize> + 'a {
    let mut states = States::new(tokens.len());
    states.enter(tokens, 0, 0);
    let mut at = 0;
    let mut over = false;
    std::iter::from_fn(move || {
        while !over {
            let (here, matched) = (at, states.begun[tokens.len()].is_some());
            match chars.get(at).filter(|_| states.alive()) {
                Some(c) => states = states.after(tokens, *c),
                None => over = true,
            }
            at += 1;
            if matched {
                return Some(here);
            }
        }
        None
    })
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn trims_shortest_and_longest() {
        assert_eq!(pattern("*/").without_shortest_prefix("a/b/c").unwrap(), "b/c");
        assert_eq!(pattern("*/").without_longest_prefix("a/b/c").unwrap(), "c");
        assert_eq!(pattern("/*").without_shortest_suffix("a/b/c").unwrap(), "a/b");
        assert_eq!(pattern("/*").without_longest_suffix("a/b/c").unwrap(), "a");
        assert_eq!(pattern("x").without_longest_prefix("abc").unwrap(), "abc");
        assert_eq!(pattern(".*.").without_shortest_suffix("a.b.").unwrap(), "a");
    }

    #[test]
    fn replaces_the_leftmost_longest() {
        let replace = |text: &str, value: &str, with, most| pattern(text).replace(value, with, most, 1000).unwrap();
        assert_eq!(replace("b*", "abcbd", "X", 1), "aX");
        assert_eq!(replace("b", "abcbd", "X", usize::MAX), "aXcXd");
        assert_eq!(replace("b?", "abcbd", "-", usize::MAX), "a--");
        assert_eq!(replace("", "ab", "X", usize::MAX), "XaXbX");
        assert_eq!(replace("*", "ab", "X", usize::MAX), "X");
        assert_eq!(replace("z", "ab", "X", usize::MAX), "ab");
        assert_eq!(replace("\\*", "a*b", "", 1), "ab");
    }

    #[test]
    fn a_star_ends_with_the_line() {
        assert_eq!(pattern("a*").without_longest_prefix("ab\ncd").unwrap(), "\ncd");
    }

    #[test]
    fn refuses_other_escapes_and_endless_work() {
        assert_eq!(Pattern::parse("a\\b"), Err("invalid escape '\\b'".to_owned()));
        let long = "a?".repeat(10_000);
        assert!(pattern(&long).replace(&"a".repeat(10_000), "", 1, 100).is_err());
    }
}
