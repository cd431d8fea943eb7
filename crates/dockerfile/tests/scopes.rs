//! Variables step by step, titles and history.

use dockerfile::history::{Form, created_by, is_empty_layer};
use dockerfile::{BuildArguments, Error, Globals, Resolved, Scope, graph, parse};
use oci::image::Platform;
use std::sync::Arc;

fn amd64() -> Platform {
    Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), ..Platform::default() }
}

fn arguments(values: &[(&str, &str)]) -> BuildArguments {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    BuildArguments { values, target: amd64(), build: amd64(), stage: None }
}

/// A step: what it became, its title, its history.
type Told = (Resolved, String, String);

/// The last stage, on an image whose environment is `X=image`, step by step.
fn walk(text: &str, values: &[(&str, &str)]) -> Result<(Scope, Vec<Told>), Error> {
    let file = parse(text.as_bytes())?;
    let globals = Arc::new(Globals::new(&file, &arguments(values))?);
    let mut scopes: Vec<Scope> = Vec::new();
    let mut told = Vec::new();
    for (at, stage) in file.stages.iter().enumerate() {
        told.clear();
        let base = globals.from(stage)?;
        let mut scope = match graph::exactly(&file, &base.name, at) {
            Some(below) => Scope::of_stage(&scopes[below])?,
            None => Scope::of_image(&globals, &["PATH=/bin".to_owned(), "X=image".to_owned()])?,
        };
        let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
        for step in &stage.steps {
            let resolved = scope.step(step)?;
            let history = created_by(&resolved, &scope, Form { shell: &shell, workdir: "/w" }).unwrap_or_default();
            let title = scope.title(step, &resolved);
            told.push((resolved, title, history));
        }
        scopes.push(scope);
    }
    Ok((scopes.pop().expect("a stage"), told))
}

fn histories(text: &str, values: &[(&str, &str)]) -> Vec<String> {
    walk(text, values).unwrap().1.into_iter().map(|(_, _, history)| history).collect()
}

fn wrong(text: &str) -> String {
    walk(text, &[]).expect_err("an error").to_string()
}

#[test]
fn the_later_one_of_env_and_arg_counts() {
    let text = "FROM b\nENV A=1\nARG A=2\nRUN x\nENV A=3\nRUN y\n";
    let (scope, told) = walk(text, &[("A", "given")]).unwrap();
    assert_eq!(told[2].2, "RUN |1 A=given /bin/sh -c x # buildkit");
    assert_eq!(told[4].2, "RUN |1 A=3 /bin/sh -c y # buildkit");
    assert_eq!(scope.config_environment(), ["PATH=/bin", "X=image", "A=3"]);
}

#[test]
fn an_instruction_sees_the_values_before_it() {
    let (scope, _) = walk("FROM b\nENV A=1 B=$A\nENV A=2 B=$A-$X\n", &[]).unwrap();
    assert_eq!(scope.config_environment()[2..], ["A=2", "B=1-image"]);
}

#[test]
fn global_arguments_are_for_from_and_for_who_names_them_again() {
    let text = "ARG G=1\nARG H=$G-2\nFROM b:$H AS a\nARG G\nENV E=$G$H\n";
    let (scope, told) = walk(text, &[]).unwrap();
    assert_eq!(scope.config_environment()[2], "E=1");
    assert_eq!(told[1].0.undefined, ["H"]);
    let file = parse(text.as_bytes()).unwrap();
    let globals = Globals::new(&file, &arguments(&[("G", "9")])).unwrap();
    assert_eq!(globals.from(&file.stages[0]).unwrap().name, "b:9-2");
}

#[test]
fn a_stage_on_a_stage_goes_on_with_its_arguments() {
    let (scope, _) = walk("FROM b AS a\nARG L=1\nENV V=2\nARG V=3\nFROM a\nENV R=$L$V\n", &[]).unwrap();
    // What the image keeps counts again, what was only an argument goes on.
    assert_eq!(scope.config_environment()[2..], ["V=2", "R=12"]);
}

#[test]
fn predefined_arguments_have_values_once_they_are_named() {
    let text = "FROM --platform=$BUILDPLATFORM b AS last\nARG TARGETARCH TARGETSTAGE\nLABEL a=$TARGETARCH-$TARGETOS-$TARGETSTAGE\n";
    assert_eq!(histories(text, &[])[1], "LABEL a=amd64--last");
}

#[test]
fn proxies_are_there_without_being_named_and_not_in_the_history() {
    let (scope, told) = walk("FROM b\nRUN x\n", &[("https_proxy", "p")]).unwrap();
    assert!(scope.environment().contains(&"https_proxy=p".to_owned()));
    assert!(scope.environment().contains(&"HTTPS_PROXY=p".to_owned()));
    assert_eq!(told[0].2, "RUN /bin/sh -c x # buildkit");
    assert_eq!(scope.variables().get("https_proxy"), None);
}

#[test]
fn titles_show_values_and_hide_secrets() {
    let text = "FROM b\nARG V=1\nRUN --mount=type=secret,id=t,env=T x $V $T \"$UN\"\nRUN <<E\n\n  first\n  second\nE\ncopy a$V /x\n";
    let (_, told) = walk(text, &[]).unwrap();
    let titles: Vec<&str> = told.iter().map(|(_, title, _)| title.as_str()).collect();
    let wanted = ["ARG V=1", "RUN --mount=type=secret,id=t,env=T x 1 **** \"$UN\"", "RUN <<E (first...)", "COPY a1 /x"];
    assert_eq!(titles, wanted);
}

#[test]
fn history_is_written_as_ever() {
    let text = "FROM b\nCMD [\"a\",\"b\\\"c\"]\nENTRYPOINT x y\nEXPOSE 81 80-81/UDP\nVOLUME /a /b\nHEALTHCHECK --interval=90s --timeout=1500ms CMD a b\nHEALTHCHECK NONE\nLABEL a=\"b c\" d=e\nADD --chown=u --chmod=755 a b c/\nCOPY --parents --link x <<y /z\ny\nSHELL [\"/bin/bash\", \"-c\"]\nWORKDIR w\nONBUILD RUN x\nARG N\n";
    let wanted = [
        "CMD [\"a\" \"b\\\"c\"]",
        "ENTRYPOINT [\"/bin/sh\" \"-c\" \"x y\"]",
        "EXPOSE [80/udp 81/udp 81/tcp]",
        "VOLUME [/a /b]",
        "HEALTHCHECK {Test:[CMD-SHELL a b] Interval:1m30s Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:0}",
        "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        "LABEL a=b c d=e",
        "ADD --chown=u --chmod=755 a b c/ # buildkit",
        "COPY --parents x <<y /z # buildkit",
        "SHELL [/bin/bash -c]",
        "WORKDIR /w",
        "",
        "ARG N",
    ];
    assert_eq!(histories(text, &[]), wanted);
    let file = parse(b"FROM b\nRUN x\nENV a=b\nWORKDIR /\n").unwrap();
    let empty: Vec<bool> = file.stages[0].steps.iter().map(|step| is_empty_layer(&step.instruction, "/")).collect();
    assert_eq!(empty, [false, true, true]);
}

#[test]
fn errors_of_words_have_a_place() {
    assert_eq!(wrong("FROM b\nENV A=${N:?must-be}\n"), "failed to process \"${N:?must-be}\": N: must-be");
    assert_eq!(wrong("ARG B\nFROM $B\n"), "base name ($B) should not be blank");
    assert_eq!(wrong("FROM --platform=$NOPE b\n"), "empty platform value from expression $NOPE");
    assert_eq!(wrong("FROM b\nEXPOSE 80/foo\n"), "invalid port: \"80/foo\": invalid proto: foo");
    let error = walk("FROM b\n\nUSER ${\n", &[]).expect_err("an error");
    assert_eq!(error.lines().map(|lines| lines.first), Some(3));
}

#[test]
fn values_that_double_are_stopped() {
    let mut text = "FROM b\nENV A=0123456789abcdef\n".to_owned();
    (0..40).for_each(|_| text.push_str("ENV A=$A$A\n"));
    assert!(wrong(&text).contains("longer than 1048576 bytes"));
    let mut text = format!("FROM b\nENV A={}\n", "x".repeat(1_000_000));
    (0..10).for_each(|n| text.push_str(&format!("ENV B{n}=$A\n")));
    assert_eq!(wrong(&text), "the environment is larger than 2097152 bytes");
}
