//! More processes in running containers; and what a link gives a container.

use it::{Events, Frame, Stage, status, within};

fn http(stage: &Stage, words: &[&str], path: &str) -> String {
    let socket = stage.host().trim_start_matches("unix://").to_owned();
    let mut command = std::process::Command::new("curl");
    command.args(["-s", "-w", " %{http_code}", "-H", "Content-Type: application/json", "--unix-socket", &socket]);
    let output = command.args(words).arg(format!("http://d/v1.50{path}")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace("\n ", " ")
}

fn created(stage: &Stage, body: &str) -> String {
    let answer = http(stage, &["-d", body], "/containers/box/exec");
    answer.split('"').nth(3).unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn an_exec_is_shown_before_during_and_after_its_run() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let id = created(&stage, r#"{"Cmd":["sh","-c","exit 4"],"User":"0:0","DetachKeys":"ctrl-a,b","AttachStdin":true}"#);
    let shown = http(&stage, &[], &format!("/exec/{id}/json"));
    assert!(
        shown.contains(r#""Running":false,"ExitCode":null"#) && shown.contains(r#""DetachKeys":"AWI=""#),
        "{shown}"
    );
    assert!(shown.contains(r#""entrypoint":"sh","arguments":["-c","exit 4"]"#), "{shown}");
    assert_eq!(http(&stage, &["-d", r#"{"Detach":true}"#], &format!("/exec/{id}/start")), " 200");
    within("its exit code is known", || http(&stage, &[], &format!("/exec/{id}/json")).contains(r#""ExitCode":4"#));
    let again = http(&stage, &["-d", r#"{"Detach":true}"#], &format!("/exec/{id}/start"));
    assert!(again.contains("has already run") && again.ends_with(" 409"), "{again}");
    let sleeps = created(&stage, r#"{"Cmd":["sleep","1000"]}"#);
    http(&stage, &["-d", r#"{"Detach":true}"#], &format!("/exec/{sleeps}/start"));
    let again = http(&stage, &["-d", r#"{"Detach":true}"#], &format!("/exec/{sleeps}/start"));
    assert!(again.contains("is already running") && again.ends_with(" 409"), "{again}");
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    within("it ended with its container", || http(&stage, &[], &format!("/exec/{sleeps}/json")).contains(":137"));
    stage.dhow(["rm", "box"]).ok();
    assert!(http(&stage, &[], &format!("/exec/{sleeps}/json")).ends_with(" 404"));
}

#[test]
fn codes_and_texts_are_those_that_clients_look_for() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "-e", "A=1", "busybox", "sleep", "1000"]).ok();
    for (words, code) in [
        (vec!["exec", "box", "nosuch"], 127),
        (vec!["exec", "box", "/bin/not-executable"], 126),
        (vec!["exec", "box", "sh", "-c", "exit 7"], 7),
        (vec!["exec", "box", "sh", "-c", "kill -9 $$"], 137),
        (vec!["exec", "-w", "/nosuch", "box", "true"], 127),
    ] {
        assert_eq!(stage.docker(words.clone()).code, code, "{words:?}");
        assert_eq!(stage.dhow(words.clone()).code, code, "{words:?}");
    }
    let said =
        stage.docker(["exec", "-e", "B=2", "-u", "alice", "-w", "/tmp", "box", "sh", "-c", "echo $A $B; id -un; pwd"]);
    assert_eq!(said.ok(), "1 2\nalice\n/tmp\n");
    stage.dhow(["pause", "box"]).ok();
    assert!(stage.docker(["exec", "box", "true"]).err.contains("is paused, unpause the container before exec"));
    stage.dhow(["unpause", "box"]).ok();
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    assert!(stage.docker(["exec", "box", "true"]).err.contains("is not running"));
}

#[test]
fn an_exec_is_made_and_run_with_one_request_by_who_asks_for_that() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let ask = |more: &str, body: &str| {
        let mut wire = stage.wire();
        let length = body.len();
        wire.send(format!(
            "POST /containers/box/exec HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        ));
        let head = wire.head();
        (wire, head)
    };
    let body = r#"{"Cmd":["sh","-c","echo out; echo err >&2; exit 7"],"AttachStdout":true,"AttachStderr":true}"#;
    let (mut wire, head) = ask("Connection: Upgrade\r\nUpgrade: tcp\r\nDhow-Exec: start\r\n", body);
    assert_eq!(status(&head), 101, "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("Dhow-Exec: ")).expect("its id").to_owned();
    let frames: Vec<Frame> = std::iter::from_fn(|| wire.frame()).collect();
    let (own, output): (Vec<&Frame>, Vec<&Frame>) = frames.iter().partition(|frame| frame.stream == 4);
    assert_eq!(own, [&Frame { stream: 4, bytes: b"7".to_vec() }]);
    assert_eq!(frames.last(), own.first().copied(), "the exit code is the last that is said");
    assert_eq!(output.iter().map(|frame| frame.bytes.len()).sum::<usize>(), "out\nerr\n".len());
    assert!(http(&stage, &[], &format!("/exec/{id}/json")).contains(r#""ExitCode":7"#));
    let (_, head) = ask("Dhow-Exec: start\r\n", body);
    assert_eq!(status(&head), 201, "what cannot be handed over is only made: {head}");
    let (_, head) = ask("Connection: Upgrade\r\nUpgrade: tcp\r\n", body);
    assert_eq!(status(&head), 201, "who does not ask for it gets what Docker gives: {head}");
    stage.dhow(["rm", "-f", "box"]).ok();
}

#[test]
fn each_step_of_an_exec_is_told() {
    let stage = Stage::new();
    let events = Events::listen(&stage);
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    stage.docker(["exec", "box", "true"]).ok();
    stage.docker(["exec", "box", "sh", "-c", "true"]).ok();
    stage.docker(["kill", "box"]).ok();
    stage.docker(["wait", "box"]).ok();
    let told: Vec<String> = events.end().into_iter().filter(|action| action.starts_with("exec_")).collect();
    let steps = [
        "exec_create: true ",
        "exec_start: true ",
        "exec_die",
        "exec_create: sh -c true",
        "exec_start: sh -c true",
        "exec_die",
    ];
    assert_eq!(told, steps);
}

#[test]
fn many_execs_that_end_at_once_are_all_remembered() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let ids: Vec<String> = (0..150).map(|_| created(&stage, r#"{"Cmd":["false"]}"#)).collect();
    for id in &ids {
        assert_eq!(http(&stage, &["-d", r#"{"Detach":true}"#], &format!("/exec/{id}/start")), " 200");
    }
    for id in &ids {
        within("its exit code is known", || http(&stage, &[], &format!("/exec/{id}/json")).contains(r#""ExitCode":1"#));
    }
}

#[test]
fn a_link_is_a_name_and_variables_until_it_is_removed() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "data", "--expose", "5432", "-e", "USER=me", "busybox", "sleep", "1000"]).ok();
    stage.docker(["run", "-d", "--name", "web", "--link", "data:my-db", "busybox", "sleep", "1000"]).ok();
    let address = stage.dhow(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "data"]).ok();
    let address = address.trim();
    let said = stage.docker(["exec", "web", "env"]).ok();
    for line in [
        format!("MY_DB_PORT=tcp://{address}:5432"),
        format!("MY_DB_PORT_5432_TCP_ADDR={address}"),
        "MY_DB_PORT_5432_TCP_PROTO=tcp".to_owned(),
        "MY_DB_NAME=/web/my-db".to_owned(),
        "MY_DB_ENV_USER=me".to_owned(),
    ] {
        assert!(said.lines().any(|said| said == line), "{line} is not in\n{said}");
    }
    assert_eq!(stage.docker(["exec", "web", "ping", "-c", "1", "-W", "5", "my-db"]).code, 0);
    assert_eq!(stage.docker(["inspect", "-f", "{{.HostConfig.Links}}", "web"]).ok(), "[/data:/web/my-db]\n");
    // Another takes its address: the name follows.
    stage.dhow(["stop", "-t", "0", "data"]).ok();
    stage.dhow(["run", "-d", "--name", "thief", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["start", "data"]).ok();
    let moved = stage.dhow(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "data"]).ok();
    let hosts = stage.docker(["exec", "web", "cat", "/etc/hosts"]).ok();
    assert!(hosts.contains(&format!("{}\tmy-db ", moved.trim())), "{hosts}");
    stage.dhow(["stop", "-t", "0", "web", "data"]).ok();
    let refused = stage.docker(["start", "web"]);
    assert!(refused.err.contains("Cannot link to a non running container: /data AS /web/my-db"), "{}", refused.err);
    stage.docker(["rm", "--link", "web/my-db"]).ok();
    stage.docker(["start", "web"]).ok();
    assert!(!stage.docker(["exec", "web", "cat", "/etc/hosts"]).ok().contains("my-db"));
}
