//! Networks whose ends are made by plugins of the Container Network Interface: Debian's, and scripts.

use it::{Stage, within};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Where Debian has them (package containernetworking-plugins).
const PROGRAMS: &str = "/usr/lib/cni";
const SERVE: &[&str] = &["busybox", "sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"];

fn write(stage: &Stage, name: &str, text: &str) -> PathBuf {
    let path = stage.folder().join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// A bridge with addresses of host-local, which keeps them in the test's folder, and published ports.
fn bridge(stage: &Stage, version: &str) -> PathBuf {
    assert!(PathBuf::from(PROGRAMS).join("bridge").is_file(), "containernetworking-plugins are needed");
    let leases = stage.folder().join("leases");
    let text = format!(
        r#"{{"cniVersion":"{version}","name":"front","plugins":[
        {{"type":"bridge","bridge":"cni-front","isGateway":true,"ipMasq":false,"capabilities":{{"ips":true,"mac":true}},
          "ipam":{{"type":"host-local","dataDir":"{}","ranges":[[{{"subnet":"10.88.7.0/24"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}}},
        {{"type":"portmap","capabilities":{{"portMappings":true}},"snat":true}}]}}"#,
        leases.display()
    );
    write(stage, "front.conflist", &text)
}

fn create(stage: &Stage, conf: &std::path::Path, name: &str, more: &[&str]) -> it::Output {
    let conf = format!("conf={}", conf.display());
    let bin = format!("bin-dir={PROGRAMS}:{}", stage.folder().display());
    stage.dhow(["network", "create", "-d", "cni", "-o", &conf, "-o", &bin].iter().chain(more).chain(&[name]))
}

fn leases(stage: &Stage) -> usize {
    let entries = fs::read_dir(stage.folder().join("leases/front")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("10.88.7.")).count()
}

fn fetched(stage: &Stage, address: &str, port: u16) -> String {
    let line = format!(
        "timeout 30 bash -c 'exec 3<>/dev/tcp/{address}/{port} && printf \"GET /index.html HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3' | tail -n 1"
    );
    stage.shell_inside(&line).out
}

/// Nothing is left of the plugins' own things but the bridge, which they never remove.
fn clear(stage: &Stage, names: &[&str]) {
    for name in names {
        stage.dhow(["rm", "-f", name]).ok();
    }
    stage.dhow(["network", "rm", "front"]).ok();
    assert_eq!(leases(stage), 0);
    stage.shell_inside("ip link del cni-front").ok();
    let binds = fs::read_dir(stage.folder().join("run/netns")).expect("the folder of namespaces").count();
    assert_eq!(binds, 0, "no namespace is held");
    stage.clear_networks(&[]);
}

#[test]
fn containers_meet_on_a_network_of_debians_plugins() {
    let stage = Stage::new();
    let conf = bridge(&stage, "1.0.0");
    create(&stage, &conf, "front", &[]).ok();
    let run = ["run", "-d", "--name", "web", "--network", "front", "-p", "18500:80", "--ip", "10.88.7.50"];
    stage.dhow(run.iter().chain(SERVE)).ok();
    let shown = |template: &str| {
        let template = format!("{{{{with .NetworkSettings.Networks.front}}}}{template}{{{{end}}}}");
        stage.dhow(["inspect", "-f", &template, "web"]).ok().trim().to_owned()
    };
    assert_eq!(shown("{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}}"), "10.88.7.50/24 10.88.7.1");
    assert_eq!(shown("{{.MacAddress}}").len(), 17);
    within("it serves", || fetched(&stage, "10.88.7.50", 80) == "page\n");
    assert_eq!(stage.dhow(["port", "web"]).ok().trim(), "80/tcp -> 0.0.0.0:18500");
    // By the plugin's rules, from the machine's own address.
    stage.shell_inside("ip address add 198.51.100.9/32 dev lo").ok();
    within("the port leads in", || fetched(&stage, "198.51.100.9", 18500) == "page\n");
    let taken = stage.dhow(["run", "--rm", "--network", "front", "-p", "18500:80", "busybox", "true"]);
    assert!(taken.err.contains("18500"), "{taken:?}");
    // By name, and out again by the default route.
    let asked = stage.dhow(["run", "--rm", "--network", "front", "busybox", "ping", "-c", "1", "-W", "30", "web"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    within("its address is given back", || leases(&stage) == 1);
    // While it runs.
    stage.dhow(["run", "-d", "--name", "late", "busybox", "sleep", "100000"]).ok();
    stage.dhow(["network", "connect", "front", "late"]).ok();
    assert_eq!(leases(&stage), 2);
    assert_eq!(stage.dhow(["exec", "late", "ping", "-c", "1", "-W", "30", "10.88.7.50"]).code, 0);
    stage.dhow(["network", "disconnect", "front", "late"]).ok();
    assert_eq!(leases(&stage), 1);
    clear(&stage, &["web", "late"]);
}

#[test]
fn ends_outlive_the_engine_and_those_of_the_dead_are_taken_back() {
    let mut stage = Stage::new();
    let conf = bridge(&stage, "0.4.0");
    create(&stage, &conf, "front", &[]).ok();
    for name in ["stays", "goes"] {
        stage.dhow(["run", "-d", "--name", name, "--network", "front"].iter().chain(SERVE)).ok();
    }
    let address = |stage: &Stage, name: &str| {
        let template = "{{.NetworkSettings.Networks.front.IPAddress}}";
        stage.dhow(["inspect", "-f", template, name]).ok().trim().to_owned()
    };
    let (stays, pid) = (address(&stage, "stays"), stage.dhow(["inspect", "-f", "{{.State.Pid}}", "goes"]).ok());
    assert_eq!(leases(&stage), 2);
    stage.kill_engine();
    // Whatever became of the configuration: it is taken back by that it was made with.
    let text = fs::read_to_string(&conf).expect("the configuration");
    fs::write(&conf, text.replace("10.88.7.0/24", "10.88.9.0/24")).expect("another one");
    stage.shell_inside(&format!("kill -9 {}", pid.trim())).ok();
    stage.start_engine();
    within("the address of the dead is given back", || leases(&stage) == 1);
    assert_eq!(address(&stage, "stays"), stays);
    within("the other one serves", || fetched(&stage, &stays, 80) == "page\n");
    clear(&stage, &["stays", "goes"]);
}

#[test]
fn plugins_that_refuse_or_hang_are_told_and_leave_nothing() {
    let stage = Stage::new();
    let script = |name: &str, add: &str| {
        let path = write(
            &stage,
            name,
            &format!(
                "#!/bin/sh\ncat > /dev/null\necho {name} $CNI_COMMAND >> {}/calls\ncase $CNI_COMMAND in\n\
                 VERSION) echo '{{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\"]}}' ;;\nADD) {add} ;;\nesac\n",
                stage.folder().display()
            ),
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the mode of a file");
    };
    script("refuses", r#"echo '{"cniVersion":"1.0.0","code":11,"msg":"no room","details":"ask later"}'; exit 1"#);
    script("hangs", "sleep 100000");
    for name in ["refuses", "hangs", "absent"] {
        let text = format!(r#"{{"cniVersion":"1.0.0","name":"{name}","plugins":[{{"type":"{name}"}}]}}"#);
        write(&stage, &format!("{name}.conflist"), &text);
    }
    let conf = |name: &str| stage.folder().join(format!("{name}.conflist"));
    let absent = create(&stage, &conf("absent"), "absent", &[]);
    assert!(absent.err.contains("the CNI plugin \"absent\" is in none of"), "{absent:?}");
    assert!(!stage.dhow(["network", "ls", "--format", "{{.Name}}"]).ok().contains("absent"));
    create(&stage, &conf("refuses"), "refuses", &[]).ok();
    create(&stage, &conf("hangs"), "hangs", &["-o", "timeout=3s"]).ok();
    let run = |name: &str, flags: &[&str]| {
        stage.dhow(["run", "--rm", "--network", name].iter().chain(flags).chain(&["busybox", "true"]))
    };
    let refused = run("refuses", &[]);
    assert!(refused.err.contains("the CNI plugin \"refuses\" cannot ADD: no room: ask later (code 11)"), "{refused:?}");
    let hung = run("hangs", &[]);
    assert!(hung.err.contains("the CNI plugin \"hangs\" did not ADD within 3 s and was killed"), "{hung:?}");
    let ports = run("refuses", &["-p", "80"]);
    assert!(ports.err.contains("has the capability \"portMappings\""), "{ports:?}");
    let policy = run("refuses", &["--egress", "deny"]);
    assert_ne!(policy.code, 0);
    let calls = fs::read_to_string(stage.folder().join("calls")).expect("calls");
    for call in ["refuses ADD\nrefuses DEL\n", "hangs ADD\nhangs DEL\n"] {
        assert!(calls.contains(call), "{calls}");
    }
    assert_eq!(fs::read_dir(stage.folder().join("run/netns")).expect("a folder").count(), 0);
    for wrong in [&["-o", "parent=eth0"][..], &["--subnet", "10.0.0.0/24"], &["--internal"]] {
        assert_ne!(create(&stage, &conf("refuses"), "wrong", wrong).code, 0, "{wrong:?}");
    }
    stage.clear_networks(&[]);
}
