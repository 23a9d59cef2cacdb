//! Clients of one Koji shard that make its member list long and do not read it: memory and traffic of the process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use switchboard_testkit::raw::frame;

use crate::support::{Server, upgraded};

const MIB: usize = 1024 * 1024;

/// A client of the shard that enters the member list.
fn join(server: &Server) -> TcpStream {
    let mut stream = upgraded(&server.address, "/?projectId=p&shardName=s");
    // The pong to the ping behind CONNECTED.
    stream.write_all(&frame(0x8a, b"connected")).expect("it is connected");
    stream
}

/// Reads everything in a thread of its own. Returns the counter of the bytes that it has read.
fn read_in_thread(stream: &TcpStream) -> Arc<AtomicUsize> {
    let (mut stream, read) = (stream.try_clone().expect("it can be shared"), Arc::<AtomicUsize>::default());
    stream.set_read_timeout(None).expect("it is a socket");
    let count = read.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            count.fetch_add(len, Ordering::Relaxed);
        }
    });
    read
}

fn set_user_info(stream: &mut TcpStream, round: usize, bytes: usize) {
    let info = format!(r#"{{"round":{round},"pad":"{}"}}"#, "x".repeat(bytes));
    let event = format!(r#"{{"eventName":"@@KOJI_DISPATCH/SET_USER_INFO","payload":{info}}}"#);
    stream.write_all(&frame(0x81, event.as_bytes())).expect("it is connected");
}

fn metric(server: &Server, name: &str) -> usize {
    let metrics = server.get("/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|value| value.parse::<f64>().ok()).expect("it is a metric") as usize
}

#[expect(clippy::disallowed_methods, reason = "the bound is a rate")]
fn now() -> Instant {
    Instant::now()
}

/// 100 clients with user infos of 16 kB, and 200 that never read, connecting during 15 lists.
#[test]
#[ignore = "slow: 20 s, and 600 MB over loopback"]
fn a_shard_with_long_user_infos_and_clients_that_do_not_read_costs_a_bounded_amount() {
    const ROUNDS: usize = 15;
    // The test reads the metrics more often than an address may.
    let server = Server::start(&["serve", "--set", "limits.http_requests_per_s=none"]);
    let honest = join(&server);
    let received = read_in_thread(&honest);
    let mut heavy: Vec<TcpStream> = (0..100).map(|_| join(&server)).collect();
    heavy.iter().for_each(|client| drop(read_in_thread(client)));
    let resident = server.resident_bytes();
    let (began, mut stalled, mut held_max) = (now(), Vec::new(), 0);
    for round in 0..ROUNDS {
        heavy.iter_mut().for_each(|client| set_user_info(client, round, 16_000));
        stalled.extend((0..200 / ROUNDS).map(|_| join(&server)));
        // Until the honest client has received the next list.
        let before = received.load(Ordering::Relaxed);
        while received.load(Ordering::Relaxed) < before + 256_000 {
            thread::sleep(Duration::from_millis(10));
            held_max = held_max.max(metric(&server, "switchboard_outbox_held_bytes"));
        }
    }
    let (sent, seconds) = (received.load(Ordering::Relaxed), began.elapsed().as_secs_f64());
    let grown = server.resident_bytes().saturating_sub(resident);
    println!(
        "{sent} bytes to the honest client in {seconds:.1} s, {held_max} bytes held, {grown} bytes grown"
    );
    assert!((sent as f64) < (seconds + 3.0) * 256.0 * 1024.0, "{sent} bytes in {seconds} s");
    assert!(held_max < 10 * MIB, "{held_max} bytes are held");
    assert!(grown < 64 * MIB, "the process has grown by {grown} bytes");
    assert!(
        metric(&server, "switchboard_refused_events_total{protocol=\"koji\",reason=\"shard_info_full\"}") > 0
    );
}
