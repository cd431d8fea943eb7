//! A registry in a stage's network namespace: Debian's, or our own.

use crate::Stage;
use crate::stage::binary;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The package docker-registry.
    Debian,
    /// `dhow registry serve --root`.
    Own,
}

/// One that runs; it ends when dropped.
pub struct Registry {
    child: Child,
    pub address: String,
}

impl Registry {
    /// Starts one on `127.0.0.1:port` with its data below the stage's folder; it answers when this returns.
    pub fn start(stage: &Stage, maker: Maker, port: u16) -> Registry {
        Registry::start_in(stage.folder(), &|program| stage.inside(program), maker, port)
    }

    /// The same with data below `folder`, in the namespaces that `enter` enters.
    pub fn start_in(folder: &Path, enter: &dyn Fn(&OsStr) -> Command, maker: Maker, port: u16) -> Registry {
        let address = format!("127.0.0.1:{port}");
        let root = folder.join(format!("registry-{port}"));
        let mut command = match maker {
            Maker::Debian => {
                let file = folder.join(format!("registry-{port}.yml"));
                let text = format!(
                    "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: \"{address}\"}}\n\
                     storage: {{filesystem: {{rootdirectory: \"{}\"}}, delete: {{enabled: true}}}}\n",
                    root.display()
                );
                std::fs::write(&file, text).expect("a configuration");
                let mut command = enter("docker-registry".as_ref());
                command.arg("serve").arg(file);
                command
            }
            Maker::Own => {
                let mut command = enter(binary().as_os_str());
                command.args(["registry", "serve", "--address", &address, "--root"]).arg(root);
                command
            }
        };
        let log = std::fs::File::create(folder.join(format!("registry-{port}.log"))).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a registry starts");
        let probe = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        crate::within("the registry answers", || {
            enter("bash".as_ref()).args(["-c", &probe]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        });
        Registry { child, address }
    }

    /// Our own with other flags, among them what it serves.
    pub fn serve(stage: &Stage, address: &str, flags: &[&str]) -> Registry {
        let (host, port) = address.rsplit_once(':').expect("an address with a port");
        let mut command = stage.inside(binary());
        command.args(["registry", "serve", "--address", address]).args(flags);
        let path = stage.folder().join(format!("registry-{port}.log"));
        let log = std::fs::File::create(&path).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a registry starts");
        let mut registry = Registry { child, address: address.to_owned() };
        let probe = format!("exec 3<>/dev/tcp/{host}/{port}");
        crate::within("the registry answers", || {
            if let Ok(Some(status)) = registry.child.try_wait() {
                panic!("the registry ended: {status}\n{}", std::fs::read_to_string(&path).unwrap_or_default());
            }
            let mut bash = stage.inside("bash");
            bash.args(["-c", &probe]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        });
        registry
    }

    /// SIGKILL, as a crash.
    pub fn kill(&mut self) {
        self.child.kill().expect("the registry can be killed");
        self.child.wait().expect("the registry was a child");
    }

    /// The name of a repository in it, with a tag.
    pub fn name(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
