//! The unmodified docker command against this engine.

use it::{Stage, within};

#[test]
fn docker_runs_lists_logs_execs_and_removes() {
    let stage = Stage::bare();
    let loaded = stage.docker(["load", "-i", &it::busybox_archive().display().to_string()]).ok();
    assert_eq!(loaded, "Loaded image: busybox:latest\n");
    let said = stage.docker(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (7, "out\n", "err\n"));
    let id = stage
        .docker([
            "run", "-d", "--name", "web", "-m", "64m", "--cpus", "0.5", "-p", "18080:80", "busybox", "httpd", "-f",
            "-p", "80",
        ])
        .ok();
    let ps = stage.docker(["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Ports}} {{.State}}"]).ok();
    assert_eq!(ps, format!("{} web 0.0.0.0:18080->80/tcp, [::]:18080->80/tcp running\n", id.trim()));
    assert_eq!(stage.docker(["exec", "web", "sh", "-c", "echo in; exit 4"]).code, 4);
    assert_eq!(
        stage
            .docker(["inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.State.Running}}", "web"])
            .ok(),
        "67108864 500000000 true\n"
    );
    assert!(stage.docker(["top", "web"]).ok().contains("httpd -f -p 80"));
    stage.docker(["stop", "-t", "1", "web"]).ok();
    stage.docker(["rm", "web"]).ok();
    assert_eq!(stage.docker(["rmi", "busybox"]).code, 0);
}

#[test]
fn docker_follows_logs_until_the_end() {
    let stage = Stage::new();
    stage
        .docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done"])
        .ok();
    assert_eq!(stage.docker(["logs", "-f", "box"]).ok(), "1\n2\n3\n");
    assert_eq!(stage.docker(["logs", "--tail", "1", "box"]).ok(), "3\n");
    assert_eq!(stage.docker(["wait", "box"]).ok(), "0\n");
}

#[test]
fn docker_gives_dockers_exit_codes() {
    let stage = Stage::new();
    for (words, code) in [
        (&["run", "--rm", "busybox", "nothing-here"][..], 127),
        (&["run", "--rm", "busybox", "/bin/not-executable"], 126),
        (&["run", "--rm", "no-such-image", "true"], 125),
        (&["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"], 137),
        (&["run", "--rm", "busybox", "true"], 0),
    ] {
        let said = stage.docker(words);
        assert_eq!(said.code, code, "{words:?}: {}", said.err);
    }
    assert_eq!(stage.docker(["ps", "-aq"]).ok(), "");
}

#[test]
fn docker_sees_events_in_order() {
    let stage = Stage::new();
    stage.docker(["run", "--rm", "--name", "evt", "busybox", "true"]).ok();
    within("the container is gone", || stage.docker(["ps", "-aq"]).out.is_empty());
    // The docker command cuts a duration to whole seconds: a time with a fraction is taken as it is.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let said = stage
        .docker(["events", "--since", "1m", "--until", &until, "--filter", "type=container", "--format", "{{.Action}}"])
        .ok();
    assert_eq!(said, "create\nattach\nstart\ndie\ndestroy\n");
}

#[test]
fn docker_reads_version_and_info() {
    let stage = Stage::bare();
    assert!(stage.docker(["version", "--format", "{{.Server.APIVersion}}"]).ok().starts_with("1."));
    assert!(stage.docker(["info", "--format", "{{.OSType}} {{.CgroupDriver}}"]).ok().starts_with("linux "));
}
