//! Kernels to boot: Debian's packages of any suite, unpacked and never installed, or a folder that somebody unpacked.

use super::folder;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What [`Kernel::get`] takes when only a suite is named: small, and with what a container engine needs.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// Packages that hold files of a kernel; the newest releases have an image and its modules apart.
const PARTS: &[&str] = &["linux-image-", "linux-binary-", "linux-modules-"];

/// An unpacked kernel.
pub struct Kernel {
    /// As `uname -r` says.
    pub version: String,
    pub image: PathBuf,
    /// `.../lib/modules/VERSION`
    pub modules: PathBuf,
}

impl Kernel {
    /// `name`: a folder with `boot/vmlinuz-*` and `lib/modules`, a package (`linux-image-amd64/trixie`, of sid when no suite
    /// is named), or just a suite.
    pub fn get(name: &str) -> Result<Kernel, String> {
        if name.contains('.') || Path::new(name).is_dir() {
            return Kernel::unpacked(Path::new(name));
        }
        let (package, suite) = match name.split_once('/') {
            Some((package, suite)) => (package, suite),
            None if name.starts_with("linux-") => (name, "sid"),
            None => (PACKAGE, name),
        };
        Kernel::unpacked(&fetch(package, suite)?)
    }

    fn unpacked(root: &Path) -> Result<Kernel, String> {
        let missing = |what: &str| format!("{} has no {what}", root.display());
        let library = ["usr/lib/modules", "lib/modules"].iter().map(|path| root.join(path)).find(|path| path.is_dir());
        let library = library.ok_or_else(|| missing("lib/modules"))?;
        let modules = entries(&library)?.into_iter().find(|path| path.join("kernel").is_dir());
        let modules = modules.ok_or_else(|| missing("lib/modules/*/kernel"))?;
        let version = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let images = [root.join("boot").join(format!("vmlinuz-{version}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|path| path.is_file()).ok_or_else(|| missing("boot/vmlinuz-*"))?;
        Ok(Kernel { version, image, modules })
    }
}

pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = fs::read_dir(folder).map_err(|e| format!("cannot list {}: {e}", folder.display()))?;
    Ok(listed.flatten().map(|entry| entry.path()).collect())
}

/// Downloads and unpacks `package` with those it depends on, once; the folder it lies in.
fn fetch(package: &str, suite: &str) -> Result<PathBuf, String> {
    let place = folder().join("kernels").join(format!("{package}_{suite}"));
    if place.is_dir() {
        return Ok(place);
    }
    eprintln!("== fetching {package} of {suite}");
    let apt = Apt::of(suite)?;
    let draft = place.with_extension("new");
    let _ = fs::remove_dir_all(&draft);
    fs::create_dir_all(&draft).map_err(|e| format!("cannot make {}: {e}", draft.display()))?;
    let names = apt.with_parts(package)?;
    apt.run(
        "apt-get",
        &[&["download"], names.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat(),
        &draft,
    )?;
    for file in entries(&draft)?.iter().filter(|path| path.extension().is_some_and(|e| e == "deb")) {
        output(Command::new("dpkg-deb").arg("-x").arg(file).arg(&draft))?;
        fs::remove_file(file).map_err(|e| format!("cannot delete {}: {e}", file.display()))?;
    }
    fs::rename(&draft, &place).map_err(|e| format!("cannot name {}: {e}", place.display()))?;
    Ok(place)
}

/// apt(8) with sources, lists and caches of its own: this machine's stay as they are.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn of(suite: &str) -> Result<Apt, String> {
        let home = folder().join("apt").join(suite);
        let listed = source(suite)?;
        let made = fs::create_dir_all(home.join("lists/partial"))
            .and_then(|()| fs::create_dir_all(home.join("cache/archives/partial")))
            .and_then(|()| fs::write(home.join("sources.list"), &listed));
        made.map_err(|e| format!("cannot make {}: {e}", home.display()))?;
        let home = home.display();
        let options = [
            format!("Dir::Etc::SourceList={home}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={home}/lists"),
            format!("Dir::Cache={home}/cache"),
            "APT::Update::Post-Invoke-Success=".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Check-Valid-Until=false".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        let apt = Apt { options: options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect() };
        apt.run("apt-get", &["update", "-q"], Path::new("/"))?;
        Ok(apt)
    }

    fn run(&self, program: &str, words: &[&str], place: &Path) -> Result<String, String> {
        output(Command::new(program).args(&self.options).args(words).current_dir(place))
    }

    /// A package and those of its dependencies that are parts of the kernel.
    fn with_parts(&self, package: &str) -> Result<BTreeSet<String>, String> {
        let mut names = BTreeSet::new();
        let mut todo = vec![package.to_owned()];
        while let Some(name) = todo.pop() {
            if names.insert(name.clone()) {
                let shown = self.run("apt-cache", &["show", "--no-all-versions", &name], Path::new("/"))?;
                todo.extend(parts(&shown));
            }
        }
        Ok(names)
    }
}

fn source(suite: &str) -> Result<String, String> {
    let mirror = mirror().ok_or("no Debian mirror in /etc/apt/sources.list or sources.list.d")?;
    Ok(format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n"))
}

/// The mirror that this machine's own apt uses (sources.list(5), both formats).
pub fn mirror() -> Option<String> {
    let more = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let texts =
        more.chain([PathBuf::from("/etc/apt/sources.list")]).filter_map(|path| std::fs::read_to_string(path).ok());
    let words = texts.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.into_iter().find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
}

/// The names in a package's `Depends` that begin as [`PARTS`].
fn parts(shown: &str) -> Vec<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    let names = depends.split(',').filter_map(|one| one.split_whitespace().next());
    names.filter(|name| PARTS.iter().any(|part| name.starts_with(part))).map(str::to_owned).collect()
}

/// What a program prints; `Err` when it fails.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("cannot run {}: {e}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed: {}", command.get_program().display(), said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parts_of_a_kernel_are_followed() {
        let shown = "Package: linux-image-x\nDepends: dracut | initramfs-tools (>= 0.120), linux-base-x (= 1), linux-modules-x (= 1), linux-binary-x\n";
        assert_eq!(parts(shown), ["linux-modules-x", "linux-binary-x"]);
        assert!(parts("Package: x\n").is_empty());
    }
}
