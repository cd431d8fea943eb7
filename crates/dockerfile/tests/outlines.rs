//! Targets, and what a target uses.

use dockerfile::ignore::Ignore;
use dockerfile::lint::{ImageFacts, Surroundings};
use dockerfile::outline::{outline, targets};
use dockerfile::{BuildArguments, parse};

struct Nothing;

impl Surroundings for Nothing {
    fn image(&self, _: &str, _: Option<&str>) -> Option<ImageFacts> {
        None
    }

    fn is_image_name(&self, _: &str) -> bool {
        true
    }

    fn ignore(&self) -> Option<&Ignore> {
        None
    }
}

const FILE: &str = "# V is the version\nARG V=1\nARG W=$V.0\nARG UNUSED\nFROM b:$W AS base\n# mode of work\nARG mode=fast\n# release builds all\nFROM base AS release\nRUN --mount=type=secret,id=key,required --mount=type=ssh true\nFROM b AS other\nARG FAR=1\nFROM release\nCOPY --from=other x y\n";

#[test]
fn lists_targets() {
    let file = parse(FILE.as_bytes()).unwrap();
    let found: Vec<_> = targets(&file).into_iter().map(|t| (t.name, t.description, t.is_default)).collect();
    assert_eq!(found[1], (Some("release".into()), Some("builds all".into()), false));
    assert_eq!(found[3], (None, None, true));
}

#[test]
fn tells_what_a_target_uses() {
    let file = parse(FILE.as_bytes()).unwrap();
    let show = |stage: Option<&str>| {
        let arguments = BuildArguments { stage: stage.map(str::to_owned), ..BuildArguments::default() };
        let found = outline(&file, &arguments, &Nothing).unwrap();
        let args: Vec<String> = found.args.iter().map(|arg| format!("{}={}", arg.name, arg.value)).collect();
        (args.join(" "), found.secrets.len(), found.ssh.len())
    };
    assert_eq!(show(None), ("V=1 W=1.0 mode=fast FAR=1".to_owned(), 1, 1));
    assert_eq!(show(Some("other")), ("FAR=1".to_owned(), 0, 0));
    let arguments = BuildArguments { stage: Some("releas".to_owned()), ..BuildArguments::default() };
    let error = outline(&file, &arguments, &Nothing).unwrap_err().to_string();
    assert_eq!(error, "target stage \"releas\" could not be found (did you mean release?)");
}
