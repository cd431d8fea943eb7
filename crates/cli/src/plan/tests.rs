//! Command lines and what docker 28.2.2 asks its daemon for when they are typed, without the values that are defaults.

use super::*;
use crate::grammar::{About, Needs, parse};
use serde_json::json;

const RUN: About = About { name: "run", usage: "", does: "", needs: Needs::AtLeast(1) };

/// The words of a line; a word in single quotes may hold spaces.
fn words(line: &str) -> Vec<std::ffi::OsString> {
    let mut all = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => all.extend(part.split_whitespace().map(Into::into)),
            _ => all.push(part.into()),
        }
    }
    all
}

fn planned(line: &str) -> Result<Plan, String> {
    let flags: ContainerFlags = parse(&RUN, &words(line)).map_err(|failure| failure.to_string())?;
    let variable = |name: &str| (name == "HOMEX").then(|| "hx".to_owned());
    let around = Surroundings { variable: &variable, folder: "/here".into(), console: None };
    plan(&flags, false, &around)
}

/// The body of `line i` without what stands in every body.
fn asked(line: &str) -> Value {
    let mut body = planned(line).unwrap_or_else(|why| panic!("{line}: {why}")).body;
    let object = body.as_object_mut().expect("an object");
    for key in ["Image", "AttachStdout", "AttachStderr"] {
        object.remove(key);
    }
    let host = object["HostConfig"].as_object_mut().expect("an object");
    if host["NetworkMode"] == "default" {
        host.remove("NetworkMode");
    }
    if host["RestartPolicy"] == json!({ "Name": "no" }) {
        host.remove("RestartPolicy");
    }
    if host.is_empty() {
        object.remove("HostConfig");
    }
    body
}

fn host(line: &str) -> Value {
    let body = asked(line);
    let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["HostConfig"], "{line}");
    body["HostConfig"].clone()
}

#[test]
fn the_process_is_described() {
    for (line, body) in [
        ("i", json!({})),
        ("i true -x", json!({ "Cmd": ["true", "-x"] })),
        ("-t i", json!({ "Tty": true })),
        ("-i i cat", json!({ "AttachStdin": true, "OpenStdin": true, "StdinOnce": true, "Cmd": ["cat"] })),
        (
            "-w /x -u 1:2 --entrypoint /bin/sh i -c hi",
            json!({ "User": "1:2", "Cmd": ["-c", "hi"], "WorkingDir": "/x", "Entrypoint": ["/bin/sh"] }),
        ),
        ("--entrypoint= i", json!({ "Entrypoint": [""] })),
        ("-e A=b -e HOMEX -e PATHY= -e NOPE i", json!({ "Env": ["A=b", "HOMEX=hx", "PATHY=", "NOPE"] })),
        ("-h host.x --domainname dom i", json!({ "Hostname": "host.x", "Domainname": "dom" })),
        ("-l a=b -l c --label d= i", json!({ "Labels": { "a": "b", "c": "", "d": "" } })),
        ("--stop-signal SIGINT --stop-timeout 0 i", json!({ "StopSignal": "SIGINT", "StopTimeout": 0 })),
        ("--no-healthcheck i", json!({ "Healthcheck": { "Test": ["NONE"] } })),
        (
            "--health-cmd 'curl x' --health-interval 5s --health-timeout 1m30s --health-retries 3 --health-start-period 1h i",
            json!({ "Healthcheck": { "Test": ["CMD-SHELL", "curl x"], "Interval": 5_000_000_000_i64, "Timeout": 90_000_000_000_i64, "StartPeriod": 3_600_000_000_000_i64, "Retries": 3 } }),
        ),
        ("-u '' -w '' --name '' i", json!({})),
    ] {
        assert_eq!(asked(line), body, "{line}");
    }
}

#[test]
fn streams_are_attached_as_asked() {
    for (line, attached) in [
        ("i", Attached { stdin: false, stdout: true, stderr: true }),
        ("-i i", Attached { stdin: true, stdout: true, stderr: true }),
        ("-a stdout i", Attached { stdin: false, stdout: true, stderr: false }),
        ("-a STDIN -a stderr i", Attached { stdin: true, stdout: false, stderr: true }),
    ] {
        assert_eq!(planned(line).expect(line).attached, attached, "{line}");
    }
    let flags: ContainerFlags = parse(&RUN, &words("-it i")).expect("good flags");
    let around = Surroundings { variable: &|_| None, folder: "/".into(), console: Some((24, 80)) };
    let background = plan(&flags, true, &around).expect("a plan");
    assert!(!background.attached.any());
    assert_eq!((&background.body["OpenStdin"], &background.body["StdinOnce"]), (&json!(true), &Value::Null));
    assert_eq!(background.body["HostConfig"]["ConsoleSize"], json!([24, 80]));
}

#[test]
fn limits_are_numbers() {
    for (line, expected) in [
        ("-m 64m i", json!({ "Memory": 67_108_864 })),
        (
            "-m 1.5g --memory-swap -1 --memory-reservation 32M --memory-swappiness 30 i",
            json!({ "Memory": 1_610_612_736, "MemorySwap": -1, "MemoryReservation": 33_554_432, "MemorySwappiness": 30 }),
        ),
        ("--oom-kill-disable --oom-score-adj -500 i", json!({ "OomKillDisable": true, "OomScoreAdj": -500 })),
        (
            "--cpus 1.333 --cpu-shares 512 --cpuset-cpus 0-1 --cpuset-mems 0 i",
            json!({ "NanoCpus": 1_333_000_000, "CpuShares": 512, "CpusetCpus": "0-1", "CpusetMems": "0" }),
        ),
        ("-c 10 --cpu-period 1000 --cpu-quota 500 i", json!({ "CpuShares": 10, "CpuPeriod": 1000, "CpuQuota": 500 })),
        ("--pids-limit -1 i", json!({ "PidsLimit": -1 })),
        (
            "--ulimit nofile=10:20 --ulimit core=-1 i",
            json!({ "Ulimits": [{ "Name": "core", "Soft": -1, "Hard": -1 }, { "Name": "nofile", "Soft": 10, "Hard": 20 }] }),
        ),
        ("--shm-size 1g i", json!({ "ShmSize": 1_073_741_824 })),
        (
            "--device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:100 --blkio-weight 100 i",
            json!({ "BlkioWeight": 100, "BlkioDeviceReadBps": [{ "Path": "/dev/sda", "Rate": 1_048_576 }], "BlkioDeviceWriteIOps": [{ "Path": "/dev/sda", "Rate": 100 }] }),
        ),
        ("--cgroup-parent /x --runtime foo i", json!({ "CgroupParent": "/x", "Runtime": "foo" })),
    ] {
        assert_eq!(host(line), expected, "{line}");
    }
}

#[test]
fn devices_are_mapped() {
    let device = |host: &str, inside: &str, mode: &str| json!({ "PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": mode });
    assert_eq!(
        host(
            "--device /dev/fuse --device /dev/a:/dev/b --device /dev/c:/dev/d:r --device /dev/e:rw --device v.com/class=name i"
        ),
        json!({
            "Devices": [device("/dev/fuse", "/dev/fuse", "rwm"), device("/dev/a", "/dev/b", "rwm"), device("/dev/c", "/dev/d", "r"), device("/dev/e", "/dev/e", "rw")],
            "DeviceRequests": [{ "Driver": "cdi", "DeviceIDs": ["v.com/class=name"] }],
        })
    );
    assert_eq!(host("--gpus all i")["DeviceRequests"][0]["Count"], -1);
    assert_eq!(
        host("--gpus device=0,capabilities=utility i")["DeviceRequests"][0]["Capabilities"],
        json!([["utility", "gpu"]])
    );
    assert_eq!(host("--gpus \"device=0,1\" i")["DeviceRequests"][0]["DeviceIDs"], json!(["0", "1"]));
}

#[test]
fn ports_are_spread_out() {
    let bound = |ip: &str, port: &str| json!({ "HostIp": ip, "HostPort": port });
    let body = asked(
        "-p 80 -p 8080:80 -p 127.0.0.1:9000-9001:90-91/udp -p [::1]:1:2 -p 127.0.0.1::5 -p published=7,target=8 --expose 99 i",
    );
    assert_eq!(
        body["HostConfig"]["PortBindings"],
        json!({
            "80/tcp": [bound("", ""), bound("", "8080")], "90/udp": [bound("127.0.0.1", "9000")], "91/udp": [bound("127.0.0.1", "9001")],
            "2/tcp": [bound("::1", "1")], "5/tcp": [bound("127.0.0.1", "")], "8/tcp": [bound("", "7")],
        })
    );
    let exposed: Vec<&String> = body["ExposedPorts"].as_object().expect("an object").keys().collect();
    assert_eq!(exposed, ["2/tcp", "5/tcp", "8/tcp", "80/tcp", "90/udp", "91/udp", "99/tcp"]);
    assert_eq!(asked("-p 9000-9010:80 i")["HostConfig"]["PortBindings"], json!({ "80/tcp": [bound("", "9000-9010")] }));
    assert_eq!(asked("-P i"), json!({ "HostConfig": { "PublishAllPorts": true } }));
}

#[test]
fn mounts_are_sorted_into_their_kinds() {
    assert_eq!(
        asked("-v /a:/b -v vol:/c:ro -v /anon -v ./rel/../x:/rel --tmpfs /t --tmpfs /u:size=1m,mode=1777 i"),
        json!({ "Volumes": { "/anon": {} }, "HostConfig": { "Binds": ["/a:/b", "vol:/c:ro", "/here/x:/rel"], "Tmpfs": { "/t": "", "/u": "size=1m,mode=1777" } } })
    );
    for (mount, expected) in [
        ("type=bind,src=/a,dst=/b,ro", json!({ "Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true })),
        ("type=bind,src=./a,dst=/b,readonly=false", json!({ "Type": "bind", "Source": "/here/a", "Target": "/b" })),
        (
            "type=bind,src=/a,dst=/b,bind-propagation=rshared,bind-recursive=disabled",
            json!({ "Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": { "Propagation": "rshared", "NonRecursive": true } }),
        ),
        (
            "source=v,target=/c,volume-nocopy,volume-label=a=b",
            json!({ "Type": "volume", "Source": "v", "Target": "/c", "VolumeOptions": { "NoCopy": true, "Labels": { "a": "b" } } }),
        ),
        (
            "src=v,dst=/c,volume-driver=local,volume-opt=a=b,volume-subpath=x",
            json!({ "Type": "volume", "Source": "v", "Target": "/c", "VolumeOptions": { "Subpath": "x", "DriverConfig": { "Name": "local", "Options": { "a": "b" } } } }),
        ),
        (
            "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770",
            json!({ "Type": "tmpfs", "Target": "/t", "TmpfsOptions": { "SizeBytes": 67_108_864, "Mode": 1016 } }),
        ),
        (
            "type=image,src=alpine,dst=/i,image-subpath=etc",
            json!({ "Type": "image", "Source": "alpine", "Target": "/i", "ImageOptions": { "Subpath": "etc" } }),
        ),
    ] {
        assert_eq!(host(&format!("--mount {mount} i")), json!({ "Mounts": [expected] }), "{mount}");
    }
}

#[test]
fn networks_are_modes_or_endpoints() {
    for (line, mode, endpoints) in [
        ("--network none i", "none", Value::Null),
        ("--net host i", "host", Value::Null),
        ("--network container:abc i", "container:abc", Value::Null),
        ("--network mynet --network-alias a i", "mynet", json!({ "mynet": { "Aliases": ["a"] } })),
        ("--ip 10.0.0.2 i", "default", json!({ "default": { "IPAMConfig": { "IPv4Address": "10.0.0.2" } } })),
        (
            "--network name=mynet,alias=q,ip=1.2.3.4,driver-opt=a=b,gw-priority=5 --network other i",
            "mynet",
            json!({ "mynet": { "Aliases": ["q"], "IPAMConfig": { "IPv4Address": "1.2.3.4" }, "DriverOpts": { "a": "b" }, "GwPriority": 5 }, "other": {} }),
        ),
        ("--mac-address 02:42:ac:11:00:02 i", "default", json!({ "default": { "MacAddress": "02:42:ac:11:00:02" } })),
    ] {
        let body = planned(line).expect(line).body;
        assert_eq!(body["HostConfig"]["NetworkMode"], mode, "{line}");
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"], endpoints, "{line}");
    }
}

#[test]
fn the_rest_of_the_host_side() {
    let profile = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(profile.path(), "{\n \"defaultAction\": \"SCMP_ACT_ALLOW\" }\n").expect("written");
    let seccomp = format!("--security-opt seccomp={} --security-opt no-new-privileges i", profile.path().display());
    for (line, expected) in [
        ("--rm i", json!({ "AutoRemove": true })),
        ("--init --privileged --read-only i", json!({ "Init": true, "Privileged": true, "ReadonlyRootfs": true })),
        ("--init=false i", json!({ "Init": false })),
        ("--restart on-failure:3 i", json!({ "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 3 } })),
        (
            "--cap-add NET_ADMIN --cap-add all --cap-drop chown --cap-drop CAP_SYS_ADMIN i",
            json!({ "CapAdd": ["ALL", "CAP_NET_ADMIN"], "CapDrop": ["CAP_CHOWN", "CAP_SYS_ADMIN"] }),
        ),
        (
            "--security-opt seccomp=unconfined --security-opt systempaths=unconfined i",
            json!({ "SecurityOpt": ["seccomp=unconfined"], "MaskedPaths": [], "ReadonlyPaths": [] }),
        ),
        (&seccomp, json!({ "SecurityOpt": ["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "no-new-privileges"] })),
        (
            "--ipc host --pid host --uts host --userns host --cgroupns host i",
            json!({ "IpcMode": "host", "PidMode": "host", "UTSMode": "host", "UsernsMode": "host", "CgroupnsMode": "host" }),
        ),
        ("--ipc container:x --pid container:y i", json!({ "IpcMode": "container:x", "PidMode": "container:y" })),
        (
            "--add-host b=::1 --dns 8.8.8.8 --dns-search . --dns-opt b --group-add adm i",
            json!({ "ExtraHosts": ["b:::1"], "Dns": ["8.8.8.8"], "DnsSearch": ["."], "DnsOptions": ["b"], "GroupAdd": ["adm"] }),
        ),
        (
            "--log-driver json-file --log-opt max-size=10m i",
            json!({ "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m" } } }),
        ),
        (
            "--annotation a=b --sysctl net.x=1 --storage-opt size=10G --volumes-from x:ro i",
            json!({ "Annotations": { "a": "b" }, "Sysctls": { "net.x": "1" }, "StorageOpt": { "size": "10G" }, "VolumesFrom": ["x:ro"] }),
        ),
    ] {
        assert_eq!(host(line), expected, "{line}");
    }
    assert_eq!(planned("--platform arm64 i").expect("a plan").platform.as_deref(), Some("linux/arm64"));
    assert_eq!(planned("--platform Linux/x86_64 i").expect("a plan").platform.as_deref(), Some("linux/amd64"));
}

#[test]
fn files_of_variables_and_labels_are_read() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "\u{feff}A=1\n#c\nHOMEX\n\n  SP=x y \nNOPE\n").expect("written");
    let path = file.path().display();
    assert_eq!(asked(&format!("--env-file {path} -e A=2 i")), json!({ "Env": ["A=1", "HOMEX=hx", "SP=x y ", "A=2"] }));
    assert_eq!(asked(&format!("--label-file {path} -l A=3 i")), json!({ "Labels": { "A": "3", "SP": "x y " } }));
    for text in ["=x\n", "a b=c\n"] {
        std::fs::write(file.path(), text).expect("written");
        assert!(planned(&format!("--env-file {path} i")).is_err(), "{text}");
    }
    std::fs::write(file.path(), b"A=\xff\n").expect("written");
    assert!(planned(&format!("--env-file {path} i")).is_err());
}

#[test]
fn docker_s_words_for_what_cannot_be() {
    for (line, why) in [
        ("--rm --restart always i", "conflicting options: cannot specify both --restart and --rm"),
        ("-p 70000 i", "invalid containerPort: 70000"),
        ("-p a:80 i", "invalid hostPort: a"),
        ("-p 1-2:3-5 i", "invalid ranges specified for container and host Ports: 3-5 and 1-2"),
        ("-p 1.2.3:1:2 i", "invalid IP address: 1.2.3"),
        ("-p 80/foo i", "invalid proto: foo"),
        ("-p 5-3 i", "invalid containerPort: 5-3"),
        (
            "--expose x i",
            "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "--security-opt seccomp=/nonexist i",
            "opening seccomp profile (/nonexist) failed: open /nonexist: no such file or directory",
        ),
        ("--device /a:/b:c i", "bad mode specified: c"),
        ("--health-cmd x --no-healthcheck i", "--no-healthcheck conflicts with --health-* options"),
        ("--health-retries -1 i", "--health-retries cannot be negative"),
        ("--network-alias x i", "network-scoped aliases are only supported for user-defined networks"),
        (
            "--network host --network my i",
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
        ("--network a --network a i", "network \"a\" is specified multiple times"),
        ("--env-file /nonexist i", "open /nonexist: no such file or directory"),
        (
            "--platform a/b/c/d i",
            "error parsing specified platform: \"a/b/c/d\": cannot parse platform specifier: invalid argument",
        ),
        ("--pull bogus i", "invalid pull option: 'bogus': must be one of \"always\", \"missing\" or \"never\""),
        ("--userns bogus i", "--userns: invalid USER mode"),
        ("--uts bogus i", "--uts: invalid UTS mode"),
        ("--pid bogus i", "--pid: invalid PID mode"),
        ("--pid container: i", "--pid: invalid PID mode"),
        ("--cgroupns bogus i", "--cgroupns: invalid CGROUP mode"),
        ("--memory-swappiness 200 i", "invalid value: 200. Valid memory swappiness range is 0-100"),
        ("--log-driver none --log-opt a=b i", "invalid logging opts for driver none"),
        ("--storage-opt a i", "invalid storage option"),
        ("--mac-address foo i", "foo is not a valid mac address"),
    ] {
        assert_eq!(planned(line).map(|_| ()), Err(why.to_owned()), "{line}");
    }
    for line in [
        "--mount type=bind,src=/a i",
        "--mount dst=/x,bogus=1 i",
        "--mount type=tmpfs,dst=/x,volume-nocopy i",
        "--mount '\"dst=/x' i",
        "--network name= i",
    ] {
        assert!(planned(line).is_err(), "{line}");
    }
}
