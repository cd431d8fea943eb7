//! Command lines and what they mean.

use super::parse::{Parsed, Value, Wrong, before_verb};
use super::table::{GLOBAL, Opt, Takes, VERBS};
use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn parse(line: &str) -> std::result::Result<Parsed, Wrong> {
    let mut parsed = before_verb(words(line))?;
    let mut rest = std::mem::take(&mut parsed.arguments).into_iter();
    let verb = find(rest.next().unwrap().to_str().unwrap()).unwrap();
    parsed.after_verb(rest.collect(), verb)?;
    Ok(parsed)
}

#[test]
fn options_may_have_one_dash_or_two_and_stand_anywhere() {
    for line in [
        "create --bundle b --no-pivot id",
        "create -bundle b -no-pivot id",
        "create -b=b --no-pivot=true id",
        "create id --bundle=b --no-pivot=1",
        "create --bundle x id --bundle b --no-pivot",
    ] {
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.arguments, ["id"], "{line}");
        assert_eq!(parsed.raw("bundle").unwrap(), "b", "{line}");
        assert!(parsed.flag("no-pivot"), "{line}");
    }
    assert_eq!(parse("create --bundle= id").unwrap().raw("bundle"), None);
    assert!(!parse("create --no-pivot=false id").unwrap().flag("no-pivot"));
}

#[test]
fn what_belongs_to_the_command_in_a_container_is_not_looked_at() {
    let parsed = parse("exec -t -e A=1 --env B=2 id ls -l --env C=3 -- x").unwrap();
    assert_eq!(parsed.arguments, ["id", "ls", "-l", "--env", "C=3", "--", "x"]);
    assert_eq!(parsed.raws("env"), ["A=1", "B=2"]);
    assert_eq!(parse("exec id -- ls -l").unwrap().arguments, ["id", "ls", "-l"]);
    assert_eq!(parse("kill id -9").unwrap().arguments, ["id", "-9"]);
    assert_eq!(parse("ps id -e -x").unwrap().arguments, ["id", "-e", "-x"]);
    assert_eq!(parse("start -- -x").unwrap().arguments, ["-x"]);
}

#[test]
fn global_options_may_stand_on_either_side_of_the_verb() {
    for line in ["--root /a --debug list -q", "list -q --root=/a --debug", "--root /b list --root /a -q --debug"] {
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.global_text("root").unwrap(), "/a", "{line}");
        assert!(parsed.global_flag("debug") && parsed.flag("quiet"), "{line}");
    }
    // An option of the verb hides a global one of the same name.
    let parsed = parse("--rootless auto spec --rootless").unwrap();
    assert!(parsed.flag("rootless"));
    assert_eq!(parsed.global_text("rootless").unwrap(), "auto");
}

#[test]
fn what_is_wrong_is_told_in_the_words_of_others() {
    let told = |line: &str| parse(line).err().unwrap().to_string();
    assert_eq!(told("--foo list"), "flag provided but not defined: -foo");
    assert_eq!(told("list -v"), "flag provided but not defined: -v");
    assert_eq!(told("create --bundle"), "flag needs an argument: --bundle");
    assert_eq!(told("kill --all=maybe x"), "invalid value \"maybe\" for flag -all: not true or false");
    assert_eq!(told("exec -g a x"), "invalid value \"a\" for flag -g: not a number");
    assert_eq!(told("events --interval 5 x"), "invalid value \"5\" for flag -interval: not a time such as 5s or 1m30s");
}

#[test]
fn help_and_version_are_asked_for_before_the_verb_and_help_after_it_too() {
    assert!(parse("list -h").unwrap().help && parse("--help list").unwrap().help);
    assert!(before_verb(words("-v")).unwrap().version && before_verb(words("--version")).unwrap().version);
}

#[test]
fn every_option_a_verb_reads_is_in_its_table() {
    for verb in VERBS {
        let hidden = |opt: &&Opt| verb.options.iter().any(|own| own.names[0] == opt.names[0]);
        for opt in verb.options.iter().chain(GLOBAL.iter().filter(|opt| !hidden(opt))) {
            let value = match opt.takes {
                Takes::Nothing => "",
                Takes::Text | Takes::Texts => "=x",
                Takes::Number | Takes::Numbers => "=7",
                Takes::Duration => "=7s",
            };
            for name in opt.names {
                let dashes = if name.len() == 1 { "-" } else { "--" };
                let parsed = parse(&format!("{} {dashes}{name}{value} id", verb.name)).unwrap();
                assert_eq!(parsed.own.len() + parsed.global.len(), 1, "{} {name}", verb.name);
            }
        }
    }
    let parsed = parse("exec -g 1 -g 2 --preserve-fds 3 x").unwrap();
    assert_eq!((parsed.numbers("additional-gids"), parsed.number("preserve-fds")), (vec![1, 2], Some(3)));
    assert!(parsed.own.iter().all(|(_, value)| matches!(value, Value::Number(_))));
}

#[test]
fn the_number_of_arguments_is_checked() {
    let place = Place { name: "runc", root: "/run/runc" };
    let told = |line: &str| {
        let parsed = parse(line).unwrap();
        let verb = find(line.split_whitespace().next().unwrap()).unwrap();
        check_arguments(&parsed, verb, place).err().map(|e| e.message)
    };
    assert_eq!(told("start x y").unwrap(), "runc: \"start\" requires exactly 1 argument(s)");
    assert_eq!(told("kill").unwrap(), "runc: \"kill\" requires a minimum of 1 argument(s)");
    assert_eq!(told("kill a b c").unwrap(), "runc: \"kill\" requires a maximum of 2 argument(s)");
    assert_eq!(told("kill a b"), None);
    assert_eq!(find("foo").err().unwrap().code, 3);
}

#[test]
fn help_of_a_verb_has_the_layout_that_is_looked_for() {
    let place = Place { name: "runc", root: "/run/x" };
    let program = place.program();
    assert!(program.starts_with("NAME:\n   runc - Open Container Initiative runtime\n"), "{program}");
    assert!(program.contains("   --root string        ") && program.contains("(default: \"/run/x\")"), "{program}");
    assert!(!program.contains("--criu") && !program.contains('{'), "{program}");
    for verb in VERBS {
        let help = place.verb(verb);
        assert!(help.starts_with(&format!("NAME:\n   runc {} - ", verb.name)), "{help}");
        assert!(help.contains("\nOPTIONS:\n") && help.contains("   --help, -h"), "{help}");
        assert!(!help.contains("{name}") && !help.contains("{root}"), "{help}");
    }
    assert!(place.version().starts_with("runc version "));
}
