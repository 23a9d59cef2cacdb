//! Notifications to the service manager that started this process: systemd with `Type=notify`, or another one with the
//! protocol of sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use switchboard_log::{limited, printable_error};

/// Sends the notifications; without a service manager it does nothing.
pub(super) struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// How long the process may be silent before the service manager ends it.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The service manager that the environment names, if any.
    pub(super) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let socket = socket.and_then(|address| {
            let connected = connect(&address);
            connected.inspect_err(report).ok()
        });
        let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let is_ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = variable("WATCHDOG_USEC").filter(|_| is_ours && socket.is_some());
        ServiceManager { socket, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// Clients can connect, or a reload has ended.
    pub(super) fn ready(&self) {
        self.notify("READY=1");
    }

    /// The settings are being read again. [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The graceful stop has begun.
    pub(super) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// Shows the watchdog that tasks of this process run, twice in each of its periods. Never ready.
    pub(super) async fn feed_watchdog(&self) -> std::convert::Infallible {
        let Some(period) = self.watchdog.filter(|period| !period.is_zero()) else {
            return std::future::pending().await;
        };
        loop {
            self.notify("WATCHDOG=1");
            tokio::time::sleep(period / 2).await;
        }
    }

    fn notify(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            report(&error);
        }
    }
}

fn report(error: &io::Error) {
    limited!(WARN, error = printable_error(error), "service manager cannot be notified");
}

/// Connects to a path or, after `@`, to a name in the abstract namespace of Linux.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        _ => socket.connect(address)?,
    }
    Ok(socket)
}
