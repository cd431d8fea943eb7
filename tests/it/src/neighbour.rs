//! Another machine, for what a machine of containers shows to its neighbours.

use crate::Stage;
use std::process::{Child, Command, Stdio};

/// For `bash -c` with an address and a port: what a web server says there. Without a name service.
pub const ASK: &str = "exec 3<>/dev/tcp/$0/$1 && printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3";

/// Another machine on a wire: it is 10.99.0.2, this one 10.99.0.1; fd99::2 and fd99::1.
pub struct Neighbour {
    process: Child,
}

impl Neighbour {
    pub fn new(stage: &Stage) -> Neighbour {
        let process = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up; echo; exec sleep 100000"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) runs");
        let mut neighbour = Neighbour { process };
        let pipe = neighbour.process.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(pipe, &mut [0]).expect("the namespace is made");
        let pid = neighbour.process.id();
        stage.shell_inside(&format!("ip link add lan0 type veth peer name wan0 && ip link set wan0 netns {pid}")).ok();
        stage
            .shell_inside(
                "ip addr add 10.99.0.1/24 dev lan0 && ip -6 addr add fd99::1/64 dev lan0 nodad && ip link set lan0 up",
            )
            .ok();
        neighbour.run("ip addr add 10.99.0.2/24 dev wan0 && ip -6 addr add fd99::2/64 dev wan0 nodad && ip link set wan0 up && ip route add default via 10.99.0.1");
        neighbour
    }

    /// A shell line there; what it prints.
    pub fn run(&self, line: &str) -> String {
        let pid = self.process.id().to_string();
        let output =
            Command::new("nsenter").args(["-t", &pid, "--net", "sh", "-c", line]).output().expect("nsenter(1) runs");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a web server answers there within so many seconds.
    pub fn asks(&self, host: &str, port: u16, seconds: u32) -> bool {
        let pid = self.process.id().to_string();
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &pid,
            "--net",
            "timeout",
            &seconds.to_string(),
            "bash",
            "-c",
            ASK,
            host,
            &port.to_string(),
        ]);
        let output = command.stderr(Stdio::null()).output().expect("nsenter(1) runs");
        String::from_utf8_lossy(&output.stdout).contains("page")
    }

    /// With patience.
    pub fn reaches(&self, host: &str, port: u16) -> bool {
        self.asks(host, port, 20)
    }

    /// Without.
    pub fn is_kept_from(&self, host: &str, port: u16) -> bool {
        !self.asks(host, port, 1)
    }

    /// Takes the wire away.
    pub fn leave(self, stage: &Stage) {
        stage.shell_inside("ip link del lan0").ok();
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
