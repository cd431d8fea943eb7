//! Specifications that are refused, and why.

use super::*;
use oci::runtime::{IdMapping, Mount, Namespace, NetDevice, Root, TimeOffset};

fn spec() -> Spec {
    let namespaces = [NamespaceKind::Mount, NamespaceKind::Pid].map(|kind| Namespace { kind, path: None }).to_vec();
    Spec {
        root: Some(Root { path: "rootfs".into(), readonly: false }),
        process: Some(Process { args: vec!["sh".into()], cwd: "/".into(), ..Process::default() }),
        linux: Some(Linux { namespaces, ..Linux::default() }),
        ..Spec::default()
    }
}

fn refusal(change: impl FnOnce(&mut Spec, &mut Linux)) -> String {
    let mut spec = spec();
    let mut linux = spec.linux.take().unwrap();
    change(&mut spec, &mut linux);
    spec.linux = Some(linux);
    validate(&spec).unwrap_err().to_string()
}

fn own(kind: NamespaceKind) -> Namespace {
    Namespace { kind, path: None }
}

fn at(kind: NamespaceKind) -> Namespace {
    Namespace { kind, path: Some("/x".into()) }
}

#[test]
fn a_plain_specification_is_accepted() {
    validate(&spec()).unwrap();
    assert!(warnings(&spec()).is_empty());
}

#[test]
fn namespaces_must_fit_together() {
    let map = vec![IdMapping { container_id: 0, host_id: 1, size: 1 }];
    assert!(refusal(|_, linux| linux.namespaces.push(own(NamespaceKind::Pid))).contains("duplicated ns \"pid\""));
    assert!(refusal(|_, linux| linux.namespaces.push(own(NamespaceKind::User))).contains("nor mappings to apply"));
    assert!(refusal(|_, linux| linux.uid_mappings = map.clone()).contains("user namespace isn't enabled"));
    let both = refusal(|_, linux| {
        linux.namespaces.push(at(NamespaceKind::User));
        linux.uid_mappings = map.clone();
    });
    assert!(both.contains("you may only provide one"));
    assert!(refusal(|spec, _| spec.hostname = Some("x".into())).contains("without a private UTS namespace"));
    let unhidden = refusal(|_, linux| {
        linux.namespaces.clear();
        linux.masked_paths = vec!["/proc/kcore".into()];
    });
    assert!(unhidden.contains("without a private MNT namespace"));
}

#[test]
fn time_offsets_need_a_new_time_namespace() {
    let offsets = || [("boottime".to_owned(), TimeOffset { secs: 1, nanosecs: 0 })].into();
    assert!(refusal(|_, linux| linux.time_offsets = offsets()).contains("time namespace isn't enabled"));
    let both = refusal(|_, linux| {
        linux.namespaces.push(at(NamespaceKind::Time));
        linux.time_offsets = offsets();
    });
    assert!(both.contains("both namespace path and time offsets"));
    let strange = refusal(|_, linux| {
        linux.namespaces.push(own(NamespaceKind::Time));
        linux.time_offsets = [("realtime".to_owned(), TimeOffset::default())].into();
    });
    assert!(strange.contains("realtime"));
}

#[test]
fn mounts_must_make_sense() {
    let mount = |options: &[&str]| Mount {
        destination: "/x".into(),
        kind: Some("none".into()),
        source: Some("/y".into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    assert!(refusal(|spec, _| spec.mounts = vec![mount(&["bind", "size=1m"])]).contains("filesystem-specific"));
    assert!(refusal(|spec, _| spec.mounts = vec![mount(&["bind", "idmap"])]).contains("both uid and gid mappings"));
    assert!(refusal(|spec, _| spec.mounts = vec![mount(&["idmap"])]).contains("only supported for bind-mounts"));
    assert!(refusal(|_, linux| linux.rootfs_propagation = Some("x".into())).contains("is not supported"));
}

#[test]
fn network_devices_need_a_namespace_and_names() {
    let devices = |name: &str, new: &str| [(name.to_owned(), NetDevice { name: new.into() })].into();
    assert!(refusal(|_, linux| linux.net_devices = devices("eth0", "")).contains("without a NET namespace"));
    for (name, new) in [("", ""), ("a/b", ""), ("eth0", "sixteen-letters-"), ("eth0", "..")] {
        let text = refusal(|_, linux| {
            linux.namespaces.push(own(NamespaceKind::Network));
            linux.net_devices = devices(name, new);
        });
        assert!(text.contains("invalid network device name"), "{text}");
    }
}

#[test]
fn processes_must_be_complete() {
    let of = |change: fn(&mut Process)| refusal(|spec, _| change(spec.process.as_mut().unwrap()));
    assert_eq!(of(|process| process.args.clear()), "args must not be empty");
    assert_eq!(of(|process| process.cwd.clear()), "Cwd property must not be empty");
    assert_eq!(of(|process| process.cwd = "x".into()), "Cwd must be an absolute path");
    assert_eq!(of(|process| process.env = vec!["A".into()]), "invalid environment variable: missing '='");
    assert!(of(|process| process.user.uid = u32::MAX).contains("4294967295"));
}

#[test]
fn what_is_passed_over_is_told() {
    let mut spec = spec();
    spec.mounts = vec![Mount { destination: "x".into(), kind: Some("tmpfs".into()), ..Mount::default() }];
    let (bounding, ambient) = (vec!["CAP_FLY".into()], vec!["CAP_KILL".into()]);
    let named = oci::runtime::Capabilities { bounding, ambient, ..Default::default() };
    spec.process.as_mut().unwrap().capabilities = Some(named);
    validate(&spec).unwrap();
    let all = warnings(&spec);
    assert!(all[0].contains("destination x is not absolute") && all[1].contains("[CAP_FLY]"), "{all:?}");
    assert_eq!(all[2], "can't raise ambient capability CAP_KILL: operation not permitted");
}
