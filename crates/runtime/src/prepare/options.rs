//! Mount options of the runtime specification (config.md, "Linux mount options"; mount(8)).

use crate::{Attributes, Extent, Seed, Spread};
use oci::runtime::Mount;
use sys::mount::attribute;

/// Options, sorted by what takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// The mount is a bind, and whether with all that is mounted below its source.
    pub(super) bind: Option<Below>,
    /// Attributes of the mount itself.
    pub(super) attributes: Attributes,
    /// Attributes of the mount and of all below it.
    pub(super) recursive: Attributes,
    /// In the order in which they are to be set.
    pub(super) propagation: Vec<(Spread, Extent)>,
    /// Files get the owners that an id map gives them: those of this mount, or of all below it too.
    pub(super) id_map: Option<Extent>,
    pub(super) seed: Seed,
    /// Words for the super block of a new file system; they mean nothing to a bind.
    pub(super) flags: Vec<String>,
    /// For the file system.
    pub(super) data: Vec<(String, Option<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    Without,
    With,
}

impl Attributes {
    fn apply(&mut self, change: Attributes) {
        self.set = (self.set & !change.clear) | change.set;
        self.clear = (self.clear & !change.set) | change.clear;
    }
}

pub(super) fn is_bind(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("bind") || mount.options.iter().any(|option| option == "bind" || option == "rbind")
}

/// Reads the options of a mount; later ones win. What no one knows is for the file system.
pub(super) fn parse(mount: &Mount) -> Options {
    let mut options = Options::default();
    if is_bind(mount) {
        options.bind = Some(Below::Without);
    }
    for option in &mount.options {
        take(&mut options, option);
    }
    options
}

fn take(options: &mut Options, option: &str) {
    match option {
        "bind" => {
            options.bind.get_or_insert(Below::Without);
        }
        "rbind" => options.bind = Some(Below::With),
        "idmap" => options.id_map = Some(Extent::One),
        "ridmap" => options.id_map = Some(Extent::All),
        "tmpcopyup" => options.seed = Seed::Files,
        // Said otherwise here, or a matter of mount(8) alone.
        "defaults" | "remount" | "silent" | "loud" | "nofail" | "auto" | "noauto" | "noiversion" => {}
        word if OF_SUPER_BLOCKS.contains(&word) => options.flags.push(word.to_owned()),
        _ => {
            if let Some(change) = attribute_change(option) {
                options.attributes.apply(change);
            } else if let Some(change) = option.strip_prefix('r').and_then(attribute_change) {
                options.recursive.apply(change);
            } else if let Some(propagation) = propagation(option) {
                options.propagation.push(propagation);
            } else {
                options.data.push(pair(option));
            }
        }
    }
}

/// Words that fsconfig(2) takes for every file system (vfs_parse_sb_flag in fs/fs_context.c), and `iversion`, which some take.
const OF_SUPER_BLOCKS: [&str; 8] = ["sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime", "iversion"];

impl Options {
    /// For the file system and its super block, as fsconfig(2) takes them.
    pub(super) fn for_new(&self) -> Vec<(String, Option<String>)> {
        let flags = self.flags.iter().map(|word| (word.clone(), None));
        flags.chain(self.data.iter().cloned()).collect()
    }
}

fn pair(option: &str) -> (String, Option<String>) {
    match option.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (option.to_owned(), None),
    }
}

/// `rshared` and its kin, mount_namespaces(7).
pub(super) fn propagation(option: &str) -> Option<(Spread, Extent)> {
    let (name, extent) = match option.strip_prefix('r') {
        Some(name) => (name, Extent::All),
        None => (option, Extent::One),
    };
    let spread = match name {
        "shared" => Spread::Shared,
        "private" => Spread::Private,
        "slave" => Spread::Slave,
        "unbindable" => Spread::Unbindable,
        _ => return None,
    };
    Some((spread, extent))
}

fn attribute_change(option: &str) -> Option<Attributes> {
    let set = |set| Some(Attributes { set, clear: 0 });
    let clear = |clear| Some(Attributes { set: 0, clear });
    // One field with several values: the whole field is cleared first, as the kernel wants it.
    let atime = |set| Some(Attributes { set, clear: attribute::ATIME_FIELD & !set });
    match option {
        "ro" => set(attribute::RDONLY),
        "rw" => clear(attribute::RDONLY),
        "nosuid" => set(attribute::NOSUID),
        "suid" => clear(attribute::NOSUID),
        "nodev" => set(attribute::NODEV),
        "dev" => clear(attribute::NODEV),
        "noexec" => set(attribute::NOEXEC),
        "exec" => clear(attribute::NOEXEC),
        "nodiratime" => set(attribute::NODIRATIME),
        "diratime" => clear(attribute::NODIRATIME),
        "nosymfollow" => set(attribute::NOSYMFOLLOW),
        "symfollow" => clear(attribute::NOSYMFOLLOW),
        "noatime" => atime(attribute::NOATIME),
        "strictatime" => atime(attribute::STRICTATIME),
        "relatime" | "atime" | "nostrictatime" | "norelatime" => atime(attribute::RELATIME),
        _ => None,
    }
}

impl Attributes {
    /// As mount_setattr(2) wants it: a kind of atime is set by clearing the whole field.
    pub(super) fn for_setattr(self) -> Attributes {
        let field = attribute::ATIME_FIELD;
        let touched = (self.set | self.clear) & field != 0;
        Attributes { set: self.set, clear: if touched { self.clear | field } else { self.clear } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: &str, options: &[&str]) -> Options {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        parse(&Mount { destination: "/x".into(), kind: Some(kind.into()), source: None, options, ..Mount::default() })
    }

    #[test]
    fn dockers_tmpfs_options_are_understood() {
        let options = parsed("tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]);
        assert_eq!(options.attributes.set, attribute::NOSUID | attribute::STRICTATIME);
        let data = [("mode".to_owned(), Some("755".to_owned())), ("size".to_owned(), Some("65536k".to_owned()))];
        assert_eq!(options.data, data);
        assert_eq!(options.bind, None);
    }

    #[test]
    fn binds_may_reach_below_and_be_recursively_read_only() {
        let options = parsed("bind", &["rbind", "rro", "rslave"]);
        assert_eq!(options.bind, Some(Below::With));
        assert_eq!((options.attributes.set, options.recursive.set), (0, attribute::RDONLY));
        assert_eq!(options.propagation, [(Spread::Slave, Extent::All)]);
        assert_eq!(parsed("none", &["bind"]).bind, Some(Below::Without));
        assert_eq!(parsed("bind", &["rbind", "bind"]).bind, Some(Below::With));
    }

    #[test]
    fn later_options_win() {
        let options = parsed("tmpfs", &["ro", "noexec", "rw", "noatime", "relatime"]);
        assert_eq!(options.attributes.set, attribute::NOEXEC);
        assert_eq!(options.attributes.clear, attribute::RDONLY | attribute::ATIME_FIELD);
        assert_eq!(options.attributes.for_setattr().clear & attribute::ATIME_FIELD, attribute::ATIME_FIELD);
    }

    #[test]
    fn words_for_the_super_block_are_no_data() {
        let options = parsed("tmpfs", &["sync", "size=1m", "silent", "tmpcopyup"]);
        assert_eq!(options.data, [("size".to_owned(), Some("1m".to_owned()))]);
        let all = [("sync".to_owned(), None), ("size".to_owned(), Some("1m".to_owned()))];
        assert_eq!((options.for_new(), options.seed), (all.to_vec(), Seed::Files));
    }

    #[test]
    fn words_that_only_look_recursive_are_not() {
        let options = parsed("tmpfs", &["relatime", "rshared"]);
        assert_eq!(options.recursive, Attributes::default());
        assert_eq!(options.propagation, [(Spread::Shared, Extent::All)]);
        assert!(options.data.is_empty());
    }
}
