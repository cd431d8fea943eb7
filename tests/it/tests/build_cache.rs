//! The build cache beyond one engine, and its upkeep: what others bring and take, what goes by itself, what survives a crash.

use it::{Maker, Registry, Stage, within};
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

/// Two stages, in each of which a step comes to something else each time that it is done.
const TWO_STAGES: &str = "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid > /id\nRUN cp /id /id2\nENV A=b\n\
    FROM busybox\nCOPY --from=one /id2 /id\nRUN cat /proc/sys/kernel/random/uuid > /own\nCOPY f /f\nLABEL l=m\n";

/// As if it were another engine: one that has nothing but `busybox`.
fn another_engine(stage: &mut Stage) {
    stage.stop_engine();
    std::fs::remove_dir_all(stage.data_root()).expect("the data root goes");
    stage.start_engine();
    stage.dhow(["load", "-q", "-i", &shown(it::busybox_archive())]).ok();
}

/// Builds; the image's id, and what was said.
#[track_caller]
fn build(stage: &Stage, context: &Path, flags: &[&str]) -> (String, String) {
    let words = ["build", "--progress=plain", "-t", "built"].iter().chain(flags).copied();
    let built = stage.dhow(words.map(str::to_owned).chain([shown(context)]).collect::<Vec<_>>());
    assert_eq!(built.code, 0, "{}", built.err);
    (stage.dhow(["inspect", "-f", "{{.Id}}", "built"]).ok(), built.err)
}

fn cat(stage: &Stage, file: &str) -> String {
    stage.dhow(["run", "--rm", "built", "cat", file]).ok()
}

#[test]
fn an_engine_with_an_imported_cache_runs_no_step() {
    let mut stage = Stage::new();
    let registry = Registry::start(&stage, Maker::Debian, 5601);
    let context = folder(&stage, "c", &[("Dockerfile", TWO_STAGES), ("f", "x")]);
    let name = registry.name("caches/app:latest");
    for mode in ["mode=max", "mode=min", "mode=max,image-manifest=false", "mode=max,compression=zstd"] {
        let to = format!("--cache-to=type=registry,ref={name},{mode}");
        let (first, _) = build(&stage, &context, &[&to]);
        // A second time nothing needs to be sent.
        build(&stage, &context, &[&to]);
        another_engine(&mut stage);
        let from = format!("--cache-from=type=registry,ref={name}");
        let (second, said) = build(&stage, &context, &[&from]);
        assert_eq!(second, first, "{mode}: {said}");
        // What was used stays.
        let (third, _) = build(&stage, &context, &[]);
        assert_eq!(third, first, "{mode}");
        stage.dhow(["system", "fsck"]).ok();
    }
}

#[test]
fn what_a_small_cache_only_names_is_made_when_it_is_needed() {
    let mut stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", TWO_STAGES), ("f", "x")]);
    let cache = shown(&stage.folder().join("cache"));
    build(&stage, &context, &[&format!("--cache-to=type=local,dest={cache},mode=min")]);
    let own = cat(&stage, "/own");
    another_engine(&mut stage);
    let from = format!("--cache-from=type=local,src={cache}");
    // The second stage needs files of the first one again, which are nowhere.
    let changed = TWO_STAGES.replace("/id2 /id\n", "/id2 /other\n");
    std::fs::write(context.join("Dockerfile"), &changed).expect("written");
    build(&stage, &context, &[&from]);
    assert_eq!(cat(&stage, "/other").len(), own.len());
    // What did not change is found without it.
    another_engine(&mut stage);
    std::fs::write(context.join("Dockerfile"), TWO_STAGES.replace("l=m", "l=n")).expect("written");
    build(&stage, &context, &[&from]);
    assert_eq!(cat(&stage, "/own"), own);
}

#[test]
fn an_image_brings_the_cache_of_its_build() {
    let mut stage = Stage::new();
    let registry = Registry::start(&stage, Maker::Own, 5602);
    let context = folder(&stage, "c", &[("Dockerfile", TWO_STAGES), ("f", "x")]);
    let name = registry.name("app:latest");
    let (first, _) = build(&stage, &context, &["--cache-to=type=inline", "-t", &name]);
    let (again, _) = build(&stage, &context, &["--cache-to=type=inline"]);
    assert_eq!(again, first, "the same build is the same image");
    stage.dhow(["push", "-q", &name]).ok();
    let own = cat(&stage, "/own");
    another_engine(&mut stage);
    let (second, said) = build(&stage, &context, &["--build-arg=BUILDKIT_INLINE_CACHE=1", "--cache-from", &name]);
    assert_eq!(cat(&stage, "/own"), own, "{said}");
    assert_eq!(second, first, "{said}");
}

#[test]
fn a_cache_that_is_not_there_or_lies_fails_no_build() {
    let mut stage = Stage::new();
    let context =
        folder(&stage, "c", &[("Dockerfile", "FROM busybox\nRUN echo good > /x\nRUN cat /x > /y\n"), ("f", "x")]);
    let cache = stage.folder().join("cache");
    let from = format!("--cache-from=type=local,src={}", shown(&cache));
    let (_, said) = build(&stage, &context, &[&from]);
    assert!(said.contains("importing cache manifest from"), "{said}");
    build(
        &stage,
        &context,
        &[&format!("--cache-to=type=local,dest={},mode=max,compression=uncompressed", shown(&cache))],
    );
    another_engine(&mut stage);
    // Other bytes under the name of a layer.
    let mut spoilt = 0;
    for blob in std::fs::read_dir(cache.join("blobs/sha256")).expect("a folder") {
        let path = blob.expect("a blob").path();
        let bytes = std::fs::read(&path).expect("a blob");
        if !bytes.starts_with(b"{") {
            let text = String::from_utf8_lossy(&bytes).replace("good", "evil");
            std::fs::write(&path, text).expect("written");
            spoilt += 1;
        }
    }
    assert!(spoilt > 0);
    build(&stage, &context, &[&from]);
    assert_eq!(cat(&stage, "/y"), "good\n");
    let refused = stage.dhow(["build", "--cache-from=type=s3,bucket=b", &shown(&context)]);
    assert!(refused.code != 0 && refused.err.contains("\"s3\" is not supported"), "{}", refused.err);
    let refused =
        stage.dhow(["build", "--cache-to=type=registry,ref=127.0.0.1:1/a,ignore-error=true", &shown(&context)]);
    assert_eq!(refused.code, 0, "{}", refused.err);
    let refused = stage.dhow(["build", "--cache-to=type=registry,ref=127.0.0.1:1/a", &shown(&context)]);
    assert_ne!(refused.code, 0);
}

/// Bytes of the cache that no image shares.
fn cached(stage: &Stage) -> u64 {
    let (status, body) = stage.ask("GET", "/system/df?type=build-cache");
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let records = answer["BuildCache"].as_array().expect("records").clone();
    records.iter().filter(|record| record["Shared"] == false).filter_map(|record| record["Size"].as_u64()).sum()
}

#[test]
fn the_cache_keeps_to_its_policies() {
    let mut stage = Stage::new();
    let file = stage.folder().join("daemon.json");
    let policies = r#"{"builder": {"gc": {"policy": [{"maxUsedSpace": "3MB", "all": true}]}}}"#;
    std::fs::write(&file, policies).expect("a configuration");
    stage.restart_with(&["--config-file", &shown(&file)]);
    for number in 0..4 {
        let text = format!("FROM busybox\nRUN head -c 2000000 /dev/urandom > /x{number}\n");
        let context = folder(&stage, "c", &[("Dockerfile", &text)]);
        stage.dhow(["build", "-t", "big", &shown(&context)]).ok();
        // The image before lost its name, and what it was made of is only the cache's.
        stage.dhow(["image", "prune", "-f"]).ok();
    }
    // What lost its image since the last build is looked at after the next one.
    stage.dhow(["build", "-t", "big", &shown(&stage.folder().join("c"))]).ok();
    within("the cache is small", || cached(&stage) <= 3 << 20);
    std::fs::write(&file, r#"{"builder": {"gc": {"enabled": false}}}"#).expect("a configuration");
    stage.restart_with(&["--config-file", &shown(&file)]);
    for number in 4..7 {
        let text = format!("FROM busybox\nRUN head -c 2000000 /dev/urandom > /x{number}\n");
        let context = folder(&stage, "c", &[("Dockerfile", &text)]);
        stage.dhow(["build", "-t", "big", &shown(&context)]).ok();
        stage.dhow(["image", "prune", "-f"]).ok();
    }
    assert!(cached(&stage) > 4 << 20);
    let prune = |query: &str| stage.ask("POST", &format!("/build/prune?{query}"));
    let limited = prune("all=1&max-used-space=3145728");
    assert_eq!(limited.0, 200, "{}", limited.1);
    assert!(cached(&stage) <= 3 << 20);
    assert_eq!(prune("max-used-space=much").0, 400);
}

#[test]
fn a_prune_takes_only_what_its_filters_mean() {
    let stage = Stage::new();
    let text =
        "FROM busybox\nRUN --mount=type=cache,target=/c,id=mine echo x > /c/x\nRUN echo 1 > /one\nRUN echo 2 > /two\n";
    let context = folder(&stage, "c", &[("Dockerfile", text)]);
    stage.dhow(["build", "-t", "built", &shown(&context)]).ok();
    let records = || {
        let (_, body) = stage.ask("GET", "/system/df?type=build-cache");
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        answer["BuildCache"].as_array().expect("records").clone()
    };
    let prune = |filters: &str| {
        let encoded: String = filters.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (status, body) = stage.ask("POST", &format!("/build/prune?all=1&filters={encoded}"));
        (status, body)
    };
    assert_eq!(records().len(), 3);
    let two = records()
        .into_iter()
        .find(|record| record["Description"].as_str().is_some_and(|text| text.contains("echo 2")))
        .expect("a record");
    assert_eq!(two[" Parents"].as_array().map(Vec::len), Some(1), "{two}");
    assert_eq!(prune(r#"{"type":["source.local"]}"#).0, 200);
    assert_eq!(prune(r#"{"until":["24h"]}"#).0, 200);
    assert_eq!(prune(r#"{"mutable":["true"],"shared":["true"]}"#).0, 200);
    assert_eq!(records().len(), 3);
    assert_eq!(prune(r#"{"type":["exec.cachemount","regular"]}"#).0, 400);
    assert_eq!(prune(r#"{"type":["exec.cachemount"]}"#).0, 200);
    assert_eq!(records().len(), 2);
    let id = two["ID"].as_str().expect("an id");
    let (_, body) = prune(&format!(r#"{{"id":["{id}"]}}"#));
    assert!(body.contains(id), "{body}");
    assert_eq!(records().len(), 1);
}

/// Where a cache mount's file is, once it is there.
fn in_mount(stage: &Stage, name: &str) -> PathBuf {
    let mounts = stage.data_root().join("build/mounts");
    let find = || {
        let folders = std::fs::read_dir(&mounts).ok()?.flatten();
        folders.map(|folder| folder.path().join("0/tree").join(name)).find(|path| path.exists())
    };
    within("the step runs", || find().is_some());
    find().expect("a file")
}

/// A step that waits until the test lets it go on.
const WAITING: &str = "touch /c/ready; while [ ! -e /c/go ]; do usleep 10000 2>/dev/null || sleep 1; done";

#[test]
fn what_a_build_stands_on_may_lose_its_name_meanwhile() {
    let stage = Stage::new();
    let text =
        format!("FROM base\nRUN echo 1 > /one\nRUN --mount=type=cache,target=/c {WAITING}\nRUN cat /given > /seen\n");
    let context = folder(&stage, "c", &[("Dockerfile", &text)]);
    let base = folder(&stage, "b", &[("Dockerfile", "FROM busybox\nRUN echo here > /given\n")]);
    stage.dhow(["build", "-t", "base", &shown(&base)]).ok();
    let mut child = stage.dhow_command(["build", "-t", "built", &shown(&context)]).spawn().expect("a build");
    let ready = in_mount(&stage, "ready");
    stage.dhow(["rmi", "-f", "base"]).ok();
    stage.ask("POST", "/build/prune?all=1");
    std::fs::write(ready.with_file_name("go"), "").expect("written");
    assert!(child.wait().expect("a build").success());
    assert_eq!(cat(&stage, "/seen"), "here\n");
    assert_ne!(stage.dhow(["inspect", "base"]).code, 0);
    stage.dhow(["system", "fsck"]).ok();
}

#[test]
fn a_secret_in_a_variable_stands_in_no_record() {
    let stage = Stage::new();
    let text = format!(
        "FROM busybox\nRUN --mount=type=secret,id=s,env=TOKEN --mount=type=cache,target=/c echo $TOKEN | sha256sum > /sum; {WAITING}\n"
    );
    let context = folder(&stage, "c", &[("Dockerfile", &text)]);
    let secret = folder(&stage, "s", &[("token", "hidden-treasure-7531")]).join("token");
    let flag = format!("--secret=id=s,src={}", shown(&secret));
    let mut child = stage.dhow_command(["build", "-t", "built", &flag, &shown(&context)]).spawn().expect("a build");
    let ready = in_mount(&stage, "ready");
    let id = stage.dhow(["ps", "-q"]).ok();
    let inspected = stage.dhow(["inspect", id.trim()]).ok();
    let find = ["-rlsa", "hidden-treasure-7531", &shown(&stage.data_root()), &shown(&stage.folder().join("run"))]
        .map(str::to_owned);
    let found = std::process::Command::new("grep").args(&find).output().expect("grep runs");
    std::fs::write(ready.with_file_name("go"), "").expect("written");
    assert!(child.wait().expect("a build").success());
    assert!(!inspected.contains("hidden-treasure"), "{inspected}");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let sum = stage.shell_inside("echo hidden-treasure-7531 | sha256sum").out;
    assert_eq!(cat(&stage, "/sum"), sum);
    let found = std::process::Command::new("grep").args(&find).output().expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn builds_that_share_a_mount_wait_for_each_other_or_have_one_each() {
    let stage = Stage::new();
    let one_at_a_time =
        "set -e; mkdir /c/held; for i in 1 2 3 4 5 6 7 8 9; do test -e /c/held; done; echo x >> /c/log; rmdir /c/held";
    let context = |name: &str, sharing: &str| {
        let text = format!(
            "FROM busybox\nARG N\nRUN --mount=type=cache,id=m,sharing={sharing},target=/c : $N; {one_at_a_time}; cp /c/log /log\n"
        );
        folder(&stage, name, &[("Dockerfile", &text)])
    };
    let at_once = |context: &Path, count: usize| {
        let start = |number: usize| {
            let words = [
                "build".to_owned(),
                "-q".to_owned(),
                format!("-tn{number}"),
                format!("--build-arg=N={number}"),
                shown(context),
            ];
            stage.dhow_command(words).stdout(std::process::Stdio::null()).spawn().expect("a build")
        };
        let mut children: Vec<_> = (0..count).map(start).collect();
        children.iter_mut().for_each(|child| assert!(child.wait().expect("a build").success()));
    };
    at_once(&context("locked", "locked"), 5);
    let lines = |name: &str| stage.dhow(["run", "--rm", name, "cat", "/log"]).ok().lines().count();
    let mut counts: Vec<usize> = (0..5).map(|number| lines(&format!("n{number}"))).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4, 5]);
    at_once(&context("private", "private"), 4);
    // A namespace of its own is another mount.
    let own = context("own", "shared");
    stage.dhow(["build", "-q", "-t", "own", "--build-arg=BUILDKIT_CACHE_MOUNT_NS=other", &shown(&own)]).ok();
    assert_eq!(lines("own"), 1);
}

#[test]
fn a_second_engine_knows_what_the_first_one_read() {
    let mut stage = Stage::new();
    let context = folder(&stage, "c", &[("Dockerfile", "FROM busybox\nCOPY . /c/\n"), ("f", "one"), ("g", "two")]);
    let contents = stage.data_root().join("build/contents");
    // A file that has just changed may change again within the clock's tick, so it is not remembered at first.
    within("contents are remembered", || {
        build(&stage, &context, &[]);
        contents.exists()
    });
    stage.kill_engine();
    stage.start_engine();
    std::fs::write(context.join("f"), "other").expect("written");
    build(&stage, &context, &[]);
    assert_eq!(cat(&stage, "/c/f"), "other");
    stage.kill_engine();
    std::fs::write(&contents, "spoilt").expect("written");
    std::fs::write(
        stage.data_root().join("build/steps.db"),
        "spoilt, and no database at all any more, but long enough for one",
    )
    .expect("written");
    let _ = std::fs::remove_file(stage.data_root().join("build/steps.db-wal"));
    stage.start_engine();
    build(&stage, &context, &[]);
    assert_eq!(cat(&stage, "/c/f"), "other");
    assert!(stage.data_root().join("build/steps.broken").exists());
}

/// Kills the engine when a build has said so many lines.
fn kill_during_build(stage: &mut Stage, context: &Path, lines: usize) {
    use std::io::BufRead;
    let mut command = stage.dhow_command(["build", "--no-cache", "--progress=plain", "-t", "built", &shown(context)]);
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().expect("a build");
    let mut said = std::io::BufReader::new(child.stderr.take().expect("a pipe")).lines();
    for _ in 0..lines {
        if said.next().is_none() {
            break;
        }
    }
    stage.kill_engine();
    said.for_each(drop);
    child.wait().expect("the client ends");
}

#[test]
fn an_engine_that_is_killed_while_it_builds_leaves_nothing() {
    let mut stage = Stage::new();
    let text = "FROM busybox AS one\nRUN --mount=type=cache,target=/c head -c 300000 /dev/urandom > /c/x; cp /c/x /x\nRUN echo a; echo b; cp /x /y\n\
        FROM busybox AS two\nCOPY . /c/\nRUN --mount=type=bind,target=/src cat /src/f > /f; echo c\n\
        FROM one\nCOPY --from=two /f /f\nRUN echo last > /last\n";
    let context = folder(&stage, "c", &[("Dockerfile", text), ("f", "x"), ("d/g", "y")]);
    for round in 0..20 {
        kill_during_build(&mut stage, &context, round);
        stage.start_engine();
    }
    build(&stage, &context, &["--no-cache"]);
    assert_eq!(cat(&stage, "/last"), "last\n");
    stage.dhow(["system", "fsck"]).ok();
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
    stage.dhow(["rmi", "-f", "built"]).ok();
    stage.dhow(["image", "prune", "-af"]).ok();
    stage.ask("POST", "/build/prune?all=1");
    let count = |path: PathBuf| std::fs::read_dir(path).map_or(0, Iterator::count);
    assert_eq!(count(stage.data_root().join("pins")), 0);
    assert_eq!(count(stage.data_root().join("build/contexts")), 0);
    assert_eq!(count(stage.folder().join("run/build")), 0);
    assert_eq!(count(stage.data_root().join("layers/tmp")), 0);
    assert_eq!(count(stage.data_root().join("layers/sha256")), 0);
    let mounts = stage.shell_inside("cat /proc/self/mounts").out;
    assert!(!mounts.contains(&shown(&stage.data_root().join("build"))), "{mounts}");
}

#[test]
fn a_step_that_is_done_again_says_why() {
    let stage = Stage::new();
    let text = "FROM busybox\nARG V=1\nRUN echo $V > /v\nCOPY src /c/\nRUN echo done\n";
    let context = folder(&stage, "c", &[("Dockerfile", text), ("src/f", "x"), ("src/d/g", "y")]);
    let said = |flags: &[&str]| build(&stage, &context, &[&["--why"], flags].concat()).1;
    assert!(said(&[]).contains("it was not built here before"));
    assert!(!said(&[]).contains("WHY"));
    std::fs::write(context.join("src/d/g"), "other").expect("written");
    std::fs::write(context.join("src/new"), "new").expect("written");
    std::fs::remove_file(context.join("src/f")).expect("removed");
    let files = said(&[]);
    assert!(files.contains("changed files: src/d/g, new files: src/new, gone files: src/f"), "{files}");
    assert!(files.contains("a step before it came to something else"), "{files}");
    let variable = said(&["--build-arg=V=2"]);
    assert!(variable.contains("changed variables: V") && !variable.contains("V=2;"), "{variable}");
    std::fs::write(context.join("Dockerfile"), text.replace("done", "over")).expect("written");
    let written = said(&[]);
    assert!(written.contains("the instruction was \"RUN echo done\""), "{written}");
    assert!(said(&["--no-cache"]).contains("the cache was not to be used"));
}
