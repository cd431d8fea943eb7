//! One run of the machine: QEMU, its console, and what the checks said on it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What the kernel's first process comes from.
pub enum Start<'a> {
    Initramfs(&'a Path),
    /// Disks, of which the first is the root and stays as it was, and words for the kernel's command line.
    Disks(&'a [PathBuf], &'a str),
}

/// What to boot, and with what.
pub struct Guest<'a> {
    pub kernel: &'a Path,
    pub start: Start<'a>,
    /// For the whole run. Without hardware virtualisation everything is some twenty times slower.
    pub patience: Duration,
    /// Where everything that it says is kept.
    pub console: PathBuf,
    pub only: &'a [String],
    pub processors: u32,
    pub memory_mib: u32,
}

/// QEMU, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Guest<'_> {
    /// Boots, prints the verdicts as they come, and waits for the end. `Err` says how many checks failed, or that there was
    /// no closing line.
    pub fn run(&self) -> Result<(), String> {
        let started = Instant::now();
        let mut qemu = Running(self.boot()?);
        let output = qemu.0.stdout.take().ok_or("no console")?;
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
            }
        });
        let verdict = self.follow(&lines, started + self.patience);
        drop(qemu);
        let _ = reader.join();
        eprintln!("== {:.0} s; console: {}", started.elapsed().as_secs_f32(), self.console.display());
        verdict
    }

    fn boot(&self) -> Result<Child, String> {
        let mut line = "console=ttyS0 quiet loglevel=3 reboot=t panic=-1".to_owned();
        if !self.only.is_empty() {
            line.push_str(&format!(" only={}", self.only.join(",")));
        }
        let mut qemu = Command::new("qemu-system-x86_64");
        // QEMU 7.2 damages the flags in an emulated cmpxchg16b, and with a thread for each processor one runs into
        // the breakpoint by which the kernel patches itself; Linux 6.12 falls over both.
        qemu.args(["-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max,cx16=off"])
            .args(["-m", &self.memory_mib.to_string(), "-smp", &self.processors.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(self.kernel);
        match self.start {
            Start::Initramfs(archive) => drop(qemu.arg("-initrd").arg(archive)),
            Start::Disks(disks, words) => {
                disks.iter().enumerate().for_each(|(index, disk)| attach(&mut qemu, index, disk));
                line.push_str(" root=/dev/nvme0n1 rw ");
                line.push_str(words);
            }
        }
        qemu.args(["-append", &line])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot run qemu-system-x86_64: {e} (apt-get install qemu-system-x86)"))
    }

    fn follow(&self, lines: &mpsc::Receiver<String>, deadline: Instant) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("cannot write {}: {e}", self.console.display());
        let mut console = File::create(&self.console).map_err(failed)?;
        loop {
            let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Err("not done in time".to_owned()),
                Err(RecvTimeoutError::Disconnected) => return Err("the machine ended without a result".to_owned()),
            };
            writeln!(console, "{line}").map_err(failed)?;
            if ["ok ", "FAILED ", "  | "].iter().any(|word| line.starts_with(word)) {
                println!("{line}");
            }
            if let Some((passed, failed)) = closing(&line) {
                println!("{line}");
                return match (passed, failed) {
                    (0, 0) => Err("no check ran".to_owned()),
                    (_, 0) => Ok(()),
                    (_, failed) => Err(format!("{failed} checks failed")),
                };
            }
        }
    }
}

/// NVMe: Debian's cloud kernels have it built in, so that a disk needs no initramfs. Writes go to a file that QEMU removes.
fn attach(qemu: &mut Command, index: usize, disk: &Path) {
    let drive = format!("file={},if=none,id=disk{index},format=raw,snapshot=on", disk.display());
    qemu.args(["-drive", &drive, "-device", &format!("nvme,serial=disk{index},drive=disk{index}")]);
}

/// `N passed, N failed`
fn closing(line: &str) -> Option<(u32, u32)> {
    let (passed, failed) = line.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.strip_suffix(" failed")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_known() {
        assert_eq!(closing("12 passed, 3 failed"), Some((12, 3)));
        assert_eq!(closing("ok 12 passed, 3 failed"), None);
        assert_eq!(closing("12 passed"), None);
    }
}
