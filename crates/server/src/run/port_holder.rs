//! Finds the process that listens on a port, in `/proc` of Linux. Other systems do not show it.

use std::fmt;
use std::fs;
use std::path::Path;

use switchboard_log::Printable;

/// A process, or its user if the system does not show the process.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Process { pid: u32, name: String },
    User { uid: u32 },
}

impl Holder {
    /// The holder of a port; `None` if it cannot be found.
    pub(super) fn of_port(port: u16) -> Option<Self> {
        Holder::find(Path::new("/proc"), port)
    }

    fn find(proc: &Path, port: u16) -> Option<Self> {
        let sockets =
            ["net/tcp", "net/tcp6"].map(|file| fs::read_to_string(proc.join(file)).unwrap_or_default());
        let (inode, uid) =
            sockets.iter().flat_map(|table| table.lines()).find_map(|line| listener(line, port))?;
        Some(process_of(proc, inode).unwrap_or(Holder::User { uid }))
    }

    /// Returns true if the process has the same program as this one.
    pub(super) fn is_switchboard(&self) -> bool {
        let program = |pid: &dyn fmt::Display| fs::read_link(format!("/proc/{pid}/exe")).ok();
        let name = |path: &std::path::PathBuf| path.file_name().map(|name| name.to_owned());
        match self {
            Holder::Process { pid, .. } => program(pid)
                .is_some_and(|theirs| program(&"self").is_some_and(|ours| name(&ours) == name(&theirs))),
            Holder::User { .. } => false,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Process { pid, name } => write!(f, "process {pid} ({})", Printable(name)),
            Holder::User { uid } => write!(f, "a process of the user with id {uid}"),
        }
    }
}

/// The inode and the user of a line of `/proc/net/tcp`, if it is a socket that listens on the port.
fn listener(line: &str, port: u16) -> Option<(u64, u32)> {
    const LISTENS: &str = "0A";
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = columns.get(1)?.rsplit_once(':')?;
    let is_ours = u16::from_str_radix(local_port, 16) == Ok(port) && *columns.get(3)? == LISTENS;
    is_ours.then_some((columns.get(9)?.parse().ok()?, columns.get(7)?.parse().ok()?))
}

/// The process that has a socket open. Only root sees those of other users.
fn process_of(proc: &Path, inode: u64) -> Option<Holder> {
    let socket = format!("socket:[{inode}]");
    let pids = fs::read_dir(proc)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find_map(|pid| {
        let process = proc.join(pid.to_string());
        let mut files = fs::read_dir(process.join("fd")).ok()?.flatten();
        files
            .find(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket.as_str()))?;
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        Some(Holder::Process { pid, name: name.trim_end().to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_process_that_listens_is_found_by_its_port() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let holder = Holder::of_port(port).expect("Linux tells");
            assert!(matches!(&holder, Holder::Process { pid, .. } if *pid == std::process::id()), "{holder}");
            assert!(holder.is_switchboard());
            drop(listener);
            assert_eq!(Holder::of_port(port), None);
        }
    }

    #[test]
    fn only_listeners_of_the_port_count() {
        let line = |port: &str, state: &str| {
            format!(
                "   0: 0100007F:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 4711 1"
            )
        };
        assert_eq!(listener(&line("0BB8", "0A"), 3000), Some((4711, 1000)));
        assert_eq!(listener(&line("0BB8", "01"), 3000), None);
        assert_eq!(listener(&line("0BB9", "0A"), 3000), None);
        for other in ["", "  sl  local_address rem_address   st", "x", "0: :: 0A"] {
            assert_eq!(listener(other, 3000), None);
        }
    }

    #[test]
    fn a_holder_that_the_system_hides_is_named_by_its_user() {
        let scratch = switchboard_testkit::Scratch::new();
        fs::create_dir(scratch.file("net")).unwrap();
        let table = "0: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 33 0 4711 1\n";
        fs::write(scratch.file("net/tcp"), table).unwrap();
        let holder = Holder::find(scratch.file("").as_ref(), 3000).unwrap();
        assert_eq!(holder.to_string(), "a process of the user with id 33");
        assert!(!holder.is_switchboard());
    }
}
