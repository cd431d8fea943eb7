//! One record of comma-separated values, as the `--mount` flag has it.

/// The fields: `a,"b,""c""",d`. Like Go's reader, whose errors these are.
pub fn fields(text: &str) -> Result<Vec<String>, String> {
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err("EOF".to_owned());
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let at = text.len() - rest.len();
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, at + 1)?,
            None => bare_field(rest, at)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn bare_field(text: &str, at: usize) -> Result<(String, Option<&str>), String> {
    let (field, after) = text.split_once(',').map_or((text, None), |(field, after)| (field, Some(after)));
    match field.find('"') {
        Some(quote) => Err(format!("parse error on line 1, column {}: bare \" in non-quoted-field", at + quote + 1)),
        None => Ok((field.to_owned(), after)),
    }
}

fn quoted_field(whole: &str, at: usize) -> Result<(String, Option<&str>), String> {
    let wrong = |rest: &str, back: usize| {
        let column = at + whole.len() - rest.len() - back + 1;
        format!("parse error on line 1, column {column}: extraneous or missing \" in quoted-field")
    };
    let (mut text, mut field) = (whole, String::new());
    loop {
        let Some((part, after)) = text.split_once('"') else { return Err(wrong(text, 0)) };
        field.push_str(part);
        match after.chars().next() {
            None => return Ok((field, None)),
            Some(',') => return Ok((field, Some(&after[1..]))),
            Some('"') => field.push('"'),
            Some(_) => return Err(wrong(after, 1)),
        }
        text = &after[1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_record() {
        assert_eq!(fields("type=cache,target=/a"), Ok(vec!["type=cache".into(), "target=/a".into()]));
        assert_eq!(fields("\"a,b\",\"c\"\"d\","), Ok(vec!["a,b".into(), "c\"d".into(), String::new()]));
    }

    #[test]
    fn says_where_a_quote_is_wrong() {
        let wrong = |text| fields(text).unwrap_err();
        assert_eq!(wrong("a,b\"c"), "parse error on line 1, column 4: bare \" in non-quoted-field");
        assert_eq!(wrong("\"a"), "parse error on line 1, column 2: extraneous or missing \" in quoted-field");
        assert_eq!(wrong("\"a\"b"), "parse error on line 1, column 3: extraneous or missing \" in quoted-field");
        assert_eq!(wrong(""), "EOF");
    }
}
