//! What is to be brought up, read and checked; nothing is made yet.

use crate::bundle::{self, Bundle};
use crate::ends::{Ends, Mode};
use crate::error::{Error, Result};
use crate::passed::{Activation, Passed};
use crate::words::Global;
use crate::words::options::Create;
use crate::{log, root, store};
use cgroup::{Driver, Lenience, Place};
use oci::runtime::{Namespace, NamespaceKind, Process, Resources, Spec};
use oci::state::{State, Status};
use runtime::create::Way;

/// Everything that is known beforehand.
#[derive(Debug)]
pub struct Request<'a> {
    pub global: &'a Global,
    pub options: &'a Create,
    pub mode: Mode,
    pub bundle: Bundle,
    pub passed: Passed,
    pub place: Place,
    pub lenience: Lenience,
}

impl<'a> Request<'a> {
    pub fn read(global: &'a Global, options: &'a Create, mode: Mode) -> Result<Request<'a>> {
        store::check_id(&options.id)?;
        let passed = Passed::collect(Activation::Heed, options.preserve_fds)?;
        let mut bundle = bundle::enter(options.bundle.as_deref())?;
        let process = bundle.spec.process.get_or_insert_default();
        process.env.extend(passed.environment());
        // First: what is passed over may be why the rest is refused.
        runtime::warnings(&bundle.spec).iter().for_each(|warning| log::warn(warning));
        runtime::validate(&bundle.spec).map_err(|e| Error::of(&e))?;
        let driver = if global.systemd_cgroup { Driver::Systemd } else { Driver::Cgroupfs };
        let path = bundle.spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        let place = Place::read(path, &options.id, driver).map_err(|e| Error::of(&e))?;
        let lenience = if global.lenient_cgroups() { Lenience::Lenient } else { Lenience::Strict };
        Ok(Request { global, options, mode, bundle, passed, place, lenience })
    }

    /// Where its groups shall be, as the configuration says, or its id.
    pub fn cgroups_path(&self) -> &str {
        let given = self.spec().linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        given.filter(|path| !path.is_empty()).unwrap_or(&self.options.id)
    }

    pub fn spec(&self) -> &Spec {
        &self.bundle.spec
    }

    pub fn process(&self) -> Option<&Process> {
        self.spec().process.as_ref()
    }

    pub fn resources(&self) -> Resources {
        self.spec().linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default()
    }

    pub fn has_terminal(&self) -> bool {
        self.process().is_some_and(|process| process.terminal)
    }

    /// Opens what the caller wants of the process.
    pub fn ends(&self) -> Result<Ends> {
        let Create { console_socket, pidfd_socket, .. } = self.options;
        Ends::open(self.has_terminal(), self.mode, console_socket.as_deref(), pidfd_socket.as_deref())
    }

    /// Whether it gets a namespace of its own.
    pub fn has_own(&self, kind: NamespaceKind) -> bool {
        self.spec().namespace(kind).is_some_and(Namespace::is_new)
    }

    pub fn way(&self) -> Way {
        Way {
            rootless: !root::is_root(),
            no_pivot: self.options.no_pivot,
            same_keyring: self.options.no_new_keyring,
            plain_lines: self.mode == Mode::Foreground,
            awaits_group: false,
        }
    }

    /// As hooks are told.
    pub fn state(&self, status: Status, pid: i32) -> State {
        State {
            oci_version: self.spec().oci_version.clone(),
            id: self.options.id.clone(),
            status,
            pid,
            bundle: self.bundle.path.to_string_lossy().into_owned(),
            annotations: self.spec().annotations.clone(),
        }
    }
}
