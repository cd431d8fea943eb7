//! What is read from a file, and what is said of one that cannot be read.

use dockerfile::{Command, Dockerfile, Instruction, Lines, Step, parse};

fn read(text: &str) -> Dockerfile {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt(text, "Dockerfile")))
}

fn wrong(text: &str) -> String {
    parse(text.as_bytes()).expect_err("an error").to_string()
}

fn steps(text: &str) -> Vec<Step> {
    read(&format!("FROM scratch\n{text}")).stages.remove(0).steps
}

fn only(text: &str) -> Instruction {
    let mut steps = steps(text);
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps.remove(0).instruction
}

#[test]
fn stages_globals_and_directives() {
    let file = read(
        "# syntax=docker/dockerfile:1 x\n# escape=`\n\nARG A=1 B\nFROM --platform=$P base:$A AS Build\nRUN x\nfrom build\n",
    );
    assert_eq!(file.directives.syntax.unwrap().value, "docker/dockerfile:1");
    assert_eq!(file.directives.escape.char(), '`');
    assert_eq!(file.globals[0].args.len(), 2);
    let [first, second] = file.stages.as_slice() else { panic!("{:?}", file.stages) };
    assert_eq!(
        (first.base.as_str(), first.name.as_deref(), first.platform.as_deref()),
        ("base:$A", Some("build"), Some("$P"))
    );
    assert_eq!(
        (second.base.as_str(), second.written.keyword.as_str(), second.written.lines.first),
        ("build", "from", 7)
    );
}

#[test]
fn a_directive_after_anything_else_is_a_comment() {
    assert_eq!(read("\n# escape=`\nFROM x\n").directives.escape.char(), '\\');
    assert_eq!(read("# comment\n# syntax=y\nFROM x\n").directives.syntax, None);
    assert_eq!(wrong("# escape=x\nFROM y\n"), "invalid escape token 'x' does not match ` or \\");
    assert_eq!(wrong("# escape=`\n# escape=`\nFROM y\n"), "only one escape parser directive can be used");
}

#[test]
fn continued_lines_are_one_with_comments_left_out() {
    let file = read("\u{feff}FROM x\r\nRUN a && \\\r\n  # no\r\n\r\n  b \\ \t\r\n  && c\r\n");
    let step = &file.stages[0].steps[0];
    assert_eq!(step.written.code, "RUN a &&   b   && c");
    assert_eq!(step.written.lines, Lines { first: 2, last: 6 });
    assert_eq!(file.empty_continuations, [Lines { first: 6, last: 6 }]);
}

#[test]
fn an_escaped_escape_continues_nothing() {
    let steps = steps("RUN a \\\\\nRUN b");
    assert_eq!(steps.len(), 2);
}

#[test]
fn shell_and_exec_forms() {
    assert_eq!(only("CMD [\"a\", \"b c\"]"), Instruction::Cmd(Command::Exec(vec!["a".into(), "b c".into()])));
    assert_eq!(only("CMD ['a']"), Instruction::Cmd(Command::Shell("['a']".into())));
    assert_eq!(only("ENTRYPOINT"), Instruction::Entrypoint(Command::Shell(String::new())));
    assert_eq!(wrong("FROM x\nCMD [1]"), "when using JSON array syntax, arrays must be comprised of strings only");
}

#[test]
fn heredocs_of_run() {
    let Instruction::Run(run) = only("RUN <<A cat <<-'B'\na $x\nA\n\tb\n\tB\n") else { panic!() };
    assert_eq!(run.command, Command::Shell("<<A cat <<-'B'".into()));
    let [a, b] = run.heredocs.as_slice() else { panic!("{:?}", run.heredocs) };
    assert_eq!((a.name.as_str(), a.content.as_str(), a.expand), ("A", "a $x\n", true));
    assert_eq!((b.name.as_str(), b.text().as_str(), b.expand, b.chomp), ("B", "b\n", false, true));
    assert_eq!(wrong("FROM x\nRUN <<A\nb\n"), "unterminated heredoc");
}

#[test]
fn files_in_copy() {
    let Instruction::Copy(copy) = only("COPY --chmod=700 a <<b.txt <<-\"c\" /d/\nx\nb.txt\n\ty\nc\n") else { panic!() };
    assert_eq!((copy.sources.paths.as_slice(), copy.sources.destination.as_str()), (&["a".to_owned()][..], "/d/"));
    let inline: Vec<_> = copy.sources.inline.iter().map(|f| (f.name.as_str(), f.content.as_str(), f.expand)).collect();
    assert_eq!(inline, [("b.txt", "x\n", true), ("c", "y\n", false)]);
    assert_eq!(
        wrong("FROM x\nCOPY a <<b\nb\n"),
        "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination"
    );
}

#[test]
fn heredocs_of_a_trigger_are_part_of_it() {
    let text = "RUN <<E\na\nE";
    assert_eq!(only(&format!("ONBUILD {text}\n")), Instruction::Onbuild(text.to_owned()));
    let step = dockerfile::parse_trigger(text, Lines { first: 1, last: 1 }).unwrap();
    let Instruction::Run(run) = step.instruction else { panic!() };
    assert_eq!(run.heredocs[0].content, "a\n");
}

#[test]
fn errors_name_their_line_and_what_was_meant() {
    for (text, error) in [
        ("", "the Dockerfile cannot be empty"),
        ("# only\n", "file with no instructions"),
        ("ARG A\n", "dockerfile contains no stages to build"),
        ("RUN x\n", "no build stage in current context"),
        ("FROM x\nRUNN true\n", "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"),
        ("FROM x\ncopi a b\n", "dockerfile parse error on line 2: unknown instruction: copi (did you mean copy?)"),
        ("FROM x y\n", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
        (
            "FROM x AS 1\n",
            "dockerfile parse error on line 1: invalid name for build stage: \"1\", name can't start with a number or contain symbols",
        ),
        ("FROM x\nENV a\n", "ENV must have two arguments"),
        ("FROM x\nENV a=b c\n", "Syntax error - can't find = in \"c\". Must be of the form: name=value"),
        ("FROM x\nENV =b\n", "dockerfile parse error on line 2: ENV names can not be blank"),
        ("FROM x\nARG\n", "dockerfile parse error on line 2: ARG requires at least one argument"),
        (
            "FROM x\nCOPY a\n",
            "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("FROM x\nCOPY --form=a b c\n", "dockerfile parse error on line 2: unknown flag: --form (did you mean from?)"),
        ("FROM x\nWORKDIR\n", "dockerfile parse error on line 2: WORKDIR requires exactly one argument"),
        ("FROM x\nSHELL a\n", "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form"),
        ("FROM x\nONBUILD FROM y\n", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger"),
        (
            "FROM x\nHEALTHCHECK FOO\n",
            "dockerfile parse error on line 2: Unknown type \"FOO\" in HEALTHCHECK (try CMD)",
        ),
        (
            "FROM x\nHEALTHCHECK --interval=1us CMD a\n",
            "dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms",
        ),
        ("FROM x\nVOLUME [\"\"]\n", "dockerfile parse error on line 2: VOLUME specified can not be an empty string"),
        ("FROM x\nRUN --network=x y\n", "dockerfile parse error on line 2: invalid network mode \"x\""),
        (
            "FROM x\nCOPY --from=$A b c\n",
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
    ] {
        assert_eq!(wrong(text), error, "{text}");
    }
}

#[test]
fn what_is_wrong_with_words_is_told_before_what_is_wrong_with_instructions() {
    assert_eq!(wrong("FROM x\nRUNN a\nENV b\n"), "ENV must have two arguments");
}

#[test]
fn an_error_shows_its_place() {
    let text = "FROM x\n\nRUNN true \\\n  && b\nUSER y\n";
    let shown = parse(text.as_bytes()).unwrap_err().excerpt(text, "Dockerfile");
    let wanted = "Dockerfile:3\n--------------------\n   2 |     \n   3 | >>> RUNN true \\\n   4 | >>>   && b\n   5 |     USER y\n--------------------\n";
    assert_eq!(shown, wanted);
}

#[test]
fn bytes_that_are_no_text_are_read_all_the_same() {
    let file = parse(b"FROM x\n# caf\xe9\nMAINTAINER Ren\xe9\n").unwrap();
    assert!(matches!(&file.stages[0].steps[0].instruction, Instruction::Maintainer(name) if name.starts_with("Ren")));
}
