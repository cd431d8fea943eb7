//! Builds through both doors: what they make, what they take from the cache, what they leave behind, and what they refuse.

use it::{Stage, within};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A folder with files in it.
fn folder(stage: &Stage, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = stage.folder().join(name);
    for (file, text) in files {
        let file = path.join(file);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
    path
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Through docker's classic builder.
fn docker_build(stage: &Stage, words: &[&str]) -> it::Output {
    let mut command = stage.docker_command(["build"].iter().chain(words));
    command.env("DOCKER_BUILDKIT", "0");
    let output = command.output().expect("docker runs");
    it::Output {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}

#[test]
fn docker_builds_and_the_image_runs() {
    let stage = Stage::new();
    let text = "FROM busybox AS first\nARG WHO=nobody\nWORKDIR /app\nRUN echo made for $WHO > made; echo loud >&2\n\
        COPY . /ctx/\nFROM busybox\nCOPY --from=first /app/made /made\nCOPY --from=first --chown=7:8 /ctx /ctx\n\
        ENV A=b\nEXPOSE 80\nUSER 7\nCMD [\"cat\", \"/made\"]\n";
    let context =
        folder(&stage, "c", &[("Dockerfile", text), ("a/b.txt", "x"), ("skip.log", "x"), (".dockerignore", "*.log\n")]);
    let built = docker_build(&stage, &["-t", "app:1", "--build-arg", "WHO=me", "--label", "l=m", &shown(&context)]);
    let said = built.ok();
    for part in
        ["Step 1/12 : FROM busybox AS first", " ---> Running in ", "\u{1b}[91mloud", "Successfully tagged app:1"]
    {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(stage.dhow(["run", "--rm", "app:1"]).ok(), "made for me\n");
    let listed =
        stage.dhow(["run", "--rm", "app:1", "sh", "-c", "find /ctx | sort; stat -c %u:%g /ctx/a/b.txt; id -u"]).ok();
    assert_eq!(listed, "/ctx\n/ctx/.dockerignore\n/ctx/Dockerfile\n/ctx/a\n/ctx/a/b.txt\n7:8\n7\n");
    let config = stage.dhow(["inspect", "-f", "{{json .Config}}", "app:1"]).ok();
    for part in [r#""A=b""#, r#""80/tcp":{}"#, r#""l":"m""#, r#""User":"7""#] {
        assert!(config.contains(part), "{part} is not in {config}");
    }
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
}

#[test]
fn a_build_that_changes_nothing_is_the_same_image() {
    let stage = Stage::new();
    let text = "FROM busybox\nENV A=1\nRUN echo x > /x\nCOPY f /f\nRUN cat /f > /y\n";
    let context = folder(&stage, "c", &[("Dockerfile", text), ("f", "one")]);
    let id = |flags: &[&str]| {
        let words: Vec<String> =
            ["build", "-q"].iter().chain(flags).map(|w| (*w).to_owned()).chain([shown(&context)]).collect();
        stage.dhow(words).ok()
    };
    let first = id(&[]);
    // Another time of the same content is the same content.
    std::fs::write(context.join("f"), "one").expect("written");
    assert_eq!(id(&[]), first);
    assert_eq!(docker_build(&stage, &["-q", &shown(&context)]).ok(), first);
    std::fs::write(context.join("f"), "two").expect("written");
    let second = stage.dhow(["build", "--progress=plain", "-t", "two", &shown(&context)]);
    assert_eq!(second.code, 0, "{}", second.err);
    assert_eq!(second.err.matches(" CACHED").count(), 1, "{}", second.err);
    assert_eq!(stage.dhow(["run", "--rm", "two", "cat", "/y"]).ok(), "two");
    assert_ne!(id(&["--no-cache"]), first);
    // What only the cache keeps goes, and what images have stays.
    stage.dhow(["rmi", "-f", "two"]).ok();
    let pruned = stage.ask("POST", "/build/prune?all=1");
    assert_eq!(pruned.0, 200, "{}", pruned.1);
    let again = stage.dhow(["build", "--progress=plain", &shown(&context)]);
    assert!(again.code == 0 && !again.err.contains("CACHED"), "{}", again.err);
}

#[test]
fn layers_of_steps_that_were_done_anew_do_not_stay_for_ever() {
    let stage = Stage::new();
    let text = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n";
    let context = folder(&stage, "c", &[("Dockerfile", text)]);
    for _ in 0..3 {
        stage.dhow(["build", "--no-cache", "-t", "anew", &shown(&context)]).ok();
    }
    stage.dhow(["rmi", "-f", "anew"]).ok();
    stage.ask("POST", "/build/prune?all=1");
    let pins = std::fs::read_dir(stage.data_root().join("pins")).expect("a folder");
    assert_eq!(pins.count(), 0);
}

#[test]
fn the_cache_outlives_the_engine() {
    let mut stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nRUN echo x > /x\n")]);
    let first = stage.dhow(["build", "-q", &shown(&context)]).ok();
    stage.dhow(["rmi", "-f", first.trim()]).ok();
    stage.kill_engine();
    stage.start_engine();
    let again = stage.dhow(["build", "--progress=plain", "-t", "again", &shown(&context)]);
    assert!(again.err.contains(" CACHED"), "{}", again.err);
    assert_eq!(stage.dhow(["run", "--rm", "again", "cat", "/x"]).ok(), "x\n");
}

#[test]
fn what_was_built_can_be_saved_and_loaded_elsewhere() {
    let stage = Stage::new();
    let text = "FROM busybox\nRUN mkdir /d && echo x > /d/x && rm -r /home && chmod 4755 /d/x\nCOPY Dockerfile /d/\n";
    let context = folder(&stage, "c", &[("Dockerfile", text)]);
    stage.dhow(["build", "-t", "saved", &shown(&context)]).ok();
    let archive = shown(&stage.folder().join("saved.tar"));
    stage.dhow(["save", "-o", &archive, "saved"]).ok();
    let other = Stage::bare();
    other.dhow(["load", "-i", &archive]).ok();
    let look = ["run", "--rm", "saved", "sh", "-c", "ls /d; test -e /home || echo gone; stat -c %a /d/x"];
    assert_eq!(other.dhow(look).ok(), "Dockerfile\nx\ngone\n4755\n");
    assert_eq!(stage.dhow(look).ok(), "Dockerfile\nx\ngone\n4755\n");
    stage.dhow(["system", "fsck"]).ok();
}

#[test]
fn mounts_of_a_step_leave_nothing_in_its_layer() {
    let stage = Stage::new();
    let text = "FROM busybox AS base\nRUN mkdir /give && echo given > /give/g\nFROM busybox\n\
        RUN --mount=type=cache,target=/root/.cache/x echo one >> /root/.cache/x/f; cp /root/.cache/x/f /seen\n\
        RUN --mount=type=bind,target=/src --mount=type=bind,from=base,source=/give,target=/give cat /src/f /give/g > /both; ! touch /src/no\n\
        RUN --mount=type=bind,target=/src,rw echo w > /src/new && cat /src/new > /written\n\
        RUN --mount=type=tmpfs,target=/t echo x > /t/x\n\
        RUN --mount=type=cache,id=l,sharing=locked,target=/l --mount=type=cache,id=l,sharing=locked,target=/m echo x > /l/x; cat /m/x\n\
        RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=TOKEN stat -c %a /run/secrets/s > /mode; [ \"$TOKEN\" = hidden ] && cmp /run/secrets/s - <<E\nhidden\nE\n";
    let text = text.replace(" && cmp /run/secrets/s - <<E\nhidden\nE\n", " && [ $(cat /run/secrets/s) = hidden ]\n");
    let context = folder(&stage, "c", &[("Dockerfile", &text), ("f", "mine\n")]);
    let secret = folder(&stage, "s", &[("s", "hidden")]).join("s");
    let flag = format!("id=s,src={}", shown(&secret));
    stage.dhow(["build", "-t", "m", "--secret", &flag, &shown(&context)]).ok();
    let script = "cat /seen /both /written /mode; ls -d /root/.cache /src /give /t /run/secrets 2>/dev/null; ls /";
    let seen = stage.dhow(["run", "--rm", "m", "sh", "-c", script]).ok();
    assert!(seen.starts_with("one\nmine\ngiven\nw\n400\n"), "{seen}");
    for stub in ["/root/.cache", "/src", "/give", "/run/secrets", "l", "m"] {
        assert!(!seen.lines().any(|line| line == stub), "{stub} is left in {seen}");
    }
    assert!(!context.join("new").exists());
    // A cache mount persists, and is no part of the key.
    let again = stage.dhow(["build", "--no-cache", "-t", "m", "--secret", &flag, &shown(&context)]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert_eq!(stage.dhow(["run", "--rm", "m", "cat", "/seen"]).ok(), "one\none\n");
}

#[test]
fn a_secret_that_is_required_and_a_command_that_fails_end_the_build() {
    let stage = Stage::new();
    let failing = folder(&stage, "f", &[("Dockerfile", "FROM busybox\nRUN echo before; exit 3\nRUN echo after\n")]);
    let failed = docker_build(&stage, &["-t", "never", &shown(&failing)]);
    assert_ne!(failed.code, 0);
    let text = format!("{}{}", failed.out, failed.err);
    assert!(text.contains("The command '/bin/sh -c echo before; exit 3' returned a non-zero code: 3"), "{text}");
    assert!(!text.contains("after\n ---"), "{text}");
    let failed = stage.dhow(["build", &shown(&failing)]);
    assert!(
        failed.err.contains("   2 | >>> RUN echo before; exit 3") && failed.err.contains("exit code: 3"),
        "{}",
        failed.err
    );
    let wanting = folder(&stage, "w", &[("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=no,required true\n")]);
    let failed = stage.dhow(["build", &shown(&wanting)]);
    assert!(failed.code == 1 && failed.err.contains("secret no: not found"), "{}", failed.err);
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
    assert_eq!(stage.dhow(["images", "-q", "never"]).ok(), "");
}

#[test]
fn nothing_outside_of_the_context_is_copied() {
    let stage = Stage::new();
    let outside = folder(&stage, "outside", &[("canary", "secret")]);
    let context = folder(&stage, "c", &[("in", "inside")]);
    symlink(&outside, context.join("out")).expect("a link");
    symlink("../outside/canary", context.join("up")).expect("a link");
    for (number, line) in
        ["COPY out/canary /x", "COPY up /x", "COPY ../outside/canary /x", "COPY /outside/canary /x"].iter().enumerate()
    {
        let text = format!("FROM busybox\n{line}\n");
        std::fs::write(context.join("Dockerfile"), text).expect("written");
        for built in [stage.dhow(["build", &shown(&context)]), docker_build(&stage, &[&shown(&context)])] {
            assert_ne!(built.code, 0, "{line} ({number}): {}", built.out);
        }
    }
    // A link below a folder that is copied stays a link; a destination leads nowhere else than in the image.
    let text = "FROM busybox\nRUN ln -s / /slash && ln -s ../../../../../.. /up && ln -s /etc/nowhere /dangling\n\
        COPY . /all/\nCOPY in /slash/one/\nCOPY in /up/two/\nCOPY in /dangling\n";
    std::fs::write(context.join("Dockerfile"), text).expect("written");
    stage.dhow(["build", "-t", "links", &shown(&context)]).ok();
    let seen =
        stage.dhow(["run", "--rm", "links", "sh", "-c", "readlink /all/up; cat /one/in /two/in /etc/nowhere"]).ok();
    assert_eq!(seen, "../outside/canary\ninsideinsideinside");
    assert_eq!(std::fs::read_to_string(outside.join("canary")).expect("there"), "secret");
}

#[test]
fn a_client_that_goes_takes_its_build_with_it() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nRUN sleep 1000\n")]);
    let mut client = stage.dhow_command(["build", "-q", "-t", "never", &shown(&context)]).spawn().expect("started");
    within("the step runs", || !stage.dhow(["ps", "-q"]).ok().is_empty());
    client.kill().expect("killed");
    client.wait().expect("waited");
    within("nothing is left", || stage.dhow(["ps", "-aq"]).ok().is_empty());
    assert_eq!(stage.dhow(["images", "-q", "never"]).ok(), "");
}

#[test]
fn a_step_does_not_outlive_its_engine_for_long() {
    let mut stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nRUN sleep 1000\n")]);
    let mut client = stage.dhow_command(["build", "-q", &shown(&context)]).spawn().expect("started");
    within("the step runs", || !stage.dhow(["ps", "-q"]).ok().is_empty());
    stage.kill_engine();
    client.wait().expect("ended");
    stage.start_engine();
    within("nothing is left", || stage.dhow(["ps", "-aq"]).ok().is_empty());
}

#[test]
fn two_builds_of_the_same_step_do_it_once() {
    let stage = Stage::new();
    let text = "FROM busybox\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /id\n";
    let context = folder(&stage, "c", &[("Dockerfile", text)]);
    let start = |tag: &str| {
        stage.dhow_command(["build", "--progress=quiet", "-t", tag, &shown(&context)]).spawn().expect("started")
    };
    let clients = [start("a"), start("b")];
    for mut client in clients {
        assert!(client.wait().expect("ended").success());
    }
    let of = |tag: &str| stage.dhow(["run", "--rm", tag, "cat", "/id"]).ok();
    assert_eq!(of("a"), of("b"));
}

#[test]
fn stages_that_nobody_needs_are_not_built_and_others_side_by_side() {
    let stage = Stage::new();
    let text = "FROM busybox AS unused\nRUN exit 1\nFROM busybox AS a\nRUN echo a > /a\nFROM busybox AS b\nRUN echo b > /b\n\
        FROM busybox AS last\nCOPY --from=a /a /\nCOPY --from=b /b /\nFROM last AS more\nRUN exit 1\n";
    let context = folder(&stage, "c", &[("Dockerfile", text)]);
    stage.dhow(["build", "--target", "last", "-t", "t", &shown(&context)]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "t", "cat", "/a", "/b"]).ok(), "a\nb\n");
    let wrong = stage.dhow(["build", "--target", "nosuch", &shown(&context)]);
    assert!(wrong.code == 1 && wrong.err.contains("nosuch"), "{}", wrong.err);
}

#[test]
fn archives_are_unpacked_and_what_looks_like_one_is_not() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("d/x", "packed"), ("no.tar", "plain text")]);
    let pack = |flag: &str, name: &str| {
        let status = std::process::Command::new("tar")
            .args(["-C", &shown(&context), flag, &shown(&context.join(name)), "--owner=5", "--group=6", "d"])
            .status()
            .expect("tar runs");
        assert!(status.success());
    };
    pack("-cf", "plain.bin");
    pack("-czf", "packed.tgz");
    let text = "FROM busybox\nADD plain.bin /p/\nADD packed.tgz /g/\nADD no.tar /n/\nCOPY packed.tgz /c/\n\
        ADD --chown=1:2 packed.tgz /o/\nCOPY --chmod=u=rwX,go=rX d /m\n";
    std::fs::write(context.join("Dockerfile"), text).expect("written");
    std::fs::set_permissions(context.join("d/x"), PermissionsExt::from_mode(0o666)).expect("set");
    stage.dhow(["build", "-t", "u", &shown(&context)]).ok();
    let script = "cat /p/d/x /g/d/x /n/no.tar; ls /c; stat -c %u:%g /g/d/x /o/d/x; stat -c %a /m/x";
    let seen = stage.dhow(["run", "--rm", "u", "sh", "-c", script]).ok();
    assert_eq!(seen, "packedpackedplain textpacked.tgz\n5:6\n1:2\n644\n");
}

#[test]
fn a_build_needs_leave_for_the_hosts_network_and_all_rights() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nRUN --network=host ip link | grep -c lo\n")]);
    let refused = stage.dhow(["build", &shown(&context)]);
    assert!(refused.code == 1 && refused.err.contains("network.host is not allowed"), "{}", refused.err);
    let refused = docker_build(&stage, &[&shown(&context)]);
    assert!(refused.code == 1 && refused.err.contains("network.host is not allowed"), "{}", refused.err);
    stage.dhow(["build", "--allow", "network.host", &shown(&context)]).ok();
    std::fs::write(context.join("Dockerfile"), "FROM busybox\nRUN --security=insecure true\n").expect("written");
    let refused = stage.dhow(["build", &shown(&context)]);
    assert!(refused.err.contains("security.insecure is not allowed"), "{}", refused.err);
    let refused = docker_build(&stage, &[&shown(&context)]);
    assert!(refused.err.contains("security.insecure is not allowed"), "{}", refused.err);
    std::fs::write(
        context.join("Dockerfile"),
        "FROM busybox\nRUN --network=none test $(ls /sys/class/net | wc -l) = 1\n",
    )
    .expect("written");
    stage.dhow(["build", &shown(&context)]).ok();
}

#[test]
fn what_a_base_image_orders_is_done_first_and_not_handed_on() {
    let stage = Stage::new();
    let base = folder(&stage, "b", &[("Dockerfile", "FROM busybox\nONBUILD COPY f /f\nONBUILD RUN cat /f > /g\n")]);
    let context = folder(&stage, "c", &[("Dockerfile", "FROM base\nRUN cat /g /g > /h\n"), ("f", "x")]);
    stage.dhow(["build", "-t", "base", &shown(&base)]).ok();
    stage.dhow(["build", "-t", "child", &shown(&context)]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "child", "cat", "/h"]).ok(), "xx");
    assert_eq!(stage.dhow(["inspect", "-f", "{{json .Config.OnBuild}}", "child"]).ok(), "null\n");
}

#[test]
fn a_wrong_dockerfile_is_refused_with_its_line() {
    let stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\n\nRUNN true\n")]);
    let refused = stage.dhow(["build", &shown(&context)]);
    assert!(refused.code == 1 && refused.err.contains("   3 | >>> RUNN true"), "{}", refused.err);
    assert!(refused.err.contains("RUNN") && refused.err.contains("did you mean RUN"), "{}", refused.err);
    let refused = docker_build(&stage, &[&shown(&context)]);
    assert!(refused.code != 0 && refused.err.contains("RUNN"), "{}", refused.err);
    let none = docker_build(&stage, &["-f", &shown(&context.join("none")), &shown(&context)]);
    assert_ne!(none.code, 0);
}

#[test]
fn the_same_program_twice_in_a_row_runs_twice() {
    let stage = Stage::new();
    let line = "RUN --mount=type=cache,target=/c echo x >> /c/runs\n";
    let text = format!("FROM busybox\n{line}{line}RUN --mount=type=cache,target=/c cp /c/runs /runs\n");
    let context = folder(&stage, "c", &[("Dockerfile", &text)]);
    stage.dhow(["build", "-q", "--no-cache", "-t", "twice", &shown(&context)]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "twice", "cat", "/runs"]).ok(), "x\nx\n");
}
