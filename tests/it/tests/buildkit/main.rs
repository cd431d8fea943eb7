//! The protocol of BuildKit's clients: what `docker buildx` asks, what it is told, and what it must not be able to break.

mod client;

use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    self, NewContainerRequest, PingRequest, ReadFileRequest, ReturnRequest, StatFileRequest, result,
};
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryRequest, CacheOptions, DiskUsageRequest, Exporter, InfoRequest, ListWorkersRequest, PruneRequest,
    SolveRequest, SolveResponse, StatusRequest, StatusResponse, UpdateBuildHistoryRequest,
};
use bollard_buildkit_proto::pb;
use client::{Client, Folders, session};
use it::{Stage, within};
use std::collections::{BTreeMap, HashMap};
use tonic::{Code, Request, Status};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

fn folders(dockerfile: &'static str, context: &[(&'static str, &'static str)]) -> Folders {
    let definition = BTreeMap::from([("Dockerfile", dockerfile)]);
    BTreeMap::from([("dockerfile", definition), ("context", context.iter().copied().collect())])
}

fn attributes(all: &[(&str, &str)]) -> HashMap<String, String> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn image(name: &str) -> Exporter {
    Exporter { r#type: "moby".to_owned(), attrs: attributes(&[("name", name)]) }
}

fn asked(name: &str, exporters: Vec<Exporter>) -> SolveRequest {
    SolveRequest { r#ref: name.to_owned(), session: format!("s-{name}"), exporters, ..SolveRequest::default() }
}

/// Of a build that goes on.
fn of<T>(build: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let name = build.parse().expect("a name");
    request.metadata_mut().insert("buildkit-controlapi-buildid", name);
    request
}

async fn told(client: &mut Client, name: &str) -> StatusResponse {
    let asked = StatusRequest { r#ref: name.to_owned() };
    let mut stream = client.control.status(asked).await.expect("a stream").into_inner();
    let mut whole = StatusResponse::default();
    while let Some(part) = stream.message().await.expect("a part") {
        whole.vertexes.extend(part.vertexes);
        whole.logs.extend(part.logs);
        whole.warnings.extend(part.warnings);
    }
    whole
}

/// Builds a Dockerfile by one call.
async fn build(client: &mut Client, stage: &Stage, name: &str, folders: Folders) -> Result<SolveResponse, Status> {
    let _session = session(stage, &format!("s-{name}"), folders).await;
    let frontend = "dockerfile.v0".to_owned();
    let request = SolveRequest { frontend, ..asked(name, vec![image(name)]) };
    client.control.solve(request).await.map(tonic::Response::into_inner)
}

#[test]
fn a_dockerfile_is_built_by_one_call_and_told_to_those_who_come_late() {
    let stage = Stage::new();
    runtime().block_on(async {
        let mut client = Client::connect(&stage).await;
        let text = "FROM busybox\nRUN echo from-the-step; echo made > /made\nCOPY f /f\n";
        let answer = build(&mut client, &stage, "one", folders(text, &[("f", "file")])).await.expect("built");
        let id = stage.dhow(["inspect", "-f", "{{.Id}}", "one"]).ok();
        assert_eq!(answer.exporter_response["containerimage.config.digest"], id.trim());
        let told = told(&mut client, "one").await;
        let named = |name: &str| told.vertexes.iter().any(|one| one.name == name && one.completed.is_some());
        for name in [
            "[internal] load build definition from Dockerfile",
            "[internal] load metadata for docker.io/library/busybox:latest",
            "[internal] load build context",
            "[3/3] COPY f /f",
            "exporting to image",
        ] {
            assert!(named(name), "{name} is not in {:?}", told.vertexes);
        }
        let logs: Vec<u8> = told.logs.iter().flat_map(|log| log.msg.clone()).collect();
        assert_eq!(String::from_utf8_lossy(&logs), "from-the-step\n");
    });
    assert_eq!(stage.dhow(["run", "--rm", "one", "cat", "/f", "/made"]).ok(), "filemade\n");
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
}

#[test]
fn a_client_builds_step_by_step_and_says_in_the_end_what_is_the_result() {
    let stage = Stage::new();
    runtime().block_on(async {
        let mut client = Client::connect(&stage).await;
        let _session = session(&stage, "s-two", folders("FROM busybox\nRUN echo x > /x\n", &[])).await;
        let mut control = client.control.clone();
        let waiting = tokio::spawn(async move { control.solve(asked("two", vec![image("two")])).await });
        let pong = client.gateway.ping(of("two", PingRequest {})).await.expect("a pong").into_inner();
        assert!(pong.frontend_api_caps.iter().any(|cap| cap.id == "return" && cap.enabled));
        let solve = frontend::SolveRequest { frontend: "dockerfile.v0".to_owned(), ..Default::default() };
        let solved = client.gateway.solve(of("two", solve)).await.expect("solved").into_inner();
        let solved = solved.result.expect("a result");
        let Some(result::Result::Ref(made)) = solved.result.clone() else { panic!("{solved:?}") };
        let read = ReadFileRequest { r#ref: made.id.clone(), file_path: "/x".to_owned(), ..Default::default() };
        let read = client.gateway.read_file(of("two", read)).await.expect("read").into_inner();
        assert_eq!(read.data, b"x\n");
        let escape =
            StatFileRequest { r#ref: made.id.clone(), path: "../../../etc/hostname".to_owned(), mount_index: -1 };
        assert!(client.gateway.stat_file(of("two", escape)).await.is_err());
        let done = ReturnRequest { result: Some(solved), error: None };
        client.gateway.r#return(of("two", done)).await.expect("taken");
        let answer = waiting.await.expect("ended").expect("built").into_inner();
        assert!(answer.exporter_response.contains_key("containerimage.digest"));
    });
    assert_eq!(stage.dhow(["run", "--rm", "two", "cat", "/x"]).ok(), "x\n");
}

#[test]
fn a_failed_step_is_told_with_its_place_and_remembered() {
    let stage = Stage::new();
    runtime().block_on(async {
        let mut client = Client::connect(&stage).await;
        let text = "FROM busybox\nRUN exit 7\n";
        let status = build(&mut client, &stage, "bad", folders(text, &[])).await.expect_err("failed");
        let expected = "process \"/bin/sh -c exit 7\" did not complete successfully: exit code: 7";
        assert_eq!((status.code(), status.message()), (Code::Unknown, expected));
        let details: rpc::Status = tonic_details(&status);
        let source = details.details.iter().find(|one| one.type_url.ends_with("errdefs.Source+json"));
        let source = String::from_utf8_lossy(&source.expect("a place").value).into_owned();
        assert!(source.contains("\"line\":2"), "{source}");
        let listen = BuildHistoryRequest { r#ref: "bad".to_owned(), early_exit: true, ..Default::default() };
        let mut events = client.control.listen_build_history(listen.clone()).await.expect("events").into_inner();
        let record = events.message().await.expect("an event").expect("one").record.expect("a record");
        assert_eq!(record.error.expect("an error").message, expected);
        let delete = UpdateBuildHistoryRequest { r#ref: "bad".to_owned(), delete: true, ..Default::default() };
        client.control.update_build_history(delete).await.expect("forgotten");
        let mut events = client.control.listen_build_history(listen).await.expect("events").into_inner();
        assert!(events.message().await.expect("the end").is_none());
    });
}

/// The details that a status carries.
fn tonic_details(status: &Status) -> rpc::Status {
    use bollard_buildkit_proto::google::protobuf::Any;
    // Only what the test looks for: field 3 of the message, each with its fields 1 and 2.
    let mut details = Vec::new();
    for (number, value) in fields(status.details()) {
        if number == 3 {
            let own: Vec<(u64, Vec<u8>)> = fields(&value);
            let text = |wanted| own.iter().find(|(number, _)| *number == wanted).map(|(_, value)| value.clone());
            let type_url = String::from_utf8(text(1).unwrap_or_default()).expect("a text");
            details.push(Any { type_url, value: text(2).unwrap_or_default() });
        }
    }
    rpc::Status { code: 2, message: String::new(), details }
}

/// The fields of a message that have a length.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let value = number(&mut bytes);
        if key & 7 == 2 {
            let (own, rest) = bytes.split_at(usize::try_from(value).expect("a length"));
            found.push((key >> 3, own.to_vec()));
            bytes = rest;
        }
    }
    found
}

#[test]
fn a_client_that_goes_ends_its_build_and_leaves_nothing() {
    let stage = Stage::new();
    let running = || stage.dhow(["ps", "-q"]).ok().lines().count();
    let runtime = runtime();
    runtime.block_on(async {
        let mut client = Client::connect(&stage).await;
        let _session = session(&stage, "s-long", folders("FROM busybox\nRUN echo begun; sleep 1000\n", &[])).await;
        let frontend = "dockerfile.v0".to_owned();
        let request = SolveRequest { frontend, ..asked("long", vec![image("long")]) };
        let mut control = client.control.clone();
        let waiting = tokio::spawn(async move { control.solve(request).await });
        let asked = StatusRequest { r#ref: "long".to_owned() };
        let mut stream = client.control.status(asked).await.expect("a stream").into_inner();
        let mut begun = false;
        while !begun {
            let part = stream.message().await.expect("a part").expect("not the end");
            begun = part.logs.iter().any(|log| log.msg.starts_with(b"begun"));
        }
        waiting.abort();
    });
    drop(runtime);
    within("the step is ended", || running() == 0);
    within("nothing is left", || stage.dhow(["ps", "-aq"]).ok().is_empty());
    assert_eq!(stage.dhow(["images", "-q", "long"]).ok(), "");
}

/// CVE-2024-23653: neither a value that nobody knows nor a door that nobody watches is a right.
#[test]
fn rights_are_only_for_those_who_were_given_them() {
    let stage = Stage::new();
    runtime().block_on(async {
        let mut client = Client::connect(&stage).await;
        for network in [0, 1, 2, -1, i32::MIN, i32::MAX] {
            let container = NewContainerRequest { network, ..NewContainerRequest::default() };
            let refused = client.gateway.new_container(of("rights", container)).await.expect_err("no programs");
            assert_eq!(refused.code(), Code::Unimplemented, "{network}");
        }
        let _session = session(&stage, "s-rights", folders("FROM busybox\nRUN true\n", &[])).await;
        for (entitlements, network) in
            [(vec!["security.insecure=2"], "none"), (vec!["-1"], "none"), (vec![], "host"), (vec!["network.host"], "2")]
        {
            let request = SolveRequest {
                frontend: "dockerfile.v0".to_owned(),
                frontend_attrs: attributes(&[("force-network-mode", network)]),
                entitlements: entitlements.iter().map(|name| (*name).to_owned()).collect(),
                ..asked("rights", Vec::new())
            };
            assert!(client.control.solve(request).await.is_err(), "{entitlements:?} {network}");
        }
        for (flag, right) in [("--security=insecure", "security.insecure"), ("--network=host", "network.host")] {
            let text: &'static str = format!("FROM busybox\nRUN {flag} echo has-it\n").leak();
            let refused = build(&mut client, &stage, right, folders(text, &[])).await.expect_err("not granted");
            assert!(refused.message().contains(&format!("{right} is not allowed")), "{}", refused.message());
            assert!(told(&mut client, right).await.logs.is_empty());
        }
    });
}

#[test]
fn what_makes_no_sense_is_refused_and_the_engine_stays() {
    let stage = Stage::new();
    runtime().block_on(async {
        let mut client = Client::connect(&stage).await;
        let _session = session(&stage, "s-odd", folders("FROM busybox\n", &[])).await;
        let solve = |change: fn(&mut SolveRequest)| {
            let mut request = asked("odd", Vec::new());
            change(&mut request);
            request
        };
        let exporter = |kind: &str| vec![Exporter { r#type: kind.to_owned(), ..Exporter::default() }];
        let strange: [fn(&mut SolveRequest); 6] = [
            |request| request.r#ref.clear(),
            |request| request.frontend = "nobody.v9".to_owned(),
            |request| request.definition = Some(pb::Definition { def: vec![vec![0xff; 9]], ..Default::default() }),
            |request| {
                request.frontend = "gateway.v0".to_owned();
                request.frontend_attrs = attributes(&[("source", "example.com/other:1")]);
            },
            |request| {
                request.frontend = "dockerfile.v0".to_owned();
                request.frontend_attrs = attributes(&[("platform", "a/b/c/d/e"), ("ulimit", "x")]);
            },
            |request| request.enable_session_exporter = true,
        ];
        for change in strange {
            assert!(client.control.solve(solve(change)).await.is_err());
        }
        let mut nowhere = asked("odd", exporter("nowhere"));
        nowhere.cache = Some(CacheOptions { exports: vec![Default::default()], ..CacheOptions::default() });
        assert!(client.control.solve(nowhere).await.is_err());
        let numbers = PruneRequest {
            keep_duration: i64::MIN,
            reserved_space: -1,
            max_used_space: i64::MIN,
            min_free_space: -1,
            ..Default::default()
        };
        client.control.prune(numbers).await.expect("pruned");
        client.control.disk_usage(DiskUsageRequest { age_limit: -1, ..Default::default() }).await.expect("usage");
        let workers = client.control.list_workers(ListWorkersRequest::default()).await.expect("workers").into_inner();
        assert!(workers.record[0].labels.contains_key("org.mobyproject.buildkit.worker.snapshotter"));
        let info = client.control.info(InfoRequest {}).await.expect("info").into_inner();
        assert!(info.buildkit_version.expect("a version").version.starts_with('v'));
        build(&mut client, &stage, "after", folders("FROM busybox\nLABEL a=b\n", &[])).await.expect("built");
    });
    assert_eq!(stage.dhow(["inspect", "-f", "{{.Config.Labels.a}}", "after"]).ok(), "b\n");
}
