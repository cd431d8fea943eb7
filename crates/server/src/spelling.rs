//! Names of fields as Go's decoder takes them: in any case. A body in which one is written otherwise is put right, once, before
//! anything reads it.
//!
//! Which names there are, and below which of them keys are free (labels, options, ports), the request types themselves tell.

mod merged;
mod names;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use names::{Below, Names};

/// Deeper than any request goes, and as deep as it is read at all.
const DEEPEST: usize = 128;

/// What keys of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Names of fields.
    Fields,
    /// Whatever the client calls it.
    Free,
}

/// What the scan is inside of.
#[derive(Debug, Clone, Copy)]
enum Inside {
    Object(Keys),
    List,
}

/// The body with every known field as it is spelled here, and once: of one that stands there twice, in whatever spelling, the last
/// counts. One that is well spelled, as nearly all are, is only looked at; one that is no JSON stays for others to refuse.
pub fn corrected(body: Bytes) -> Bytes {
    let names = Names::get();
    let (mut misspelled, mut repeated) = (Vec::new(), false);
    scan(&body, names, |found| match found {
        Found::Misspelled(at, name) => misspelled.push((at, name)),
        Found::Repeated => repeated = true,
    });
    let body = if misspelled.is_empty() { body } else { respelled(body, &misspelled) };
    if repeated { merged::merged(&body).unwrap_or(body) } else { body }
}

fn respelled(body: Bytes, misspelled: &[(usize, &'static str)]) -> Bytes {
    let mut body = body.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    for &(at, name) in misspelled {
        // Names that differ in case alone are of one length.
        body[at..at + name.len()].copy_from_slice(name.as_bytes());
    }
    body.freeze()
}

/// What is to be put right.
#[derive(Debug, Clone, Copy)]
enum Found {
    /// Here stands a field that is spelled so.
    Misspelled(usize, &'static str),
    /// A field stands in its object again.
    Repeated,
}

/// Tells where a field is written otherwise than it is spelled, or again.
fn scan(text: &[u8], names: &Names, mut tell: impl FnMut(Found)) {
    let mut inside: Vec<Inside> = Vec::new();
    // The fields of the objects that it is inside of, each with their number.
    let mut seen: Vec<(usize, &'static str)> = Vec::new();
    // What the next object is, and whether the next text is a key.
    let (mut next, mut at_key) = (Keys::Fields, false);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let Some(end) = end_of_text(text, at + 1) else { return };
                if at_key {
                    next = Keys::Fields;
                    if let Some(Inside::Object(Keys::Fields)) = inside.last()
                        && let Some((name, below)) = names.find(&text[at + 1..end])
                    {
                        if name.as_bytes() != &text[at + 1..end] {
                            tell(Found::Misspelled(at + 1, name));
                        }
                        let here = seen.iter().rev().take_while(|(depth, _)| *depth == inside.len());
                        if here.into_iter().any(|(_, earlier)| *earlier == name) {
                            tell(Found::Repeated);
                        }
                        seen.push((inside.len(), name));
                        next = if below == Below::Free { Keys::Free } else { Keys::Fields };
                    }
                    at_key = false;
                }
                at = end;
            }
            b'{' | b'[' if inside.len() >= DEEPEST => return,
            b'{' => {
                inside.push(Inside::Object(next));
                (next, at_key) = (Keys::Fields, true);
            }
            b'[' => {
                inside.push(Inside::List);
                next = Keys::Fields;
            }
            b'}' | b']' => {
                while seen.pop_if(|(depth, _)| *depth >= inside.len()).is_some() {}
                inside.pop();
                (next, at_key) = (Keys::Fields, false);
            }
            b',' => at_key = matches!(inside.last(), Some(Inside::Object(_))),
            _ => {}
        }
        at += 1;
    }
}

/// Where the text that begins at `from` ends: the place of its quote.
fn end_of_text(text: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let found = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text[found] == b'"' {
            return Some(found);
        }
        from = found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrected_text(text: &str) -> String {
        String::from_utf8(corrected(Bytes::from(text.to_owned())).to_vec()).expect("text")
    }

    #[test]
    fn fields_are_put_right_wherever_they_stand() {
        for (written, read) in [
            (r#"{"image":"a","cmd":["b"]}"#, r#"{"Image":"a","Cmd":["b"]}"#),
            (r#"{"IMAGE":"Image","env":["cmd"]}"#, r#"{"Image":"Image","Env":["cmd"]}"#),
            (
                r#"{ "hostconfig" : {"portbindings":{"80/tcp":[{"hostport":"1"}]},"utsmode":"host"}}"#,
                r#"{ "HostConfig" : {"PortBindings":{"80/tcp":[{"HostPort":"1"}]},"UTSMode":"host"}}"#,
            ),
            (
                r#"{"networkingConfig":{"endpointsConfig":{"image":{"ipamconfig":{"ipv4address":"x"}}}}}"#,
                r#"{"NetworkingConfig":{"EndpointsConfig":{"image":{"IPAMConfig":{"IPv4Address":"x"}}}}}"#,
            ),
            (r#"{"mounts":[{"type":"bind"},{"TYPE":"image"}]}"#, r#"{"Mounts":[{"Type":"bind"},{"Type":"image"}]}"#),
            (r#"{"detachKeys":"a","Username":"x"}"#, r#"{"DetachKeys":"a","username":"x"}"#),
            (r#"{"ipam":{"config":[{"subnet":"x"}]}}"#, r#"{"IPAM":{"Config":[{"Subnet":"x"}]}}"#),
        ] {
            assert_eq!(corrected_text(written), read);
        }
    }

    #[test]
    fn of_a_field_that_stands_there_twice_the_last_counts() {
        for (written, read) in [
            (r#"{"Cmd":["a"],"cmd":["b"],"Image":"x"}"#, r#"{"Cmd":["b"],"Image":"x"}"#),
            (r#"{"Cmd":["a"],"Cmd":null}"#, r#"{"Cmd":null}"#),
            (
                r#"{"hostconfig":{"Memory":9223372036854775807,"Binds":["a"]},"HostConfig":{"binds":[],"CpuShares":2}}"#,
                r#"{"HostConfig":{"Binds":[],"CpuShares":2,"Memory":9223372036854775807}}"#,
            ),
            (r#"{"Labels":{"a":"1"},"labels":{"b":"2"}}"#, r#"{"Labels":{"a":"1","b":"2"}}"#),
        ] {
            assert_eq!(corrected_text(written), read);
        }
        for text in
            [r#"{"Mounts":[{"Type":"a"},{"Type":"b"}]}"#, r#"{"Labels":{"a":"1","a":"2"}}"#, r#"{"Cmd":1,"Cmd":}"#]
        {
            assert_eq!(corrected_text(text), text);
        }
    }

    #[test]
    fn what_clients_name_themselves_stays() {
        for text in [
            r#"{"Labels":{"image":"x","cmd":"y","name":"z"}}"#,
            r#"{"HostConfig":{"LogConfig":{"Type":"x","Config":{"tag":"t","labels":"image","env":"y"}}}}"#,
            r#"{"HostConfig":{"Sysctls":{"hostname":"a"},"StorageOpt":{"size":"1"},"Annotations":{"user":"b"}}}"#,
            r#"{"Options":{"driver":"a"},"DriverOpts":{"type":"nfs","o":"x","device":"y"}}"#,
            r#"{"ExposedPorts":{"image":{}},"Volumes":{"volumes":{}}}"#,
            r#"{"nosuch":1,"Cmd":["{\"image\":1}","\\\"cmd\\"],"Env":["image","cmd"]}"#,
            r#""image""#,
            "",
        ] {
            assert_eq!(corrected_text(text), text);
        }
        // Go's decoder knows "labels" in any case, and then nothing below it.
        assert_eq!(corrected_text(r#"{"labels":{"labels":"x"},"tty":1}"#), r#"{"Labels":{"labels":"x"},"Tty":1}"#);
    }

    #[test]
    fn what_is_no_json_is_left_to_others() {
        for text in ["{", "{\"", "{\"image", "{\"a\\", "]}", "{]\"image\"", "\\", &"[".repeat(100_000)] {
            corrected_text(text);
        }
    }
}
