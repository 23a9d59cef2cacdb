//! Notifications to a service manager: this test is one.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use switchboard_testkit::Scratch;

use crate::support::Server;

/// The next notification that is not of the watchdog.
fn next(manager: &UnixDatagram) -> String {
    loop {
        let notification = receive(manager);
        if notification != "WATCHDOG=1" {
            return notification;
        }
    }
}

fn receive(manager: &UnixDatagram) -> String {
    manager.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    let mut bytes = [0; 512];
    let length = manager.recv(&mut bytes).expect("a notification");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn start(notify_socket: &str, args: &[&str], watchdog: Option<&str>) -> Server {
    let args = [&["serve"], args].concat();
    Server::start_with(&args, |command| {
        if let Some(micros) = watchdog {
            command.env("WATCHDOG_USEC", micros);
        }
        command.env("NOTIFY_SOCKET", notify_socket)
    })
}

#[test]
fn the_service_manager_is_notified_of_start_reloads_and_stop() {
    let scratch = Scratch::new();
    let (path, config) = (scratch.file("notify"), scratch.file("switchboard.toml"));
    let manager = UnixDatagram::bind(&path).expect("the directory is ours");
    std::fs::write(&config, "").expect("the directory is ours");
    let server = start(&path, &["--config", &config], None);
    assert_eq!(next(&manager), "READY=1");
    for settings in ["[limits]\nmessages_per_s = 7\n", "[limits]\nmessages_per_s = \"fast\"\n"] {
        std::fs::write(&config, settings).expect("the directory is ours");
        server.signal("-HUP");
        let reloading = next(&manager);
        let at = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it reloads");
        assert!(at.parse::<u64>().is_ok_and(|micros| micros > 0), "{reloading}");
        assert_eq!(next(&manager), "READY=1", "after {settings}");
    }
    server.signal("-TERM");
    assert_eq!(next(&manager), "STOPPING=1");
    assert_eq!(server.ended().0, Some(0));
}

#[test]
fn the_watchdog_is_fed_more_often_than_it_asks() {
    let scratch = Scratch::new();
    let path = scratch.file("notify");
    let manager = UnixDatagram::bind(&path).expect("the directory is ours");
    let _server = start(&path, &[], Some("200000"));
    let notifications: Vec<String> = (0..6).map(|_| receive(&manager)).collect();
    assert_eq!(notifications.iter().filter(|state| *state == "WATCHDOG=1").count(), 5, "{notifications:?}");
}

#[test]
fn a_service_manager_in_the_abstract_namespace_is_notified() {
    let name = format!("switchboard-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a valid name");
    let manager = UnixDatagram::bind_addr(&address).expect("the name is free");
    let _server = start(&format!("@{name}"), &[], None);
    assert_eq!(next(&manager), "READY=1");
}

#[test]
fn a_server_runs_without_the_service_manager_that_its_environment_names() {
    for address in ["/nowhere/notify", "", "@", &"x".repeat(300)] {
        let server = start(address, &[], Some("1"));
        assert!(server.get("/readyz").ends_with("ready\n"), "{address}");
        server.signal("-TERM");
        let (status, log) = server.ended();
        assert_eq!(status, Some(0), "{log}");
        assert_eq!(
            log.contains("service manager cannot be notified"),
            !address.is_empty(),
            "{address}: {log}"
        );
    }
}
