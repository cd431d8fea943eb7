//! Lists of containers: rows that are kept between two requests are never old.

use it::Stage;
use serde_json::Value;

fn rows(stage: &Stage, query: &str) -> Vec<Value> {
    let (status, body) = stage.ask("GET", &format!("/containers/json?{query}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The only row, as it is put together from kept parts and as it is made for a filter.
fn row(stage: &Stage) -> Value {
    let without_time = |mut rows: Vec<Value>| {
        let mut row = rows.pop().expect("a row");
        let status = row["Status"].take();
        assert!(rows.is_empty() && status.is_string(), "{row}");
        row
    };
    let (kept, made) = (rows(stage, "all=1"), rows(stage, "all=1&filters=%7B%22id%22%3A%5B%22%22%5D%7D"));
    assert_eq!(without_time(kept.clone()), without_time(made));
    kept[0].clone()
}

#[test]
fn a_row_follows_every_change() {
    let stage = Stage::new();
    assert_eq!(stage.ask("GET", "/containers/json?all=1"), (200, "[]\n".to_owned()));
    stage.dhow(["create", "--name", "one", "--label", "Status=\"\"", "busybox", "sleep", "1000"]).ok();
    assert_eq!((&row(&stage)["State"], &row(&stage)["Status"]), (&"created".into(), &"Created".into()));
    assert!(rows(&stage, "").is_empty(), "it does not run");
    stage.dhow(["start", "one"]).ok();
    assert_eq!(row(&stage)["State"], "running");
    assert_eq!(rows(&stage, "").len(), 1);
    stage.dhow(["rename", "one", "two"]).ok();
    assert_eq!(row(&stage)["Names"][0], "/two");
    stage.dhow(["network", "create", "net"]).ok();
    stage.dhow(["network", "connect", "net", "two"]).ok();
    assert!(row(&stage)["NetworkSettings"]["Networks"]["net"]["IPAddress"].as_str().is_some_and(|ip| !ip.is_empty()));
    stage.dhow(["network", "disconnect", "net", "two"]).ok();
    assert!(row(&stage)["NetworkSettings"]["Networks"]["net"].is_null());
    stage.dhow(["pause", "two"]).ok();
    assert!(row(&stage)["Status"].as_str().is_some_and(|status| status.ends_with(" (Paused)")));
    stage.dhow(["unpause", "two"]).ok();
    assert_eq!((&row(&stage)["State"], &row(&stage)["Image"]), (&"running".into(), &"busybox".into()));
    stage.dhow(["commit", "two", "busybox"]).ok();
    assert_eq!(row(&stage)["Image"], row(&stage)["ImageID"], "its name is another image's by now");
    stage.dhow(["stop", "-t", "0", "two"]).ok();
    assert!(row(&stage)["Status"].as_str().is_some_and(|status| status.starts_with("Exited (137) ")));
    stage.dhow(["rm", "two"]).ok();
    assert!(rows(&stage, "all=1").is_empty());
    stage.dhow(["network", "rm", "net"]).ok();
}

#[test]
fn the_network_of_a_container_that_has_stopped_is_the_one_of_that_name() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "net"]).ok();
    stage.dhow(["run", "--name", "one", "--network", "net", "busybox", "true"]).ok();
    let before = row(&stage)["NetworkSettings"]["Networks"]["net"]["NetworkID"].clone();
    stage.dhow(["network", "rm", "net"]).ok();
    stage.dhow(["network", "create", "net"]).ok();
    assert_ne!(row(&stage)["NetworkSettings"]["Networks"]["net"]["NetworkID"], before);
    stage.dhow(["rm", "one"]).ok();
    stage.dhow(["network", "rm", "net"]).ok();
}

#[test]
fn as_many_rows_are_listed_as_are_asked_for_the_newest_first() {
    let stage = Stage::new();
    for name in ["c1", "c2", "c3"] {
        stage.dhow(["create", "--name", name, "busybox", "true"]).ok();
    }
    let names = |query: &str| -> Vec<String> {
        rows(&stage, query).iter().map(|row| row["Names"][0].as_str().unwrap().to_owned()).collect()
    };
    for _ in 0..2 {
        assert_eq!(names("all=1"), ["/c3", "/c2", "/c1"]);
        assert_eq!(names("limit=2"), ["/c3", "/c2"]);
        assert!(names("").is_empty());
    }
    stage.dhow(["rm", "c1", "c2", "c3"]).ok();
}

#[test]
fn many_things_are_inspected_in_the_order_they_were_named() {
    let stage = Stage::new();
    let names: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    for name in &names {
        stage.dhow(["create", "--name", name, "busybox", "true"]).ok();
    }
    let asked = ["nosuch-1"].into_iter().chain(names.iter().map(String::as_str)).chain(["nosuch-2"]);
    let shown = stage.dhow(["inspect", "-f", "{{.Name}}"].into_iter().chain(asked).collect::<Vec<_>>());
    let expected: String = names.iter().map(|name| format!("/{name}\n")).collect();
    assert_eq!((shown.out, shown.code), (expected, 1));
    assert_eq!(
        shown.err.lines().collect::<Vec<_>>(),
        ["Error: No such object: nosuch-1", "Error: No such object: nosuch-2"]
    );
    let whole: Vec<Value> = serde_json::from_str(&stage.dhow(["inspect", "c7", "busybox", "c3"]).ok()).unwrap();
    assert_eq!((&whole[0]["Name"], &whole[1]["RepoTags"][0]), (&"/c7".into(), &"busybox:latest".into()));
    assert_eq!((&whole[2]["Name"], whole.len()), (&"/c3".into(), 3));
    let words: Vec<&str> = ["rm"].into_iter().chain(names.iter().map(String::as_str)).collect();
    stage.dhow(words).ok();
}
