//! A Dockerfile: read or refused, its words expanded, its lints told; places lie within the file.
#![no_main]

use dockerfile::ignore::Ignore;
use dockerfile::lint::{ImageFacts, Options, Surroundings, check};
use dockerfile::{BuildArguments, Globals, Lines, Scope, parse, parse_trigger};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

struct Nothing;

impl Surroundings for Nothing {
    fn image(&self, _: &str, _: Option<&str>) -> Option<ImageFacts> {
        Some(ImageFacts::default())
    }

    fn is_image_name(&self, name: &str) -> bool {
        !name.is_empty()
    }

    fn ignore(&self) -> Option<&Ignore> {
        None
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let files = [
        "# syntax=docker/dockerfile:1\n# escape=`\nARG V=1 W\nFROM --platform=$BUILDPLATFORM a:${V:-2} AS b\nENV A=1 B=\"$A c\"\nRUN a `\n  # c\n b\n",
        "FROM a\nRUN --mount=type=cache,target=/x,sharing=locked --network=none <<E cat 3<<-'F'\na\nE\n\tb\nF\nCOPY --link <<a.txt $A /d/\nx $B\na.txt\n",
        "FROM a AS b\nONBUILD RUN x\nHEALTHCHECK --interval=5m --retries=3 CMD [\"a\"]\nEXPOSE 80-90/udp\nVOLUME [\"/a\"]\nSHELL [\"/x\", \"-c\"]\nFROM b\nLABEL ${A%%.*}=${B//a/b} 'c'=d\n",
        "# check=skip=all;error=true\nFROM scratch\nENV k v w\nCMD x\nENTRYPOINT [\"y\"]\nUSER ${U:?who}\nMAINTAINER m\nSTOPSIGNAL 9\nADD --checksum=sha256:0 https://a/b /c\n",
    ];
    files.iter().map(|file| file.as_bytes().to_vec()).collect()
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let lines = data.split(|byte| *byte == b'\n').count();
    let file = match parse(data) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.lines().is_none_or(|at| at.first >= 1 && at.last <= lines), "{error}");
            error.excerpt(&String::from_utf8_lossy(data), "Dockerfile");
            return;
        }
    };
    let arguments = BuildArguments::default();
    let options = Options::of(&file, None).unwrap_or_default();
    check(&file, &arguments, &options, &Nothing);
    let Ok(globals) = Globals::new(&file, &arguments).map(Arc::new) else { return };
    for stage in &file.stages {
        let Ok(mut scope) = Scope::of_image(&globals, &[]) else { return };
        for step in &stage.steps {
            assert!(step.written.lines.first >= 1 && step.written.lines.last <= lines);
            if let Ok(resolved) = scope.step(step) {
                scope.title(step, &resolved);
            }
            let _ = parse_trigger(&step.written.code, Lines { first: 1, last: 1 });
        }
    }
});
