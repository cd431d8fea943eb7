//! Volumes by themselves: options of the driver, other names, copies, who uses them.

use it::{Stage, within};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

fn mounted(stage: &Stage) -> usize {
    stage.shell_inside("grep -c /_data /proc/self/mounts").out.trim().parse().unwrap_or(0)
}

#[test]
fn a_tmpfs_is_shared_by_those_who_run_and_is_there_only_as_long() {
    let mut stage = Stage::new();
    let create = ["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "memory"];
    assert_eq!(stage.dhow(create).ok(), "memory\n");
    assert_eq!(mounted(&stage), 0);
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "one",
            "-v",
            "memory:/m",
            "busybox",
            "sh",
            "-c",
            "echo x > /m/file; exec sleep 1000",
        ])
        .ok();
    within("the file is written", || stage.dhow(["exec", "one", "cat", "/m/file"]).out == "x\n");
    assert_eq!(mounted(&stage), 1);
    // The next engine finds it, and so does the next container.
    stage.kill_engine();
    stage.start_engine();
    assert_eq!(stage.dhow(["run", "--rm", "-v", "memory:/m", "busybox", "cat", "/m/file"]).ok(), "x\n");
    assert_eq!(mounted(&stage), 1);
    stage.dhow(["rm", "-f", "one"]).ok();
    assert_eq!(mounted(&stage), 0);
    assert_eq!(stage.dhow(["run", "--rm", "-v", "memory:/m", "busybox", "ls", "/m"]).ok(), "");
    stage.dhow(["volume", "rm", "memory"]).ok();
}

#[test]
fn a_bind_in_a_volume_is_filled_by_copy_up_only_when_it_is_empty() {
    let stage = Stage::new();
    let place = stage.folder().join("place");
    fs::create_dir(&place).expect("a folder");
    let device = format!("device={}", place.display());
    stage.dhow(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "placed"]).ok();
    assert_eq!(
        stage.dhow(["run", "--rm", "-v", "placed:/data", "busybox", "cat", "/data/seed"]).ok(),
        "from the image\n"
    );
    assert_eq!(fs::read_to_string(place.join("seed")).expect("filled"), "from the image\n");
    fs::write(place.join("seed"), "mine\n").expect("a file");
    assert_eq!(stage.dhow(["run", "--rm", "-v", "placed:/data", "busybox", "cat", "/data/seed"]).ok(), "mine\n");
    stage.dhow(["volume", "rm", "placed"]).ok();
    assert!(place.join("seed").exists(), "what a volume only points to is not its own");
}

#[test]
fn a_device_that_is_not_there_fails_the_start_and_leaves_nothing_mounted() {
    let stage = Stage::new();
    stage.dhow(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/no/such", "lost"]).ok();
    let failed = stage.dhow(["run", "--name", "box", "-v", "lost:/x", "busybox", "true"]);
    assert!(failed.err.contains("failed to mount local volume: mount /no/such:"), "{failed:?}");
    assert_eq!(mounted(&stage), 0);
    stage.dhow(["rm", "box"]).ok();
    stage.dhow(["volume", "rm", "lost"]).ok();
}

#[test]
fn a_new_name_is_followed_by_containers_that_run_and_that_do_not() {
    let mut stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "runs", "-v", "old:/v", "busybox", "sleep", "1000"]).ok();
    stage
        .dhow(["create", "--name", "waits", "--mount", "type=volume,src=old,dst=/v", "busybox", "cat", "/v/file"])
        .ok();
    assert_eq!(stage.dhow(["volume", "rename", "old", "new"]).ok(), "new\n");
    stage.dhow(["exec", "runs", "sh", "-c", "echo kept > /v/file"]).ok();
    assert_eq!(stage.dhow(["start", "-a", "waits"]).ok(), "kept\n");
    stage.kill_engine();
    stage.start_engine();
    assert_eq!(stage.dhow(["volume", "ls", "-q"]).ok(), "new\n");
    let binds = stage.dhow(["inspect", "-f", "{{json .HostConfig.Binds}} {{(index .Mounts 0).Name}}", "runs"]).ok();
    assert_eq!(binds, "[\"new:/v\"] new\n");
    let refused = stage.dhow(["volume", "rm", "new"]);
    assert!(refused.err.contains("remove new: volume is in use - ["), "{refused:?}");
    stage.dhow(["restart", "-t", "0", "runs"]).ok();
    assert_eq!(stage.dhow(["exec", "runs", "cat", "/v/file"]).ok(), "kept\n");
    assert!(stage.dhow(["volume", "rename", "nosuch", "x1"]).err.contains("get nosuch: no such volume"));
    stage.dhow(["volume", "create", "taken"]).ok();
    assert!(stage.dhow(["volume", "rename", "new", "taken"]).err.contains("there already"));
}

#[test]
fn a_clone_has_everything_and_is_its_own() {
    let stage = Stage::new();
    let make = "cd /v && echo text > file && ln file again && ln -s file link && mkfifo pipe && mkdir -m 2770 d && chown 1000:50 d";
    stage.dhow(["run", "--rm", "-v", "first:/v", "busybox", "sh", "-c", make]).ok();
    let volumes = stage.data_root().join("volumes");
    let sparse = fs::File::create(volumes.join("first/_data/sparse")).expect("a file");
    sparse.set_len(1 << 30).expect("a hole");
    sparse.write_all_at(b"end", (1 << 30) - 3).expect("written");
    assert_eq!(stage.dhow(["volume", "clone", "first", "second"]).ok(), "second\n");
    let look = "cd /v && cat file && stat -c '%h %a %u %g' file d && readlink link && ls -l pipe | cut -c1 && tail -c 3 sparse";
    let see =
        |volume: &str| stage.dhow(["run", "--rm", "-v", &format!("{volume}:/v"), "busybox", "sh", "-c", look]).ok();
    assert_eq!(see("second"), see("first"));
    let copied = fs::metadata(volumes.join("second/_data/sparse")).expect("there");
    assert!(copied.blocks() * 512 < 1 << 20, "holes stay holes");
    stage.dhow(["run", "--rm", "-v", "second:/v", "busybox", "sh", "-c", "echo other > /v/file"]).ok();
    assert!(see("first").starts_with("text\n") && see("second").starts_with("other\n"));
    stage.dhow(["volume", "rm", "first", "second"]).ok();
}

#[test]
fn anonymous_volumes_go_with_a_prune_and_others_when_asked() {
    let stage = Stage::new();
    stage.dhow(["run", "--name", "box", "-v", "/anonymous", "-v", "named:/n", "busybox", "true"]).ok();
    stage.dhow(["volume", "create", "idle"]).ok();
    assert_eq!(stage.docker(["volume", "prune", "-f"]).ok(), "Total reclaimed space: 0B\n");
    stage.dhow(["rm", "box"]).ok();
    let pruned = stage.docker(["volume", "prune", "-f"]).ok();
    assert_eq!(pruned.lines().count(), 4, "{pruned}");
    assert_eq!(stage.dhow(["volume", "ls", "-q"]).ok(), "idle\nnamed\n");
    let pruned = stage.dhow(["volume", "prune", "-af"]).ok();
    assert!(pruned.starts_with("Deleted Volumes:\nidle\nnamed\n"), "{pruned}");
}

#[test]
fn an_image_is_mounted_as_it_is_and_stays_while_it_is() {
    let stage = Stage::new();
    stage.dhow(["tag", "busybox", "tools"]).ok();
    let mount = "type=image,src=tools,dst=/tools";
    let look = "ls -d /tools/bin; cat /tools/data/seed; stat -c %u /tools/home/alice; touch /tools/x || echo refused";
    let seen = stage.docker(["run", "--rm", "--mount", mount, "busybox", "sh", "-c", look]).ok();
    assert_eq!(seen, "/tools/bin\nfrom the image\n1000\nrefused\n");
    let part = "type=image,src=tools,dst=/part,image-subpath=data";
    assert_eq!(stage.docker(["run", "--rm", "--mount", part, "busybox", "ls", "/part"]).ok(), "seed\n");
    stage.dhow(["create", "--name", "box", "--mount", part, "busybox", "true"]).ok();
    assert!(stage.dhow_with_stdin(["cp", "box:/part/seed", "-"], b"").ok().contains("from the image"));
    for outside in ["../etc", "/etc"] {
        let mount = format!("type=image,src=tools,dst=/x,image-subpath={outside}");
        let refused = stage.dhow(["create", "--mount", &mount, "busybox", "true"]);
        assert!(refused.err.contains("subpath must be a relative path"), "{refused:?}");
    }
    let missing =
        stage.dhow(["create", "--pull", "never", "--mount", "type=image,src=nosuch,dst=/x", "busybox", "true"]);
    assert!(missing.err.contains("No such image: nosuch:latest"), "{missing:?}");
}

#[test]
fn volumes_of_others_are_lent_as_they_are_or_read_only() {
    let stage = Stage::new();
    stage.dhow(["create", "--name", "lender", "-v", "named:/n", "-v", "/free", "busybox", "true"]).ok();
    stage
        .dhow(["run", "--rm", "--volumes-from", "lender", "busybox", "sh", "-c", "echo 1 > /n/x; echo 2 > /free/y"])
        .ok();
    let look = "cat /n/x /free/y; echo 3 > /n/x";
    let seen = stage.docker(["run", "--rm", "--volumes-from", "lender:ro", "busybox", "sh", "-c", look]);
    assert_eq!((seen.code, seen.out.as_str()), (1, "1\n2\n"));
    // What was borrowed does not go with who borrowed it.
    assert_eq!(stage.dhow(["volume", "ls", "-q"]).ok().lines().count(), 2);
    stage.dhow(["rm", "-v", "lender"]).ok();
    assert_eq!(stage.dhow(["volume", "ls", "-q"]).ok(), "named\n");
}
