//! Specifications, and what they make of a container.

use super::*;

const CARDS: &str = r#"
cdiVersion: "0.6.0"
kind: "acme.com/card"
devices:
  - name: one
    containerEdits:
      deviceNodes:
        - path: /dev/card0
          hostPath: /dev/null
          permissions: rw
      env: ["CARD=one"]
  - name: two
    containerEdits:
      env: ["CARD=two"]
  - name: hooked
    containerEdits:
      hooks:
        - hookName: createContainer
          path: /usr/bin/acme-hook
          args: [acme-hook, --now]
          env: [A=b]
  - name: wrong
    containerEdits:
      hooks:
        - hookName: createContainers
          path: /usr/bin/acme-hook
containerEdits:
  env: ["ACME=yes"]
  additionalGids: [44]
  mounts:
    - hostPath: /srv/acme
      containerPath: /opt/acme
      options: [ro, nosuid, bind]
"#;

fn registry(files: &[(&str, &str)]) -> Registry {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    Registry::read(&[folder.path().join("first"), folder.path().join("second")])
}

fn container(devices: DriverDevices) -> Container {
    Container {
        id: base::Id::random(),
        name: "one".into(),
        created_at: 0,
        image_id: format!("sha256:{}", "0".repeat(64)).parse().expect("a digest"),
        config: Config { driver_devices: vec![devices], ..Config::default() },
        mounts: Vec::new(),
        own_user_namespace: true,
    }
}

fn named(ids: &[&str]) -> DriverDevices {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    DriverDevices { driver: "cdi".into(), ids, ..DriverDevices::default() }
}

#[test]
fn a_device_brings_its_edits_and_those_of_all_once() {
    let registry = registry(&[("first/acme.yaml", CARDS)]);
    let mut container = container(named(&["acme.com/card=one", "acme.com/card=two"]));
    registry.inject(&mut container).expect("injected");
    assert_eq!(container.config.env, ["ACME=yes", "CARD=one", "CARD=two"]);
    assert_eq!(container.config.group_add, ["44"]);
    let node = &container.config.devices[0];
    assert_eq!(
        (node.host_path.as_str(), node.container_path.as_str(), node.access.as_str()),
        ("/dev/null", "/dev/card0", "rw")
    );
    let mount = &container.mounts[0];
    assert_eq!(
        (mount.source.as_str(), mount.request.target.as_str(), mount.request.readonly),
        ("/srv/acme", "/opt/acme", true)
    );
    assert_eq!(container.mounts.len(), 1);
}

#[test]
fn what_cannot_be_had_is_said() {
    let registry = registry(&[("first/acme.yaml", CARDS), ("first/broken.json", "{"), ("first/notes.txt", "x")]);
    let fails = |devices: DriverDevices| registry.inject(&mut container(devices)).expect_err("refused").to_string();
    assert_eq!(
        fails(named(&["acme.com/card=three", "b.com/c=d"])),
        "CDI device injection failed: unresolvable CDI devices acme.com/card=three, b.com/c=d"
    );
    assert!(fails(named(&["acme.com/card=wrong"])).contains("invalid hook name \"createContainers\""));
    assert_eq!(fails(DriverDevices { count: 1, ..named(&[]) }), "unexpected count in CDI device request");
    let gpus = DriverDevices { count: -1, capabilities: vec![vec!["gpu".into()]], ..DriverDevices::default() };
    assert_eq!(fails(gpus), "could not select device driver \"\" with capabilities: [[gpu]]");
}

#[test]
fn a_hook_comes_with_its_own_words_and_is_bounded_in_time() {
    let mut container = container(named(&["acme.com/card=hooked"]));
    registry(&[("first/cards.yaml", CARDS)]).inject(&mut container).expect("a device");
    let hook = &container.config.hooks.create_container[0];
    assert_eq!((hook.path.as_str(), hook.args.len(), hook.timeout), ("/usr/bin/acme-hook", 2, Some(120)));
    assert_eq!(hook.env, ["A=b"]);
    assert_eq!(container.mounts[0].restrictions, ["nosuid"]);
}

#[test]
fn a_later_folder_wins_and_two_of_one_folder_contradict_each_other() {
    let of = |value: &str| {
        format!(r#"{{"kind": "a.com/b", "devices": [{{"name": "c", "containerEdits": {{"env": ["V={value}"]}}}}]}}"#)
    };
    let (first, second) = (of("1"), of("2"));
    let later = registry(&[("first/a.json", &first), ("second/a.json", &second)]);
    let mut one = container(named(&["a.com/b=c"]));
    later.inject(&mut one).expect("injected");
    assert_eq!(one.config.env, ["V=2"]);
    let both = registry(&[("first/a.json", &first), ("first/b.json", &second)]);
    assert!(matches!(both.inject(&mut one), Err(CdiError::Unresolvable(_))));
}

#[test]
fn graphics_processors_are_those_of_the_vendor_that_has_some() {
    let text = |name: &str| format!(r#"{{"name": "{name}", "containerEdits": {{"env": ["GPU{name}=1"]}}}}"#);
    let specification = format!(r#"{{"kind": "nvidia.com/gpu", "devices": [{}, {}]}}"#, text("0"), text("all"));
    let registry = registry(&[("first/nvidia.json", &specification)]);
    let gpus = |driver: &str, count, ids: &[&str]| DriverDevices {
        driver: driver.into(),
        count,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        capabilities: vec![vec!["gpu".into()]],
        ..DriverDevices::default()
    };
    for (asked, env) in
        [(gpus("", -1, &[]), "GPUall=1"), (gpus("nvidia", 1, &[]), "GPU0=1"), (gpus("", 0, &["0"]), "GPU0=1")]
    {
        let mut container = container(asked);
        registry.inject(&mut container).expect("injected");
        assert_eq!(container.config.env, [env]);
    }
    let other = registry.inject(&mut container(gpus("amd", -1, &[]))).expect_err("refused");
    assert_eq!(other.to_string(), "could not select device driver \"amd\" with capabilities: [[gpu]]");
}
