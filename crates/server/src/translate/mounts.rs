//! Mounts: `-v`, `--mount`, `--tmpfs`, `--volumes-from` and the configuration's anonymous volumes
//! (moby, volume/mounts/linux_parser.go).

use super::{Around, Asked, list};
use crate::status::Refusal;
use api::types::{HostConfig, Mount};
use container::{MountPoint, MountRequest, MountSource};
use std::collections::BTreeMap;
use std::path::Path;

/// Whether a read-only bind also makes what is mounted below it read-only; so since API 1.44.
const RECURSIVE_READONLY: u32 = 44;

/// From this version on images can be mounted.
const IMAGES: u32 = 48;

const IGNORED_DRIVER: &str = "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead";

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];

/// All mounts of a request. The same target twice is refused, but volumes of another container or of the configuration give way.
pub fn of(asked: Asked<'_>, around: &dyn Around) -> Result<Vec<MountRequest>, Refusal> {
    let (typed, host) = (&asked.request.config, &asked.request.host_config);
    let mut mounts: BTreeMap<String, MountRequest> = BTreeMap::new();
    for text in list(&host.binds) {
        add(&mut mounts, bind(text, asked, &host.volume_driver)?)?;
    }
    for mount in &host.mounts {
        add(&mut mounts, typed_mount(mount, asked, around)?)?;
    }
    for (target, options) in &host.tmpfs {
        add(&mut mounts, tmpfs(target, options)?)?;
    }
    for text in list(&host.volumes_from) {
        for request in borrowed(text, around)? {
            mounts.entry(request.target.clone()).or_insert(request);
        }
    }
    for target in typed.volumes.iter().flat_map(|volumes| volumes.keys()) {
        let target = checked_target(target).map_err(Refusal::invalid)?;
        mounts.entry(target.clone()).or_insert(MountRequest { target, readonly: false, source: anonymous() });
    }
    Ok(mounts.into_values().collect())
}

fn add(mounts: &mut BTreeMap<String, MountRequest>, request: MountRequest) -> Result<(), Refusal> {
    match mounts.insert(request.target.clone(), request) {
        None => Ok(()),
        Some(other) => Err(Refusal::invalid(format!("Duplicate mount point: {}", other.target))),
    }
}

fn anonymous() -> MountSource {
    MountSource::Volume { name: None, copy_up: true, subpath: None, labels: BTreeMap::new(), options: BTreeMap::new() }
}

/// The options of `source:target:options`, by cleaned target; an entry without options has empty ones.
pub fn bind_modes(binds: &[String]) -> BTreeMap<String, String> {
    let modes = binds.iter().filter_map(|text| {
        let mut parts = text.splitn(3, ':');
        let (_source, target) = (parts.next()?, parts.next()?);
        Some((clean(target), parts.next().unwrap_or_default().to_owned()))
    });
    modes.collect()
}

/// What is said of mounts that are taken.
pub fn warnings(host: &HostConfig) -> Vec<&'static str> {
    let any = |holds: fn(&Mount) -> bool| host.mounts.iter().any(holds);
    let mut told = Vec::new();
    if any(|mount| mount.kind == "image") {
        told.push("Image mount is an experimental feature");
    }
    let driver =
        |mount: &Mount| mount.volume_options.as_ref()?.driver_config.as_ref().map(|driver| driver.name.is_empty());
    if !host.volume_driver.is_empty() && host.mounts.iter().any(|m| m.kind == "volume" && driver(m).unwrap_or(true)) {
        told.push(IGNORED_DRIVER);
    }
    told
}

/// `-v`
fn bind(text: &str, asked: Asked<'_>, volume_driver: &str) -> Result<MountRequest, Refusal> {
    let invalid = || Refusal::internal(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    let (source, target, mode) = match parts[..] {
        ["", ..] => return Err(invalid()),
        [target] => ("", target, Mode::default()),
        [_, mode] if Mode::parse(mode).is_some() => return Err(invalid()),
        [source, target] => (source, target, Mode::default()),
        [source, target, mode] => {
            let bad = || Refusal::invalid(format!("invalid mode: {mode}"));
            (source, target, Mode::parse(mode).ok_or_else(bad)?)
        }
        _ => return Err(invalid()),
    };
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    let fault = |words: String| {
        Refusal::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type {kind:?}: {words}"
        ))
    };
    let target = checked_target(target).map_err(fault)?;
    let source = match kind {
        "bind" if mode.nocopy.is_some() => return Err(fault("field VolumeOptions must not be specified".to_owned())),
        "bind" => MountSource::Bind {
            path: clean(source),
            create: true,
            recursive: true,
            propagation: mode.propagation.unwrap_or_default(),
            recursive_readonly: asked.version.has(RECURSIVE_READONLY),
        },
        _ if mode.propagation.is_some() => return Err(fault("field BindOptions must not be specified".to_owned())),
        _ if source.is_empty() => anonymous(),
        _ => named_volume(source, volume_driver, mode.nocopy != Some(true))?,
    };
    Ok(MountRequest { target, readonly: mode.readonly, source })
}

fn named_volume(name: &str, driver: &str, copy_up: bool) -> Result<MountSource, Refusal> {
    check_volume_name(name)?;
    check_driver(name, driver)?;
    Ok(MountSource::Volume {
        name: Some(name.to_owned()),
        copy_up,
        subpath: None,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
    })
}

pub fn check_volume_name(name: &str) -> Result<(), Refusal> {
    if name.len() == 1 {
        let text =
            format!("create {name}: volume name is too short, names should be at least two alphanumeric characters");
        return Err(Refusal::invalid(text));
    }
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    if first && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

/// Whether a volume of this name can be made with that driver.
pub fn check_driver(name: &str, driver: &str) -> Result<(), Refusal> {
    if matches!(driver, "" | "local") {
        return Ok(());
    }
    Err(Refusal::not_found(format!(
        "create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found"
    )))
}

/// The options after the second colon of `-v`.
#[derive(Debug, Default)]
struct Mode {
    readonly: bool,
    propagation: Option<String>,
    nocopy: Option<bool>,
}

impl Mode {
    /// `None` when one is unknown, or two of a kind are given.
    fn parse(text: &str) -> Option<Mode> {
        let mut mode = Mode::default();
        let (mut access, mut label, mut consistency) = (0, 0, 0);
        for option in text.split(',').filter(|_| !text.is_empty()) {
            match option {
                "rw" | "ro" => {
                    access += 1;
                    mode.readonly = option == "ro";
                }
                // SELinux labels and a hint for other systems: they mean nothing here.
                "z" | "Z" => label += 1,
                "consistent" | "cached" | "delegated" => consistency += 1,
                "nocopy" if mode.nocopy.is_none() => mode.nocopy = Some(true),
                other if PROPAGATIONS.contains(&other) && mode.propagation.is_none() => {
                    mode.propagation = Some(other.to_owned());
                }
                _ => return None,
            }
        }
        (access < 2 && label < 2 && consistency < 2).then_some(mode)
    }
}

/// `--mount`
fn typed_mount(mount: &Mount, asked: Asked<'_>, around: &dyn Around) -> Result<MountRequest, Refusal> {
    let fault = |words: String| Refusal::invalid(format!("invalid mount config for type {:?}: {words}", mount.kind));
    check_foreign_options(mount, asked)?;
    if mount.target.is_empty() {
        return Err(fault("field Target must not be empty".to_owned()));
    }
    let target = checked_target(&mount.target).map_err(fault)?;
    let source = match mount.kind.as_str() {
        "bind" => typed_bind(mount, asked, around).map_err(fault)?,
        "volume" => typed_volume(mount)?,
        "tmpfs" => typed_tmpfs(mount).map_err(fault)?,
        "image" => typed_image(mount, asked)?,
        _ => return Err(fault("mount type unknown".to_owned())),
    };
    let readonly = mount.read_only || mount.kind == "image";
    Ok(MountRequest { target, readonly, source })
}

fn check_foreign_options(mount: &Mount, asked: Asked<'_>) -> Result<(), Refusal> {
    if !asked.version.has(42) {
        return Ok(());
    }
    for (given, name, kind) in [
        (mount.volume_options.is_some(), "VolumeOptions", "volume"),
        (mount.bind_options.is_some(), "BindOptions", "bind"),
        (mount.tmpfs_options.is_some(), "TmpfsOptions", "tmpfs"),
        (mount.image_options.is_some(), "ImageOptions", "image"),
    ] {
        if given && mount.kind != kind {
            let text = format!("{name} must not be specified on mount type {:?}", mount.kind);
            return Err(Refusal::invalid(text));
        }
    }
    Ok(())
}

fn typed_bind(mount: &Mount, asked: Asked<'_>, around: &dyn Around) -> Result<MountSource, String> {
    let options = mount.bind_options.clone().unwrap_or_default();
    if mount.source.is_empty() {
        return Err("field Source must not be empty".to_owned());
    }
    if !options.propagation.is_empty() && !PROPAGATIONS.contains(&options.propagation.as_str()) {
        return Err(format!("invalid propagation mode: {}", options.propagation));
    }
    let path = absolute(&mount.source)?;
    let create = options.create_mountpoint && asked.version.has(42);
    if !create && !around.exists(Path::new(&path)) {
        return Err(format!("bind source path does not exist: {}", mount.source));
    }
    let recursive_readonly = !options.read_only_non_recursive && asked.version.has(RECURSIVE_READONLY);
    let recursive = !options.non_recursive;
    Ok(MountSource::Bind { path, create, recursive, propagation: options.propagation, recursive_readonly })
}

fn typed_volume(mount: &Mount) -> Result<MountSource, Refusal> {
    let fault = |words: &str| Refusal::invalid(format!("invalid mount config for type \"volume\": {words}"));
    let options = mount.volume_options.clone().unwrap_or_default();
    let driver = options.driver_config.unwrap_or_default();
    check_driver(&mount.source, &driver.name)?;
    if mount.source.is_empty() && !options.subpath.is_empty() {
        return Err(fault("must not set Subpath when using anonymous volumes"));
    }
    if mount.source.is_empty() && mount.read_only {
        return Err(fault("must not set ReadOnly mode when using anonymous volumes"));
    }
    if !options.subpath.is_empty() && !is_local(&options.subpath) {
        return Err(fault("subpath must be a relative path within the volume"));
    }
    if !mount.source.is_empty() {
        check_volume_name(&mount.source)?;
    }
    let given = |text: String| Some(text).filter(|t| !t.is_empty());
    let (name, subpath, copy_up) = (given(mount.source.clone()), given(options.subpath), !options.no_copy);
    let (labels, options) = (options.labels, driver.options);
    Ok(MountSource::Volume { name, copy_up, subpath, labels, options })
}

/// The files of an image.
fn typed_image(mount: &Mount, asked: Asked<'_>) -> Result<MountSource, Refusal> {
    if !asked.version.has(IMAGES) {
        return Err(Refusal::invalid("Mount type \"Image\" needs API v1.48 or newer"));
    }
    let fault = |words: &str| Refusal::invalid(format!("invalid mount config for type \"image\": {words}"));
    if mount.source.is_empty() {
        return Err(fault("field Source must not be empty"));
    }
    let subpath = mount.image_options.as_ref().and_then(|options| options.get("Subpath")?.as_str());
    let subpath = subpath.filter(|path| !path.is_empty()).map(str::to_owned);
    if subpath.as_deref().is_some_and(|path| !is_local(path)) {
        return Err(fault("subpath must be a relative path within the volume"));
    }
    Ok(MountSource::Image { image: mount.source.clone(), subpath })
}

/// Whether a relative path stays inside: Go's filepath.IsLocal.
fn is_local(path: &str) -> bool {
    let mut depth = 0_i64;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return false;
        }
    }
    !path.is_empty() && !path.starts_with('/')
}

fn typed_tmpfs(mount: &Mount) -> Result<MountSource, String> {
    if !mount.source.is_empty() {
        return Err("field Source must not be specified".to_owned());
    }
    let asked = mount.tmpfs_options.clone().unwrap_or_default();
    let mut options = Vec::new();
    for option in &asked.options {
        match option.as_slice() {
            [name] | [name, _] if !matches!(name.as_str(), "exec" | "noexec") => {
                return Err(format!("invalid option: {name}"));
            }
            [name] => options.push(name.clone()),
            [name, value] => options.push(format!("{name}={value}")),
            _ => return Err("invalid option array length".to_owned()),
        }
    }
    let size = u64::try_from(asked.size_bytes).map_err(|_| "invalid tmpfs size".to_owned())?;
    let given = Some(asked.mode).filter(|mode| *mode != 0);
    Ok(MountSource::Tmpfs { size: Some(size).filter(|s| *s != 0), mode: given, options })
}

/// `--tmpfs /run:rw,noexec,size=64k`
fn tmpfs(target: &str, text: &str) -> Result<MountRequest, Refusal> {
    let target = checked_target(target).map_err(Refusal::invalid)?;
    let (mut readonly, mut size, mut mode, mut options) = (false, None, None, Vec::new());
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let parts: Vec<String> = option.splitn(2, '=').map(|part| format!("{part:?}")).collect();
        let wrong = || Refusal::invalid(format!("Invalid tmpfs option [{}]", parts.join(" ")));
        match option.split_once('=') {
            None if option == "ro" => readonly = true,
            None if option == "rw" => readonly = false,
            None if option == "defaults" => {}
            Some(("size", value)) if value.ends_with('%') => options.push(option.to_owned()),
            Some(("size", value)) => size = Some(bytes(value).ok_or_else(wrong)?),
            Some(("mode", value)) => mode = Some(u32::from_str_radix(value, 8).map_err(|_| wrong())?),
            Some((key, _)) if !TMPFS_VALUES.contains(&key) => return Err(wrong()),
            None if !TMPFS_WORDS.contains(&option) => return Err(wrong()),
            _ => options.push(option.to_owned()),
        }
    }
    Ok(MountRequest { target, readonly, source: MountSource::Tmpfs { size, mode, options } })
}

/// What docker takes besides, but for flags that would not make a new tmpfs (moby, pkg/mount flags; tmpfs(5)).
const TMPFS_WORDS: [&str; 19] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];
const TMPFS_VALUES: [&str; 5] = ["uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// `64k`, `1g`, `512`
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, shift) = match lower.as_bytes().last()? {
        b'k' => (&lower[..lower.len() - 1], 10),
        b'm' => (&lower[..lower.len() - 1], 20),
        b'g' => (&lower[..lower.len() - 1], 30),
        _ => (lower.as_str(), 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `--volumes-from NAME[:ro]`
fn borrowed(text: &str, around: &dyn Around) -> Result<Vec<MountRequest>, Refusal> {
    if text.is_empty() {
        return Err(Refusal::invalid("volumes-from specification cannot be an empty string"));
    }
    let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
    let bad = || Refusal::invalid(format!("invalid mode: {mode}"));
    let parsed = Mode::parse(mode).filter(|m| m.propagation.is_none() && m.nocopy.is_none()).ok_or_else(bad)?;
    let lend = |mount: &MountPoint| lent(mount, parsed.readonly);
    Ok(around.neighbour(name)?.mounts.iter().filter_map(lend).collect())
}

fn lent(mount: &MountPoint, readonly: bool) -> Option<MountRequest> {
    let source = match &mount.request.source {
        MountSource::Bind { .. } => mount.request.source.clone(),
        MountSource::Image { .. } | MountSource::Layers { .. } => mount.request.source.clone(),
        MountSource::Volume { subpath, labels, options, .. } => MountSource::Volume {
            name: Some(mount.volume.clone()),
            copy_up: false,
            subpath: subpath.clone(),
            labels: labels.clone(),
            options: options.clone(),
        },
        MountSource::Tmpfs { .. } => return None,
    };
    Some(MountRequest { target: mount.request.target.clone(), readonly: readonly || mount.request.readonly, source })
}

fn absolute(path: &str) -> Result<String, String> {
    if path.starts_with('/') {
        Ok(clean(path))
    } else {
        Err(format!("invalid mount path: '{path}' mount path must be absolute"))
    }
}

fn checked_target(target: &str) -> Result<String, String> {
    if clean(target) == "/" {
        return Err("invalid specification: destination can't be '/'".to_owned());
    }
    absolute(target)
}

/// Go's path.Clean of an absolute path.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
