//! Bad input: docker's text and code where docker has one, and nothing left behind.

use it::Stage;

fn run(stage: &Stage, words: &[&str]) -> (i32, String) {
    let mut all = vec!["run", "--rm"];
    all.extend(words);
    let said = stage.dhow(all);
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "", "a container is left of {words:?}");
    (said.code, said.err)
}

#[test]
fn programs_that_cannot_be_run() {
    let stage = Stage::new();
    for (words, code, text) in [
        (&["busybox", "nothing-here"][..], 127, "executable file not found in $PATH"),
        (&["busybox", "/bin/nothing-here"][..], 127, "no such file or directory"),
        (&["busybox", "/bin/not-executable"][..], 126, "permission denied"),
        (&["busybox", "/etc"][..], 126, ""),
        (&["-w", "/etc/passwd", "busybox", "true"][..], 125, "not a directory"),
    ] {
        let (said, err) = run(&stage, words);
        assert_eq!(said, code, "{words:?}: {err}");
        assert!(err.contains(text), "{words:?}: {err}");
    }
}

#[test]
fn requests_that_make_no_sense() {
    let stage = Stage::new();
    for (words, text) in [
        (&["no-such-image", "true"][..], "no-such-image"),
        (&["BUSYBOX", "true"][..], "must be lowercase"),
        (&["--no-such-flag", "busybox"][..], "no-such-flag"),
        (&["--name", "no spaces", "busybox"][..], "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        (&["-m", "1m", "busybox", "true"][..], "Minimum memory limit allowed is 6MB"),
        (&["--cpus", "1000", "busybox", "true"][..], "ange of CPUs is from 0.01 to"),
        (&["--network", "nothing", "busybox", "true"][..], "network nothing not found"),
        (&["--cap-add", "NONSENSE", "busybox", "true"][..], "NONSENSE"),
        (
            &["--mount", "type=bind,src=/no/such/folder,dst=/x", "busybox", "true"][..],
            "bind source path does not exist",
        ),
        (&["-p", "99999:80", "busybox", "true"][..], "99999"),
        (&["--ulimit", "nonsense=1", "busybox", "true"][..], "nonsense"),
    ] {
        let (code, err) = run(&stage, words);
        assert_eq!(code, 125, "{words:?}: {err}");
        assert!(err.contains(text), "{words:?}: {err}");
    }
}

#[test]
fn things_that_do_not_exist() {
    let stage = Stage::bare();
    for words in [
        &["start", "nobody"][..],
        &["stop", "nobody"],
        &["logs", "nobody"],
        &["rm", "nobody"],
        &["exec", "nobody", "true"],
    ] {
        let said = stage.dhow(words);
        assert_ne!(said.code, 0, "{words:?}");
        assert!(said.err.contains("No such container: nobody"), "{words:?}: {}", said.err);
    }
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let stage = Stage::bare();
    let small = stage.folder().join("small");
    std::fs::create_dir(&small).unwrap();
    stage.shell_inside(&format!("mount -t tmpfs -o size=3m none {}", small.display())).ok();
    let line = format!(
        "{0} engine -H unix://{1}/small.sock --data-root {1}/small --exec-root {1}/small-run --pidfile {1}/small.pid >/dev/null 2>{1}/small.log & \
         for i in $(seq 200); do [ -S {1}/small.sock ] && break; busybox usleep 50000; done; \
         {0} -H unix://{1}/small.sock load -i {2}; echo code $?; \
         {0} -H unix://{1}/small.sock images -q; df --output=used {1}/small | tail -1; \
         kill $(cat {1}/small.pid); wait; umount {1}/small",
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("dhow").display(),
        stage.folder().display(),
        big_archive(&stage),
    );
    let said = stage.shell_inside(&line);
    assert!(said.out.contains("code 1"), "{said:?}");
    assert!(said.err.to_lowercase().contains("no space left"), "{said:?}");
}

fn big_archive(stage: &Stage) -> String {
    let root = stage.folder().join("big");
    it::busybox_root(&root).unwrap();
    let noise: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    std::fs::write(root.join("noise"), noise).unwrap();
    let path = stage.folder().join("big.tar");
    let work = stage.folder().join("big-work");
    std::fs::create_dir(&work).unwrap();
    let line = format!(
        "tar -C {root} -cf {work}/layer.tar . && d=$(sha256sum {work}/layer.tar | cut -d' ' -f1) && \
         printf '{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}}}' $d > {work}/c.json && \
         printf '[{{\"Config\":\"c.json\",\"RepoTags\":[\"big:1\"],\"Layers\":[\"layer.tar\"]}}]' > {work}/manifest.json && \
         tar -C {work} -cf {out} manifest.json c.json layer.tar",
        root = root.display(),
        work = work.display(),
        out = path.display()
    );
    stage.shell_inside(&line).ok();
    path.display().to_string()
}
