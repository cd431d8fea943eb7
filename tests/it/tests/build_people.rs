//! `dhow build` for people: what a terminal shows, results that come back, questions instead of builds, contexts of every kind, a
//! shell where a step failed, and an end when it is asked for.

use it::{Output, Stage, again, within};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const TWO_STAGES: &str = "FROM busybox AS base\nRUN echo made > /made && echo words\nFROM busybox\n\
    COPY --from=base /made /made\nCOPY f /f\nRUN cat /made\n";

fn folder(stage: &Stage, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = stage.folder().join(name);
    for (file, text) in files {
        let file = path.join(file);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    path
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    keeper: OwnedFd,
}

impl Terminal {
    fn start(mut command: Command, rows: u16, columns: u16) -> Terminal {
        let keeper = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keeper).expect("granted");
        unlockpt(&keeper).expect("unlocked");
        let name = ptsname(&keeper, Vec::new()).expect("its name").into_string().expect("text");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keeper, size).expect("a size");
        let open = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).expect("the other end"));
        command.stdin(open()).stdout(open()).stderr(open()).env("NO_COLOR", "1");
        let child = command.spawn().expect("started");
        // What is kept by the command would hold the terminal open.
        drop(command);
        Terminal { child, keeper }
    }

    /// All that was written, up to the end of the program.
    fn text(&self) -> String {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        // When nobody has the other end any more, reading is an error.
        while let Ok(length) = again(|| Ok(rustix::io::read(&self.keeper, &mut buffer)?)) {
            if length == 0 {
                break;
            }
            all.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    fn code(&mut self) -> i32 {
        self.child.wait().expect("ended").code().unwrap_or(-1)
    }
}

/// What a terminal has on it in the end: lines, and the few movements that progress uses.
fn screen(text: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\u{1b}' => {
                letters.next();
                let mut number = String::new();
                let end = loop {
                    match letters.next() {
                        Some(letter) if letter.is_ascii_alphabetic() => break letter,
                        Some(letter) => number.push(letter),
                        None => panic!("a sequence without its end"),
                    }
                };
                let line = &mut lines[row];
                line.truncate(if matches!(end, 'K' | 'J') { column } else { line.len() });
                match end {
                    'A' => row = row.checked_sub(number.parse().expect("rows")).expect("a row that is there"),
                    'J' => lines.truncate(row + 1),
                    'K' | 'h' | 'l' => {}
                    other => panic!("an unknown sequence: {number}{other}"),
                }
            }
            letter => {
                if lines[row].len() <= column {
                    lines[row].resize(column + 1, ' ');
                }
                lines[row][column] = letter;
                column += 1;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect()).collect()
}

/// Without what differs from one time to the next.
fn plain(line: &str) -> String {
    let mut text = String::new();
    for word in line.split_whitespace() {
        let time = word.strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok());
        let word = if time {
            "TIME"
        } else if word.starts_with("sha256:") {
            "DIGEST"
        } else {
            word
        };
        text.push_str(&format!("{}{word}", if text.is_empty() { "" } else { " " }));
    }
    text
}

#[test]
fn a_terminal_shows_the_steps_and_the_result_and_nothing_twice() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", TWO_STAGES), ("f", "x")]);
    let build = |columns| {
        let mut terminal = Terminal::start(stage.dhow_command(["build", "-t", "app:1", &shown(&context)]), 24, columns);
        let text = terminal.text();
        assert_eq!(terminal.code(), 0, "{text}");
        screen(&text)
    };
    let lines = build(60);
    assert!(lines.iter().all(|line| line.chars().count() < 60 || line.contains("sha256:")), "{lines:#?}");
    let mut said: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    // Two stages begin at the same time.
    said[..3].sort();
    let wanted = [
        "=> [base 1/2] FROM busybox TIME",
        "=> [base 2/2] RUN echo made > /made && echo words TIME",
        "=> [stage-1 1/4] FROM busybox TIME",
        "=> [stage-1 2/4] COPY --from=base /made /made TIME",
        "=> [stage-1 3/4] COPY f /f TIME",
        "=> [stage-1 4/4] RUN cat /made TIME",
        "[+] Building TIME (6/6) FINISHED",
        "writing image DIGEST",
        "naming to app:1",
        "",
    ];
    assert_eq!(said, wanted);
    let again = build(200);
    assert_eq!(again.iter().filter(|line| line.starts_with(" => CACHED ")).count(), 4, "{again:#?}");
}

#[test]
fn a_failed_step_is_told_with_its_words_its_place_and_a_hint() {
    let stage = Stage::new();
    let text = "FROM busybox\nRUN echo some words; exit 7\n";
    let context = folder(&stage, "c", &[("Dockerfile", text)]);
    let mut terminal = Terminal::start(stage.dhow_command(["build", &shown(&context)]), 24, 80);
    let lines = screen(&terminal.text()).join("\n");
    assert_eq!(terminal.code(), 1);
    for part in [
        " => ERROR [stage-0 2/2] RUN echo some words; exit 7",
        "------\n > [stage-0 2/2] RUN echo some words; exit 7:\n",
        " some words\n------",
        "   2 | >>> RUN echo some words; exit 7",
        "ERROR: failed to build: process",
        "hint: ",
    ] {
        assert!(lines.contains(part), "{part:?} is not in\n{lines}");
    }
}

#[test]
fn an_interruption_ends_the_build_and_leaves_nothing() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nRUN sleep 1000\n")]);
    let mut terminal = Terminal::start(stage.dhow_command(["build", "-t", "never", &shown(&context)]), 24, 80);
    within("the step runs", || !stage.dhow(["ps", "-q"]).ok().is_empty());
    kill_process(Pid::from_child(&terminal.child), Signal::INT).expect("interrupted");
    let lines = screen(&terminal.text()).join("\n");
    assert_eq!(terminal.code(), 130, "{lines}");
    assert!(lines.contains("ERROR: the build was cancelled"), "{lines}");
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
    assert_eq!(stage.dhow(["images", "-q", "never"]).ok(), "");
}

#[test]
fn programs_get_lines_of_json_and_files() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", TWO_STAGES), ("f", "x")]);
    let (id, metadata) = (shown(&stage.folder().join("id")), shown(&stage.folder().join("metadata")));
    let words = ["build", "--progress=rawjson", "--iidfile", &id, "--metadata-file", &metadata, &shown(&context)];
    let built = stage.dhow(words);
    assert_eq!(built.code, 0, "{}", built.err);
    let mut logs = String::new();
    for line in built.err.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        for log in json["logs"].as_array().into_iter().flatten() {
            logs.push_str(log["data"].as_str().expect("data"));
        }
    }
    // `words\n` and `made\n` in base64.
    assert!(logs.contains("d29yZHMK") && logs.contains("bWFkZQo="), "{logs}");
    let id = fs::read_to_string(id).expect("an id");
    assert_eq!(stage.dhow(["inspect", "-f", "{{.Id}}", &id]).ok().trim(), id);
    let metadata: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(metadata).expect("metadata")).expect("JSON");
    assert_eq!(metadata["containerimage.config.digest"], id);
    assert_eq!(stage.dhow(["build", "-q", &shown(&context)]).ok().trim(), id);
    let wrong = stage.dhow(["build", "--progress=loud", &shown(&context)]);
    assert!(wrong.code == 1 && wrong.err.contains("use auto, plain"), "{}", wrong.err);
}

#[test]
fn results_come_back_as_files_and_archives() {
    let stage = Stage::new();
    let text = "FROM scratch\nCOPY d /d\nCOPY --chmod=700 f /f\n";
    let context = folder(&stage, "c", &[("Dockerfile", text), ("d/x", "one"), ("f", "two")]);
    let at = |name: &str| shown(&stage.folder().join(name));
    let images = || stage.dhow(["images", "-q"]).ok();
    let before = images();
    let flags = [
        format!("--output={}", at("out")),
        format!("--output=type=tar,dest={}", at("t.tar")),
        format!("--output=type=oci,dest={}", at("o.tar")),
        format!("--output=type=docker,dest={},name=come:back", at("d.tar")),
        format!("--output=type=oci,tar=false,dest={}", at("layout")),
    ];
    let mut words = vec!["build".to_owned()];
    words.extend(flags);
    words.push(shown(&context));
    stage.dhow(words).ok();
    assert_eq!(fs::read_to_string(at("out/d/x")).expect("a file"), "one");
    assert_eq!(fs::read_to_string(at("out/f")).expect("a file"), "two");
    let names = |name: &str| {
        let listed = Command::new("tar").args(["-tf", &at(name)]).output().expect("tar runs");
        String::from_utf8_lossy(&listed.stdout).into_owned()
    };
    assert_eq!(names("t.tar"), "d/\nd/x\nf\n");
    assert!(names("o.tar").contains("index.json\n"));
    assert!(Path::new(&at("layout/oci-layout")).exists());
    assert_eq!(images(), before, "nothing went into the store");
    stage.dhow(["load", "-i", &at("d.tar")]).ok();
    assert_eq!(stage.dhow(["images", "-q", "come:back"]).ok().lines().count(), 1);
    // A layout is a context.
    let next = folder(&stage, "n", &[("Dockerfile", "FROM busybox\nCOPY --from=lay /d/x /x\nRUN cat /x\n")]);
    let lay = format!("lay=oci-layout://{}", at("layout"));
    stage.dhow(["build", "-t", "n", "--build-context", &lay, &shown(&next)]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "n", "cat", "/x"]).ok(), "one");
    let stdout = stage.dhow(["build", "-o", "-", &shown(&context)]);
    assert!(stdout.code == 0 && stdout.out.contains("ustar"), "{}", stdout.err);
    for wrong in ["type=floppy,dest=x", "type=oci", "type=local", "type=image,dest=x"] {
        let refused = stage.dhow(["build", "-o", wrong, &shown(&context)]);
        assert!(refused.code == 1 && !refused.err.is_empty(), "{wrong}");
    }
}

#[test]
fn links_of_a_result_lead_nowhere_out_of_its_folder() {
    let stage = Stage::new();
    let outside = folder(&stage, "outside", &[("canary", "whole")]);
    let text = format!(
        "FROM busybox AS b\nRUN mkdir /r && ln -s {} /r/out\nFROM scratch\nCOPY --from=b /r /\n",
        shown(&outside)
    );
    let first = folder(&stage, "a", &[("Dockerfile", &text)]);
    let second =
        folder(&stage, "b", &[("Dockerfile", "FROM scratch\nCOPY canary /out/canary\n"), ("canary", "broken")]);
    let out = shown(&stage.folder().join("out"));
    stage.dhow(["build", "-o", &out, &shown(&first)]).ok();
    let _ = stage.dhow(["build", "-o", &out, &shown(&second)]);
    assert_eq!(fs::read_to_string(outside.join("canary")).expect("there"), "whole");
}

#[test]
fn a_dockerfile_can_be_asked_instead_of_built() {
    let stage = Stage::new();
    let text = "# base what all begins with\nFROM busybox AS base\n# who the one\nARG who=me\nFROM base\nARG who\n\
        RUN --mount=type=secret,id=key,required=true echo $who\nMAINTAINER me\n";
    let context = folder(&stage, "c", &[("Dockerfile", text)]);
    let ask = |call: &str| stage.dhow(["build", "--call", call, &shown(&context)]);
    assert_eq!(ask("targets").ok(), "TARGET    DESCRIPTION\nbase      what all begins with\n(default) \n");
    let outline = ask("outline").ok();
    assert!(
        outline.contains("BUILD ARG   VALUE   DESCRIPTION\n") && outline.contains("SECRET   REQUIRED\nkey      true\n")
    );
    let check = stage.dhow(["build", "--check", &shown(&context)]);
    assert_eq!(check.code, 1);
    assert!(
        check.out.starts_with("Check complete, 1 warning has been found!\n\nWARNING: MaintainerDeprecated"),
        "{}",
        check.out
    );
    let json: serde_json::Value = serde_json::from_str(&ask("check,format=json,ignorestatus=true").ok()).expect("JSON");
    assert_eq!(json["warnings"][0]["ruleName"], "MaintainerDeprecated");
    let skipped =
        stage.dhow(["build", "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", &shown(&context)]);
    assert_eq!((skipped.code, skipped.out.as_str()), (0, "Check complete, no warnings found.\n"));
    let wrong = ask("everything");
    assert!(wrong.code == 1 && wrong.err.contains("use build, check, outline"), "{}", wrong.err);
}

#[test]
fn warnings_are_counted_and_may_be_errors() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox AS Base\nRUN echo $NOPE\n")]);
    let built = stage.dhow(["build", &shown(&context)]);
    assert!(built.err.contains("1 warning found (use --debug to expand):\n - StageNameCasing: "), "{}", built.err);
    let strict = "# check=error=true\nFROM busybox AS Base\nRUN echo never\n";
    fs::write(context.join("Dockerfile"), strict).expect("written");
    let refused = stage.dhow(["build", &shown(&context)]);
    assert!(refused.err.contains("lint violation found for rules: StageNameCasing"), "{}", refused.err);
    assert!(refused.code == 1 && !refused.err.contains("RUN echo never"), "{}", refused.err);
}

#[test]
fn a_shell_opens_where_a_step_failed() {
    let stage = Stage::new();
    let text =
        "FROM busybox\nWORKDIR /w\nRUN echo kept > kept\nRUN --mount=type=secret,id=s echo lost > lost && false\n";
    let context = folder(&stage, "c", &[("Dockerfile", text), ("s", "hidden")]);
    let secret = format!("id=s,src={}", shown(&context.join("s")));
    let script = b"pwd; ls; cat /run/secrets/s; exit 3\n";
    let words = ["build", "--debug", "--secret", &secret, &shown(&context)];
    let output = stage.dhow_with_stdin(words, script);
    assert_eq!((output.code, output.out.as_str()), (1, "/w\nkept\nhidden"), "{}", output.err);
    assert!(output.err.contains("A shell in the state before this step"), "{}", output.err);
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
    let without = stage.dhow_with_stdin(["build", "--secret", &secret, &shown(&context)], script);
    assert!(without.code == 1 && without.out.is_empty(), "{}", without.out);
}

#[test]
fn contexts_come_from_stdin_archives_and_over_the_network() {
    let mut stage = Stage::new();
    let text = "FROM busybox\nCOPY . /c\nCOPY --from=more . /m\nRUN find /c /m -type f | sort > /list\n";
    let files = [
        ("Dockerfile", text),
        ("a/b", "x"),
        ("keep.log", "x"),
        ("no.log", "x"),
        (".dockerignore", "*.log\n!keep.log\n"),
    ];
    let context = folder(&stage, "c", &files);
    let more = format!("more={}", shown(&folder(&stage, "m", &[("n", "y")])));
    let wanted = "/c/.dockerignore\n/c/Dockerfile\n/c/a/b\n/c/keep.log\n/m/n\n";
    let seen = |stage: &Stage| stage.dhow(["run", "--rm", "t", "cat", "/list"]).ok();
    let archive = shown(&stage.folder().join("c.tar.gz"));
    let packed = Command::new("tar").args(["-C", &shown(&context), "-czf", &archive, "."]).status().expect("tar runs");
    assert!(packed.success());
    stage.dhow(["build", "-t", "t", "--build-context", &more, &archive]).ok();
    assert_eq!(seen(&stage), wanted);
    let bytes = fs::read(&archive).expect("an archive");
    stage.dhow_with_stdin(["build", "-t", "t", "--build-context", &more, "-"], &bytes).ok();
    assert_eq!(seen(&stage), wanted);
    let alone = stage.dhow_with_stdin(["build", "-q", "-"], b"FROM busybox\nRUN true\n");
    assert!(alone.code == 0 && alone.out.starts_with("sha256:"), "{}", alone.err);
    let beside = stage.dhow_with_stdin(["build", "-q", "-f", "-", &shown(&context)], b"FROM busybox\nCOPY a /a\n");
    assert_eq!(beside.code, 0, "{}", beside.err);
    stage.restart_with(&["-H", "tcp://127.0.0.1:2375", "--tls=false"]);
    let far = |words: &[&str]| -> Output {
        let mut command = stage.inside(it::binary());
        let output = command.args(["-H", "tcp://127.0.0.1:2375", "build"]).args(words).output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    };
    far(&["--no-cache", "-t", "t", "--build-context", &more, &shown(&context)]).ok();
    assert_eq!(seen(&stage), wanted);
    let out = shown(&stage.folder().join("far"));
    far(&["-o", &out, "--build-context", &more, &shown(&context)]).ok();
    assert_eq!(fs::read_to_string(format!("{out}/list")).expect("a file"), wanted);
    let refused = far(&["--ssh", "default=/dev/null", "--build-context", &more, &shown(&context)]);
    assert!(refused.code == 1 && refused.err.contains("on another machine"), "{}", refused.err);
}

#[test]
fn a_reason_is_given_for_what_is_done_again() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nCOPY f /f\n"), ("f", "one")]);
    stage.dhow(["build", &shown(&context)]).ok();
    let mut file = OpenOptions::new().append(true).open(context.join("f")).expect("open");
    file.write_all(b" and two").expect("written");
    let again = stage.dhow(["build", "--why", "--progress=plain", &shown(&context)]);
    let line = again.err.lines().find(|line| line.starts_with("#2 WHY: "));
    assert!(line.is_some_and(|line| line.contains('f')), "{}", again.err);
}

#[test]
fn the_classic_builder_tells_of_arguments_that_nobody_takes() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nARG USED\nRUN echo $USED $NOT\n")]);
    let mut command = stage.docker_command([
        "build",
        "--build-arg=USED=1",
        "--build-arg=LEFT=1",
        "--build-arg=OVER=1",
        "--build-arg=HTTP_PROXY=http://127.0.0.1:9",
        &shown(&context),
    ]);
    let output = command.env("DOCKER_BUILDKIT", "0").output().expect("docker runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("[Warning] One or more build-args [LEFT OVER] were not consumed\nSuccessfully built "),
        "{said}"
    );
    assert_eq!(said.matches("[Warning]").count(), 1, "{said}");
}

#[test]
fn words_of_dockers_plugin_are_known() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nRUN true\n")]);
    stage.dhow(["buildx", "build", "--load", "-t", "x", &shown(&context)]).ok();
    assert!(stage.dhow(["buildx", "ls"]).ok().contains("default*"));
    assert!(stage.dhow(["buildx", "du"]).ok().contains("Total:"));
    let bake = stage.dhow(["buildx", "bake"]);
    assert!(bake.code == 1 && bake.err.contains("docker buildx bake"), "{}", bake.err);
}
