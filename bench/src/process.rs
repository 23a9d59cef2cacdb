//! CPU time and memory of a process, from /proc.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A measured process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    root: PathBuf,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Process { root: PathBuf::from(format!("/proc/{pid}")) }
    }

    /// CPU time of all threads, with a resolution of nanoseconds.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut total = 0;
        for task in fs::read_dir(self.root.join("task")).context("the server's process has ended")? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            total += text
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .context("schedstat has no time")?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(self.root.join("status"))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("status has no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

/// The process that listens on a TCP port.
pub(crate) fn listening_on(port: u16) -> Result<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port))
        .with_context(|| format!("nothing listens on port {port}"))?;
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == wanted)) {
            return Ok(pid);
        }
    }
    bail!("the process that listens on port {port} belongs to another user; give its --pid")
}

fn listening_inode(table: &str, port: u16) -> Option<String> {
    let local = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // State 0A is LISTEN; the tenth field is the inode.
        (fields[1].ends_with(&local) && fields[3] == "0A").then(|| fields[9].to_owned())
    })
}

/// The limit of open files of this process.
pub(crate) fn open_files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port).unwrap(), std::process::id());
        drop(listener);
        assert!(listening_on(port).is_err());
    }

    #[test]
    fn a_process_uses_time_and_memory() {
        let me = Process::new(std::process::id());
        assert!(me.cpu().unwrap() > Duration::ZERO);
        assert!(me.resident_bytes().unwrap() > 100_000);
    }
}
