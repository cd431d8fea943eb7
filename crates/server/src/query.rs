//! Query parameters, read as Docker reads them.

use crate::status::Refusal;
use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;

/// All parameters, in order; a key may come several times.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of `uri`.
    pub fn of(uri: &Uri) -> Result<Query, Refusal> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        pairs.map(|pairs| Query(pairs.0)).map_err(|e| Refusal::invalid(e.to_string()))
    }

    /// The first value of `key`; empty when missing.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v)
    }

    /// The first value of `key`, unless it is missing or empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        Some(self.get(key)).filter(|v| !v.is_empty())
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// Everything but an empty text, `0`, `no`, `false` and `none` is true (moby, httputils.BoolValue).
    pub fn flag(&self, key: &str) -> bool {
        !matches!(self.get(key).trim().to_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// [`Query::flag`], or `default` when missing.
    pub fn flag_or(&self, key: &str, default: bool) -> bool {
        if self.has(key) { self.flag(key) } else { default }
    }

    /// A number, refused in Go's words.
    pub fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let wrong = || Refusal::invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax"));
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// Rows and columns of a terminal, `h` and `w`.
    pub fn size(&self) -> Result<(u16, u16), Refusal> {
        Ok((self.side("h", "height")?, self.side("w", "width")?))
    }

    fn side(&self, key: &str, name: &str) -> Result<u16, Refusal> {
        let text = self.get(key);
        let number = text.parse::<u32>();
        let number = number.map_err(|_| Refusal::invalid(format!("invalid resize {name} {text:?}: invalid syntax")))?;
        Ok(u16::try_from(number).unwrap_or(u16::MAX))
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Query, Refusal> {
        Query::of(&parts.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        let uri = format!("/x?{text}").parse().expect("a uri");
        Query::of(&uri).expect("a query")
    }

    #[test]
    fn flags_are_dockers() {
        for text in ["a=1", "a=true", "a=yes", "a=2", "a=T"] {
            assert!(query(text).flag("a"), "{text}");
        }
        for text in ["", "a=", "a=0", "a=No", "a=false", "a=none"] {
            assert!(!query(text).flag("a"), "{text}");
        }
        assert!(query("b=1").flag_or("a", true));
        assert!(!query("a=0").flag_or("a", true));
    }

    #[test]
    fn keys_may_repeat_and_are_decoded() {
        let query = query("changes=CMD+%5B%22sh%22%5D&changes=ENV+A%3Db");
        assert_eq!(query.all("changes").collect::<Vec<_>>(), ["CMD [\"sh\"]", "ENV A=b"]);
    }

    #[test]
    fn wrong_numbers_are_refused() {
        assert!(query("t=x").number("t").is_err());
        assert_eq!(query("t=-1").number("t").ok(), Some(Some(-1)));
        assert!(query("h=-1&w=3").size().is_err());
        assert!(query("h=10").size().is_err());
        assert_eq!(query("h=70000&w=3").size().ok(), Some((u16::MAX, 3)));
    }
}
