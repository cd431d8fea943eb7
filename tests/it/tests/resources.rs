//! What containers may use, what they do use, and the devices they get.

use it::{Stage, within};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A file of the container's own cgroup, as the container sees it: by its name on v1 (with its controller) and on v2.
fn group_file(stage: &Stage, name: &str, v1: &str, v2: &str) -> String {
    let script = format!("cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}");
    stage.dhow(["exec", name, "sh", "-c", &script]).ok().trim().to_owned()
}

fn memory_limit(stage: &Stage, name: &str) -> String {
    group_file(stage, name, "memory/memory.limit_in_bytes", "memory.max")
}

/// An answer of the API: its status and its JSON.
fn call(stage: &Stage, method: &str, path: &str, body: &str) -> (u16, Value) {
    let socket = stage.host().replace("unix://", "");
    let answer = stage.tool(
        "curl",
        [
            "-s",
            "-X",
            method,
            "--unix-socket",
            &socket,
            "-H",
            "Content-Type: application/json",
            "-d",
            body,
            "-w",
            "\n%{http_code}",
            &format!("http://x{path}"),
        ],
    );
    let text = answer.ok();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn inspected(stage: &Stage, name: &str, template: &str) -> String {
    stage.dhow(["inspect", "-f", template, name]).ok().trim().to_owned()
}

#[test]
fn limits_of_a_running_container_change_at_once() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "-m", "64m", "busybox", "sleep", "1000"]).ok();
    assert_eq!(memory_limit(&stage, "box"), (64 << 20).to_string());
    let words = [
        "update",
        "-m",
        "96m",
        "--memory-swap",
        "200m",
        "--pids-limit",
        "40",
        "--cpus",
        "0.5",
        "--cpu-shares",
        "512",
        "box",
    ];
    assert_eq!(stage.docker(words).ok(), "box\n");
    assert_eq!(memory_limit(&stage, "box"), (96 << 20).to_string());
    assert_eq!(group_file(&stage, "box", "pids/pids.max", "pids.max"), "40");
    let quota = group_file(&stage, "box", "cpu/cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota.split(' ').next(), Some("50000"));
    let shown = inspected(
        &stage,
        "box",
        "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}}",
    );
    assert_eq!(shown, format!("{} {} 40 500000000 512", 96 << 20, 200 << 20));
    stage.dhow(["update", "--pids-limit", "-1", "box"]).ok();
    assert_eq!(group_file(&stage, "box", "pids/pids.max", "pids.max"), "max");
    let events =
        stage.dhow(["events", "--since", "0", "--until", "0s", "--filter", "event=update", "--format", "{{.Action}}"]);
    assert_eq!(events.ok(), "update\nupdate\n");
}

#[test]
fn limits_of_a_stopped_container_hold_from_its_next_start_also_with_another_engine() {
    let mut stage = Stage::new();
    stage.dhow(["create", "--name", "box", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["update", "-m", "64m", "--memory-swap", "-1", "--restart", "on-failure:3", "box"]).ok();
    stage.kill_engine();
    stage.start_engine();
    stage.dhow(["start", "box"]).ok();
    assert_eq!(memory_limit(&stage, "box"), (64 << 20).to_string());
    let policy =
        inspected(&stage, "box", "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}");
    assert_eq!(policy, "on-failure:3");
}

#[test]
fn updates_that_cannot_be_are_refused_in_dockers_words() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "--cpu-period", "50000", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["run", "-d", "--name", "rm", "--rm", "busybox", "sleep", "1000"]).ok();
    let id = inspected(&stage, "box", "{{.Id}}");
    let update = |name: &str, body: &str| {
        let (status, answer) = call(&stage, "POST", &format!("/containers/{name}/update"), body);
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    };
    let said = |status: u16, words: &str| (status, words.to_owned());
    assert_eq!(update("nosuch", "{}"), said(404, "No such container: nosuch"));
    assert_eq!(update("box", r#"{"Memory": 1}"#), said(400, "Minimum memory limit allowed is 6MB"));
    assert_eq!(
        update("box", r#"{"NanoCpus": 500000000}"#),
        said(
            409,
            &format!(
                "Cannot update container {id}: Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"
            )
        )
    );
    assert_eq!(
        update("box", r#"{"Memory": 104857600}"#),
        said(
            409,
            &format!(
                "Cannot update container {id}: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
            )
        )
    );
    let (status, words) = update("rm", r#"{"RestartPolicy": {"Name": "always"}}"#);
    assert_eq!(
        (status, words.ends_with("Restart policy cannot be updated because AutoRemove is enabled for the container")),
        (409, true)
    );
    let (status, words) = update("box", r#"{"CpuShares": 1}"#);
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        assert_eq!(status, 200);
    } else {
        assert_eq!((status, words.contains("the minimum allowed cpu-shares is 2")), (500, true), "{words}");
        assert_eq!(inspected(&stage, "box", "{{.HostConfig.CpuShares}}"), "0", "what failed is not kept");
    }
    assert_eq!(call(&stage, "POST", "/containers/box/update", "{}"), (200, serde_json::json!({"Warnings": null})));
}

#[test]
fn statistics_have_the_documented_shape() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "-m", "64m", "busybox", "sh", "-c", "while :; do :; done"]).ok();
    stage.dhow(["create", "--name", "idle", "busybox", "true"]).ok();
    let (status, one) = call(&stage, "GET", "/containers/box/stats?stream=0&one-shot=1", "");
    assert_eq!((status, &one["name"], &one["preread"]), (200, &"/box".into(), &"0001-01-01T00:00:00Z".into()));
    assert_eq!(one["precpu_stats"]["cpu_usage"]["total_usage"], 0);
    let (_, two) = call(&stage, "GET", "/containers/box/stats?stream=0", "");
    let total = |when: &str| two[when]["cpu_usage"]["total_usage"].as_u64().expect("a number");
    assert!(total("cpu_stats") > total("precpu_stats") && total("precpu_stats") > 0, "{two}");
    let system = |when: &str| two[when]["system_cpu_usage"].as_u64().expect("a number");
    assert!(system("cpu_stats") > system("precpu_stats"));
    assert_eq!(two["memory_stats"]["limit"], 64 << 20);
    for path in [
        "/pids_stats/current",
        "/memory_stats/usage",
        "/memory_stats/stats/pgfault",
        "/cpu_stats/online_cpus",
        "/networks/eth0/rx_bytes",
    ] {
        assert!(two.pointer(path).is_some_and(Value::is_u64), "{path}: {two}");
    }
    assert!(two["blkio_stats"].as_object().is_some_and(|tables| tables.len() == 8));
    let (_, idle) = call(&stage, "GET", "/containers/idle/stats?stream=0", "");
    assert_eq!(
        (&idle["read"], &idle["memory_stats"], &idle["pids_stats"]),
        (&"0001-01-01T00:00:00Z".into(), &serde_json::json!({}), &serde_json::json!({}))
    );
    assert_eq!(call(&stage, "GET", "/containers/nosuch/stats", "").0, 404);
    assert_eq!(call(&stage, "GET", "/containers/box/stats?stream=1&one-shot=1", "").0, 400);
}

#[test]
fn a_stream_of_statistics_ends_with_the_container() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let socket = stage.host().replace("unix://", "");
    let mut watchers: Vec<_> = (0..3)
        .map(|_| {
            let mut curl = stage.inside("curl");
            curl.args(["-sN", "--unix-socket", &socket, "http://x/containers/box/stats"]);
            curl.stdout(std::process::Stdio::piped()).spawn().expect("curl runs")
        })
        .collect();
    // Lines come while it runs, and zeros when it does not.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watchers[0].stdout.take().expect("a pipe")));
    let mut next = || serde_json::from_str::<Value>(&lines.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!(next()["pids_stats"]["current"], 1);
    assert_eq!(next()["pids_stats"]["current"], 1);
    stage.dhow(["kill", "box"]).ok();
    within("the container is seen to have ended", || next()["pids_stats"] == serde_json::json!({}));
    stage.dhow(["rm", "box"]).ok();
    within("the streams end", || watchers.iter_mut().all(|curl| curl.try_wait().expect("a child").is_some()));
}

#[test]
fn the_table_of_statistics_is_dockers() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "-m", "64m", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["create", "--name", "idle", "busybox", "true"]).ok();
    for table in [stage.dhow(["stats", "--no-stream"]).ok(), stage.docker(["stats", "--no-stream"]).ok()] {
        let heading: Vec<&str> = table.lines().next().expect("a heading").split_whitespace().collect();
        let expected = "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS";
        assert_eq!(heading.join(" "), expected);
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.contains("/ 64MiB"), "{table}");
    }
    let all = stage.dhow(["stats", "-a", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemPerc}}"]).ok();
    assert!(all.lines().any(|line| line == "idle 0 0.00%"), "{all}");
    assert!(stage.dhow(["stats", "--no-stream", "nosuch"]).code == 1);
}

/// The folders of a group of that path, in all hierarchies.
fn folders(path: &str) -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies
        .chain([PathBuf::from("/sys/fs/cgroup")])
        .map(|root| root.join(path))
        .filter(|path| path.is_dir())
        .collect()
}

/// A parent of cgroups, removed at the end.
struct Parent(String);

impl Drop for Parent {
    fn drop(&mut self) {
        folders(&self.0).iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}

#[test]
fn a_container_lives_in_the_cgroup_that_was_asked_for() {
    let mut stage = Stage::new();
    let parent = Parent(format!("dhow-it-parent-{}", std::process::id()));
    let path = format!("/{}", parent.0);
    stage
        .docker(["run", "-d", "--name", "box", "--cgroup-parent", &path, "-m", "64m", "busybox", "sleep", "1000"])
        .ok();
    let id = inspected(&stage, "box", "{{.Id}}");
    let group = format!("{}/{id}", parent.0);
    assert!(!folders(&group).is_empty());
    assert_eq!(memory_limit(&stage, "box"), (64 << 20).to_string());
    assert_eq!(inspected(&stage, "box", "{{.HostConfig.CgroupParent}}"), path);
    stage.dhow(["pause", "box"]).ok();
    stage.kill_engine();
    stage.start_engine();
    stage.dhow(["unpause", "box"]).ok();
    stage.dhow(["update", "-m", "80m", "--memory-swap", "-1", "box"]).ok();
    assert_eq!(memory_limit(&stage, "box"), (80 << 20).to_string());
    let (_, stats) = call(&stage, "GET", "/containers/box/stats?stream=0&one-shot=1", "");
    assert_eq!(stats["memory_stats"]["limit"], 80 << 20);
    stage.dhow(["rm", "-f", "box"]).ok();
    within("its groups are gone", || folders(&group).is_empty());
    assert_ne!(stage.dhow(["run", "--name", "bad", "--cgroup-parent", &path, "busybox", "nosuch"]).code, 0);
    let bad = format!("{}/{}", parent.0, inspected(&stage, "bad", "{{.Id}}"));
    assert!(folders(&bad).is_empty(), "a start that failed leaves no group");
}

#[test]
fn every_container_knows_that_it_is_one() {
    let stage = Stage::new();
    stage.dhow(["run", "--name", "box", "busybox", "sh", "-c", "test -e /.dockerenv && readlink /etc/mtab"]).ok();
    assert_eq!(stage.dhow(["logs", "box"]).ok(), "/proc/mounts\n");
    assert_eq!(stage.docker(["diff", "box"]).ok(), "");
    stage.dhow(["commit", "box", "copy"]).ok();
    assert_eq!(stage.dhow(["run", "--rm", "copy", "ls", "/.dockerenv"]).ok(), "/.dockerenv\n");
}

#[test]
fn a_start_that_failed_says_why_in_the_words_that_were_answered() {
    let stage = Stage::new();
    let run = stage.docker(["run", "--name", "box", "busybox", "nosuch"]);
    assert_eq!(run.code, 127);
    let kept = inspected(&stage, "box", "{{.State.Error}}");
    assert!(!kept.is_empty() && run.err.contains(&kept), "{kept}\n{}", run.err);
    assert_eq!(inspected(&stage, "box", "{{.State.ExitCode}} {{.State.Status}}"), "127 created");
}

#[test]
fn devices_come_by_folder_and_by_their_vendors_specification() {
    let mut stage = Stage::new();
    let folder = stage.folder().join("cdi");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(stage.folder().join("library"), "of the vendor\n").expect("a file");
    let specification = format!(
        "cdiVersion: '0.6.0'\nkind: acme.com/card\ndevices:\n- name: one\n  containerEdits:\n    deviceNodes:\n    - path: /dev/card0\n      hostPath: /dev/null\n      permissions: rw\n    env: [CARD=one]\ncontainerEdits:\n  mounts:\n  - hostPath: {}/library\n    containerPath: /opt/library\n    options: [ro, bind]\n",
        stage.folder().display()
    );
    std::fs::write(folder.join("acme.yaml"), specification).expect("a specification");
    stage.restart_with(&["--cdi-spec-dir", &folder.display().to_string()]);
    let script = "echo x > /dev/card0 && stat -c %t:%T /dev/card0 && echo $CARD && cat /opt/library && ! touch /opt/library 2>/dev/null";
    for said in [
        stage.docker(["run", "--rm", "--device", "acme.com/card=one", "busybox", "sh", "-c", script]),
        stage.dhow(["run", "--rm", "--device", "acme.com/card=one", "busybox", "sh", "-c", script]),
    ] {
        assert_eq!(said.ok(), "1:3\none\nof the vendor\n");
    }
    let unknown = stage.docker(["run", "--rm", "--device", "acme.com/card=two", "busybox", "true"]);
    assert!(
        unknown.err.contains("CDI device injection failed: unresolvable CDI devices acme.com/card=two"),
        "{}",
        unknown.err
    );
    let gpus = stage.docker(["run", "--rm", "--gpus", "all", "busybox", "true"]);
    assert!(gpus.err.contains("could not select device driver \"\" with capabilities: [[gpu]]"), "{}", gpus.err);
    let below = stage.dhow(["run", "--rm", "--device", "/dev/mapper", "busybox", "ls", "/dev/mapper"]);
    assert!(below.code == 0 || !Path::new("/dev/mapper/control").exists(), "{}", below.err);
}

#[test]
fn rates_of_block_devices_are_set_and_what_the_kernel_lacks_is_said() {
    let stage = Stage::new();
    let device = std::fs::read_dir("/sys/block").expect("block devices").flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let number = std::fs::read_to_string(entry.path().join("dev")).ok()?;
        Path::new("/dev").join(&name).exists().then(|| (format!("/dev/{name}"), number.trim().to_owned()))
    });
    let Some((device, number)) = device else { panic!("this machine has no block device") };
    stage
        .docker([
            "run",
            "-d",
            "--name",
            "box",
            "--device-read-bps",
            &format!("{device}:1mb"),
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    let rates = group_file(&stage, "box", "blkio/blkio.throttle.read_bps_device", "io.max");
    assert!(rates.starts_with(&number) && rates.contains("1048576"), "{rates}");
    let weight = stage.docker(["run", "-d", "--name", "weighty", "--blkio-weight", "100", "busybox", "sleep", "1000"]);
    let words = "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.";
    let set = group_file(&stage, "weighty", "blkio/blkio.bfq.weight", "io.bfq.weight");
    assert!(weight.err.contains(words) || set.ends_with("100"), "{set}\n{}", weight.err);
}

#[test]
fn a_size_of_a_root_needs_quotas_of_the_file_system() {
    let stage = Stage::new();
    let refused = stage.docker(["run", "--rm", "--storage-opt", "size=100m", "busybox", "true"]);
    let words = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
    assert_eq!((refused.code, refused.err.contains(words)), (125, true), "{}", refused.err);
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
}
