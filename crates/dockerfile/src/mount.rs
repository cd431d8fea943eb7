//! `RUN --mount`: what is there while the command runs.

use crate::path::{cleaned, last};
use crate::suggest::{Case, nearest};
use crate::{Env, Error, Escape, Fault, csv, expand};
use std::collections::BTreeSet;

/// The text of one `--mount`, not expanded but for what a graph needs to know before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlag {
    pub text: String,
    /// `from=`: a stage by name, an image or a named context. Variables are refused in it.
    pub from: Option<String>,
}

impl MountFlag {
    /// Checks what can be checked before variables are known.
    pub(crate) fn parse(text: &str) -> Result<MountFlag, Error> {
        let mut from = None;
        for field in fields(text)? {
            let Some((key, value)) = field.split_once('=') else { continue };
            if !key.eq_ignore_ascii_case("from") {
                continue;
            }
            // A `$` at the end is a character of the name.
            if value.find('$').is_some_and(|at| at + 1 < value.len()) {
                return Err(Fault::VariableInMountFrom(key.to_lowercase()).into());
            }
            from = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        Ok(MountFlag { text: text.to_owned(), from })
    }

    /// The mount that it means with these variables, and the names of those that are not set.
    pub fn resolve(&self, variables: &Env, escape: Escape) -> Result<(Mount, BTreeSet<String>), Error> {
        let mut options = Options::default();
        let mut unmatched = BTreeSet::new();
        for field in fields(&self.text)? {
            match field.split_once('=') {
                Some((key, value)) => {
                    let expanded = expand::word(value, escape, variables)?;
                    unmatched.extend(expanded.unmatched);
                    options.pair(&key.to_lowercase(), &expanded.text, &field)?;
                }
                None => options.switch(&field)?,
            }
        }
        Ok((options.mount()?, unmatched))
    }
}

fn fields(text: &str) -> Result<Vec<String>, Error> {
    csv::fields(text).map_err(|why| Fault::Csv { what: "mounts", why }.into())
}

/// One mount of a `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where; relative to the working directory. Empty where it was not given.
    pub target: String,
    pub read_only: bool,
    pub kind: MountKind,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image. What is written is thrown away.
    Bind {
        from: Option<String>,
        source: String,
    },
    /// A folder that outlives the build.
    Cache(Cache),
    Tmpfs {
        /// Bytes; 0 for no limit.
        size: u64,
    },
    Secret(Secret),
    Ssh(Ssh),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Its name; by default the cleaned target.
    pub id: String,
    pub sharing: Sharing,
    /// What it begins with: nothing, unless a stage, image or context is named.
    pub from: Option<String>,
    pub source: String,
    /// Of the folder when it is made: by default 0755.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// What two builds do that want the same cache at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// They write into it both.
    #[default]
    Shared,
    /// The second one gets a new one.
    Private,
    /// The second one waits.
    Locked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What the client calls it.
    pub id: String,
    /// The file that holds it; `None` if only a variable does.
    pub target: Option<String>,
    /// The variable that holds it.
    pub env: Option<String>,
    pub required: bool,
    /// By default 0400.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// What the client calls it.
    pub id: String,
    /// The socket, if another than `/run/buildkit/ssh_agent.N`.
    pub target: Option<String>,
    pub required: bool,
    /// By default 0600.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// The five types, with the keys that a message of BuildKit's names them by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Type {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

const TYPES: [(&str, Type); 5] = [
    ("bind", Type::Bind),
    ("cache", Type::Cache),
    ("tmpfs", Type::Tmpfs),
    ("secret", Type::Secret),
    ("ssh", Type::Ssh),
];

const SHARING: [(&str, Sharing); 3] =
    [("shared", Sharing::Shared), ("private", Sharing::Private), ("locked", Sharing::Locked)];

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

impl Type {
    fn name(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn may_be_required(self) -> bool {
        matches!(self, Type::Secret | Type::Ssh)
    }
}

/// The options as they come, before they are a mount.
#[derive(Debug, Default)]
struct Options {
    kind: Type,
    from: String,
    source: String,
    target: String,
    read_only: Option<bool>,
    size: u64,
    id: String,
    sharing: Option<Sharing>,
    required: bool,
    env: Option<String>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Options {
    fn switch(&mut self, field: &str) -> Result<(), Error> {
        match field.to_lowercase().as_str() {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            "required" if self.kind.may_be_required() => self.required = true,
            key @ "required" => return Err(self.foreign(key)),
            _ => return Err(Fault::NotPair(field.to_owned()).into()),
        }
        Ok(())
    }

    fn pair(&mut self, key: &str, value: &str, field: &str) -> Result<(), Error> {
        match key {
            "type" => self.kind = one_of(value, TYPES, Fault::MountType)?,
            "from" => self.from = value.to_owned(),
            "source" | "src" => self.source = value.to_owned(),
            "target" | "dst" | "destination" => self.target = value.to_owned(),
            "readonly" | "ro" => self.read_only = Some(boolean(key, value)?),
            "readwrite" | "rw" => self.read_only = Some(!boolean(key, value)?),
            "required" if self.kind.may_be_required() => self.required = boolean(key, value)?,
            "size" if self.kind == Type::Tmpfs => self.size = size(value)?,
            "required" | "size" => return Err(self.foreign(key)),
            "id" => self.id = value.to_owned(),
            "sharing" => self.sharing = Some(one_of(value, SHARING, Fault::Sharing)?),
            "mode" => self.mode = Some(number("mode", value, 8)?),
            "uid" => self.uid = Some(number("uid", value, 10)?),
            "gid" => self.gid = Some(number("gid", value, 10)?),
            "env" => self.env = Some(value.to_owned()),
            _ => {
                let fault = Fault::UnexpectedKey { key: key.to_owned(), field: field.to_owned() };
                return Err(Error::from(fault).meaning(nearest(key, KEYS, Case::Matters)));
            }
        }
        Ok(())
    }

    fn foreign(&self, key: &str) -> Error {
        Fault::KeyOfOtherMount { key: key.to_owned(), kind: self.kind.name() }.into()
    }

    fn mount(self) -> Result<Mount, Error> {
        self.check()?;
        let writable = matches!(self.kind, Type::Cache | Type::Tmpfs);
        let (target, read_only) = (self.target.clone(), self.read_only.unwrap_or(!writable));
        let kind = match self.kind {
            Type::Bind => MountKind::Bind { from: filled(self.from), source: self.source },
            Type::Tmpfs => MountKind::Tmpfs { size: self.size },
            Type::Cache => MountKind::Cache(self.cache()),
            Type::Secret => MountKind::Secret(self.secret()),
            Type::Ssh => MountKind::Ssh(self.ssh()?),
        };
        Ok(Mount { target, read_only, kind })
    }

    fn check(&self) -> Result<(), Error> {
        let kind = self.kind.name();
        if matches!(self.kind, Type::Bind | Type::Tmpfs) {
            let given = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
            if let Some((key, _)) = given.into_iter().find(|(_, value)| value.is_some()) {
                return Err(Fault::NotForMount { key, kind }.into());
            }
        }
        if self.kind == Type::Secret {
            self.check_secret()?;
        }
        match self.sharing {
            Some(_) if self.kind != Type::Cache => Err(Fault::SharingOfOtherMount(kind).into()),
            _ => Ok(()),
        }
    }

    fn check_secret(&self) -> Result<(), Error> {
        let named = |text: &str| !text.is_empty();
        let fault = match self {
            _ if named(&self.from) => Fault::SecretFrom,
            _ if self.sharing.is_some() => Fault::SecretSharing,
            _ if !named(&self.source) && !named(&self.target) && !named(&self.id) => Fault::SecretUnnamed,
            _ if named(&self.source) && named(&self.id) => Fault::SecretNamedTwice,
            _ => return Ok(()),
        };
        Err(fault.into())
    }

    fn cache(self) -> Cache {
        let id = if self.id.is_empty() { cleaned(&self.target) } else { self.id };
        let Options { source, mode, uid, gid, .. } = self;
        Cache { id, sharing: self.sharing.unwrap_or_default(), from: filled(self.from), source, mode, uid, gid }
    }

    fn secret(self) -> Secret {
        let id = [self.source, self.id, last(&self.target).to_owned()].into_iter().find(|id| !id.is_empty());
        let id = id.unwrap_or_default();
        let target = match (&self.env, self.target) {
            (Some(_), target) => filled(target),
            (None, target) if target.is_empty() => Some(format!("/run/secrets/{}", last(&id))),
            (None, target) => Some(target),
        };
        // A variable without a name is called as the secret is.
        let env = self.env.map(|env| if env.is_empty() { id.clone() } else { env });
        Secret {
            target,
            env,
            required: self.required,
            mode: self.mode.unwrap_or(0o400),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
            id,
        }
    }

    fn ssh(self) -> Result<Ssh, Error> {
        if !self.source.is_empty() {
            return Err(Fault::SshSource.into());
        }
        Ok(Ssh {
            id: filled(self.id).unwrap_or_else(|| "default".to_owned()),
            target: filled(self.target),
            required: self.required,
            mode: self.mode.unwrap_or(0o600),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
        })
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn one_of<T: Copy, const N: usize>(
    value: &str,
    known: [(&'static str, T); N],
    fault: fn(String) -> Fault,
) -> Result<T, Error> {
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(value));
    found.map(|(_, found)| *found).ok_or_else(|| {
        let hint = nearest(value, known.iter().map(|(name, _)| *name), Case::Matters);
        Error::from(fault(value.to_owned())).meaning(hint)
    })
}

/// Go's words for yes and no.
pub(crate) fn boolean(key: &str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Fault::MountValue { key: key.to_owned(), value: value.to_owned() }.into()),
    }
}

fn number(key: &'static str, value: &str, radix: u32) -> Result<u32, Error> {
    let digits = !value.is_empty() && value.chars().all(|c| c.is_digit(radix));
    let number = digits.then(|| u32::from_str_radix(value, radix).ok()).flatten();
    number.ok_or_else(|| Fault::MountNumber { key, value: value.to_owned() }.into())
}

fn size(value: &str) -> Result<u64, Error> {
    base::size::bytes(value).ok_or_else(|| Fault::MountValue { key: "size".to_owned(), value: value.to_owned() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Mount, String> {
        let env = Env::of(["WHERE=/cache", "KIND=cache"]).unwrap();
        let flag = MountFlag::parse(text).map_err(|error| error.message())?;
        flag.resolve(&env, Escape::Backslash).map(|(mount, _)| mount).map_err(|error| error.message())
    }

    #[test]
    fn a_bind_is_the_default_and_read_only() {
        let mount = resolve("target=/a,source=b,from=stage").unwrap();
        assert!(mount.read_only);
        assert_eq!(mount.kind, MountKind::Bind { from: Some("stage".into()), source: "b".into() });
        assert!(!resolve("target=/a,rw").unwrap().read_only);
        assert!(!resolve("target=/a,readonly=false").unwrap().read_only);
    }

    #[test]
    fn a_cache_is_called_by_its_target_and_writable() {
        let Ok(Mount { read_only: false, kind: MountKind::Cache(cache), target }) =
            resolve("type=$KIND,target=$WHERE/../x//y/,sharing=LOCKED,mode=0700,uid=5")
        else {
            panic!("no cache")
        };
        assert_eq!((cache.id.as_str(), target.as_str()), ("/x/y", "/cache/../x//y/"));
        assert_eq!((cache.sharing, cache.mode, cache.uid, cache.gid), (Sharing::Locked, Some(0o700), Some(5), None));
    }

    #[test]
    fn a_secret_has_a_place_unless_it_is_a_variable() {
        let secret = |text| match resolve(text).unwrap().kind {
            MountKind::Secret(secret) => (secret.id, secret.target, secret.env, secret.mode),
            _ => panic!("no secret"),
        };
        assert_eq!(secret("type=secret,id=a/b"), ("a/b".into(), Some("/run/secrets/b".into()), None, 0o400));
        assert_eq!(secret("type=secret,target=/x/key"), ("key".into(), Some("/x/key".into()), None, 0o400));
        assert_eq!(secret("type=secret,id=a,env=TOKEN"), ("a".into(), None, Some("TOKEN".into()), 0o400));
        assert_eq!(secret("type=secret,id=a,env="), ("a".into(), None, Some("a".into()), 0o400));
        assert_eq!(
            secret("type=secret,id=a,env=T,target=/t,mode=0444"),
            ("a".into(), Some("/t".into()), Some("T".into()), 0o444)
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, wanted) in [
            ("type=foo", "unsupported mount type \"foo\""),
            ("type=cach,target=/a", "unsupported mount type \"cach\" (did you mean cache?)"),
            ("type=cache,sharing=lock", "unsupported sharing value \"lock\" (did you mean locked?)"),
            ("type=cache,tagret=/a", "unexpected key 'tagret' in 'tagret=/a' (did you mean target?)"),
            ("target=/a,required", "unexpected key 'required' for mount type 'bind'"),
            ("target=/a,size=1", "unexpected key 'size' for mount type 'bind'"),
            ("target=/a,mode=7", "mode not allowed for \"bind\" type mounts"),
            ("type=cache,mode=9", "invalid value 9 for mode"),
            ("type=tmpfs,size=x", "invalid value for size: x"),
            ("target=/a,ro=maybe", "invalid value for ro: maybe"),
            ("from=$X,target=/a", "'from' doesn't support variable expansion, define alias stage instead"),
            ("target", "invalid field 'target' must be a key=value pair"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,id=a,src=b", "both source and id can't be set"),
            ("type=secret,id=a,from=b", "secret mount should not have a from"),
            ("type=ssh,sharing=locked", "invalid cache sharing set for ssh mount"),
            ("type=ssh,source=a", "ssh does not support source"),
        ] {
            assert_eq!(resolve(text).unwrap_err(), wanted, "{text}");
        }
    }
}
