//! What CRIU is asked for.

use super::*;
use oci::runtime::Spec;
use prost::Message;

#[test]
fn options_become_those_of_criu() {
    let folder = tempfile::tempdir().unwrap();
    let options = Criu {
        image_path: Some(folder.path().join("image")),
        work_path: Some(folder.path().join("work")),
        tcp_established: true,
        manage_cgroups_mode: Some("ignore".to_owned()),
        ..Criu::default()
    };
    let folders = Folders::open(&options).unwrap();
    let asked = common(&options, &folders, "dump.log", &BTreeMap::new()).unwrap();
    assert_eq!(asked.images, folders.images.as_raw_fd());
    assert!(asked.work.is_some() && folders.logs.ends_with("work"));
    assert_eq!((asked.tcp_established, asked.shell_job), (Some(true), Some(false)));
    assert_eq!(asked.cgroup_mode(), CgroupMode::Ignore);
    assert_eq!(asked.config_file.as_deref(), Some("/etc/criu/runc.conf"));
    let read = Options::decode(asked.encode_to_vec().as_slice()).unwrap();
    assert_eq!(read, asked);
}

#[test]
fn what_criu_does_not_know_is_refused() {
    assert!(cgroup_mode(Some("loose")).is_err());
    assert_eq!(empty_namespaces(&[]).unwrap(), CLONE_NEWNET);
    assert!(empty_namespaces(&["pid".to_owned()]).unwrap_err().message.contains("is not supported"));
    let none = BTreeMap::from([("org.criu.config".to_owned(), String::new())]);
    assert_eq!(config_file(&none), None);
}

#[test]
fn mounts_of_the_host_are_external() {
    let spec: Spec = serde_json::from_str(
        r#"{"ociVersion":"1.0.2","mounts":[
            {"destination":"/data","type":"bind","source":"src","options":["rbind"]},
            {"destination":"/proc","type":"proc","source":"proc"}],
          "linux":{"devices":[{"type":"c","path":"/dev/fuse","major":10,"minor":229}]}}"#,
    )
    .unwrap();
    let bundle = Path::new("/bundle");
    let kept = external::mounts(&spec, bundle, external::Way::Dump);
    assert!(kept.iter().any(|mount| mount.key == "/data" && mount.value == "/data"));
    let back = external::mounts(&spec, bundle, external::Way::Restore);
    assert!(back.iter().any(|mount| mount.key == "/data" && mount.value == "/bundle/src"));
    assert!(back.iter().any(|mount| mount.key == "/dev/fuse" && mount.value == "/dev/fuse"));
    assert!(!back.iter().any(|mount| mount.key == "/proc"));
}
