//! `--call` and `--check`: what is asked of a Dockerfile instead of a build, and how the answer is shown.

use crate::failure::Failure;
use crate::grammar::values::switch;
use crate::show::print;
use crate::words::Outcome;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As the engine knows it: `lint`, `outline`, `targets`.
    pub name: String,
    json: bool,
    /// What was found is no failure.
    ignores_status: bool,
}

/// The engine's answer.
#[derive(Debug)]
pub struct Findings {
    pub json: String,
    pub text: String,
    pub status: u8,
}

impl Call {
    /// `NAME[,format=json][,ignorestatus=true]`; `None` for `build`.
    pub fn parse(text: &str) -> Result<Option<Call>, Failure> {
        let mut call = Call { name: String::new(), json: false, ignores_status: false };
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("format", "json")) => call.json = true,
                Some(("format", "text" | "")) => call.json = false,
                Some(("format", other)) => {
                    return Err(Failure::said(format!("invalid format {other:?} of --call: use json or text")));
                }
                Some(("ignorestatus", on)) => {
                    let wrong = |why| Failure::said(format!("invalid ignorestatus print value: {on}: {why}"));
                    call.ignores_status = switch(on).map_err(wrong)?;
                }
                Some(_) => return Err(Failure::said(format!("invalid print field: {field}"))),
                None if call.name.is_empty() => field.clone_into(&mut call.name),
                None => return Err(Failure::said(format!("invalid print value: {text}"))),
            }
        }
        match call.name.as_str() {
            "build" | "" => Ok(None),
            "check" => Ok(Some(Call { name: "lint".to_owned(), ..call })),
            "lint" | "outline" | "targets" | "subrequests.describe" => Ok(Some(call)),
            other => Err(Failure::said(format!(
                "unknown method {other:?} of --call: use build, check, outline, targets or subrequests.describe"
            ))),
        }
    }

    /// Shows what was found, as docker does.
    pub fn print(&self, found: &Findings) -> Outcome {
        if self.json {
            print(format!("{}\n", found.json))?;
        } else if self.name == "lint" {
            self.check(found)?;
        } else {
            print(&found.text)?;
        }
        Ok(if self.ignores_status { 0 } else { found.status })
    }

    fn check(&self, found: &Findings) -> Result<(), Failure> {
        let wrong = |cause| Failure::from(api::client::Error::Malformed(cause));
        let json: serde_json::Value = serde_json::from_str(&found.json).map_err(wrong)?;
        let count = json["warnings"].as_array().map_or(0, Vec::len);
        let head = match count {
            0 => String::new(),
            1 => "Check complete, 1 warning has been found!\n".to_owned(),
            many => format!("Check complete, {many} warnings have been found!\n"),
        };
        print(format!("{head}{}", found.text))?;
        let error = &json["buildError"];
        if error.is_null() {
            return if count == 0 { print("Check complete, no warnings found.\n") } else { Ok(()) };
        }
        if count > 0 {
            print("\n")?;
        }
        let excerpt = found_excerpt(&json);
        Err(Failure::said(
            format!("{}\n{excerpt}", error["message"].as_str().unwrap_or_default()).trim_end().to_owned(),
        ))
    }
}

/// The lines that the error is about.
fn found_excerpt(json: &serde_json::Value) -> String {
    use base64::Engine as _;
    let source = &json["sources"][0];
    let range = &json["buildError"]["location"]["ranges"][0];
    let line = |end: &str| range[end]["line"].as_u64().and_then(|line| usize::try_from(line).ok());
    let (Some(first), Some(last)) = (line("start"), line("end")) else { return String::new() };
    let data = base64::engine::general_purpose::STANDARD.decode(source["data"].as_str().unwrap_or_default());
    let text = String::from_utf8_lossy(&data.unwrap_or_default()).into_owned();
    dockerfile::excerpt(&text, source["filename"].as_str().unwrap_or_default(), dockerfile::Lines { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_has_a_name_and_a_form() {
        let call = |text| Call::parse(text).expect(text);
        assert_eq!(call("build"), None);
        let check = call("check,format=json,ignorestatus=1").expect("a call");
        assert_eq!((check.name.as_str(), check.json, check.ignores_status), ("lint", true, true));
        for wrong in ["a", "outline,targets", "check,format=xml", "check,x=y", "check,ignorestatus=maybe"] {
            assert!(Call::parse(wrong).is_err(), "{wrong}");
        }
    }
}
