//! What `WWW-Authenticate` asks for (RFC 9110, 11.6.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// The challenges of one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Challenges(Vec<Challenge>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Challenge {
    /// In lower case.
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub realm: String,
    pub service: String,
    pub scope: String,
}

impl Challenges {
    pub(crate) fn of(headers: &HeaderMap) -> Challenges {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        Challenges(texts.flat_map(parse).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bearer(&self) -> Option<Bearer> {
        let challenge = self.scheme("bearer")?;
        Some(Bearer {
            realm: challenge.get("realm")?.to_owned(),
            service: challenge.get("service").unwrap_or_default().to_owned(),
            scope: challenge.get("scope").unwrap_or_default().to_owned(),
        })
    }

    pub(crate) fn bearer_error(&self) -> Option<&str> {
        self.scheme("bearer")?.get("error")
    }

    pub(crate) fn has_basic(&self) -> bool {
        self.scheme("basic").is_some()
    }

    fn scheme(&self, scheme: &str) -> Option<&Challenge> {
        self.0.iter().find(|challenge| challenge.scheme == scheme)
    }
}

impl Challenge {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One header line: `Scheme key=value, key="value", Scheme key=value`.
fn parse(line: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = line.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        rest = match (after.trim_start().strip_prefix('='), challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = value_of(value.trim_start());
                challenge.parameters.push((word.to_lowercase(), value));
                after
            }
            (Some(_), None) => break,
            (None, _) => {
                challenges.push(Challenge { scheme: word.to_lowercase(), parameters: Vec::new() });
                after
            }
        };
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    challenges
}

fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ',' | '=' | '"')).unwrap_or(text.len());
    text.split_at(end)
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&'static str]) -> Challenges {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_static(line));
        }
        Challenges::of(&headers)
    }

    #[test]
    fn a_bearer_challenge_is_taken_apart() {
        let challenges = of(&[
            r#"Bearer realm="https://auth.example/token?a=b,c",service="reg \"x\"",scope="repository:a/b:pull,push""#,
        ]);
        let bearer = challenges.bearer().unwrap();
        assert_eq!(bearer.realm, "https://auth.example/token?a=b,c");
        assert_eq!(bearer.service, "reg \"x\"");
        assert_eq!(bearer.scope, "repository:a/b:pull,push");
        assert!(!challenges.has_basic());
    }

    #[test]
    fn several_challenges_may_share_a_line_or_not() {
        for lines in [
            &[r#"Basic realm="r", Bearer realm="https://t" , error=invalid_token"#][..],
            &["Basic", "bearer Realm=https://t,error=invalid_token"],
        ] {
            let challenges = of(lines);
            assert!(challenges.has_basic());
            assert_eq!(challenges.bearer().unwrap().realm, "https://t");
            assert_eq!(challenges.bearer_error(), Some("invalid_token"));
        }
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for line in ["", ",,,", "=", "\"", "Bearer realm", "a=b"] {
            assert!(of(&[line]).bearer().is_none(), "{line}");
        }
    }
}
