//! Measures the cost of a report through a worker group, compared with plain XADD, XREADGROUP and XACK with XDEL
//! of as many bytes in pipelines of 512. Needs a Redis server without other load:
//! `cargo run --release --example worker_cost -- redis://127.0.0.1:6379 [REPORTS]`.

use std::time::Duration;

use redis::{AsyncCommands, Pipeline, Value, cmd, pipe};
use switchboard_backplane::{Backplane, ClientAction, ClientMessage, Report};
use switchboard_event::{Name, Payload, ProjectId, Protocol, SocketId};
use switchboard_redis::{Options, Redis, ReportOptions};
use switchboard_worker::{Worker, WorkerOptions};
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Clients that send the reports, in turn.
const CLIENTS: usize = 1000;

/// Reports in flight at a time.
const IN_FLIGHT_MAX: usize = 4096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("the address of Redis is missing")?;
    let count: usize = args.next().map_or(Ok(100_000), |count| count.parse())?;
    for round in 1..=3 {
        for (name, is_group) in [("worker group", true), ("plain streams", false)] {
            let (redis, process, begun) = (redis_cpu(&url).await?, process_cpu()?, Instant::now());
            if is_group {
                through_a_group(&url, count).await?
            } else {
                through_streams(&url, count).await?
            }
            let each = |cpu: f64| cpu * 1e6 / count as f64;
            let took = begun.elapsed().as_secs_f64();
            println!(
                "{round} {name}: {:.0}/s, CPU of Redis {:.1} µs, of this process {:.1} µs per report",
                count as f64 / took,
                each(redis_cpu(&url).await? - redis),
                each(process_cpu()? - process),
            );
        }
    }
    Ok(())
}

fn report(project: &ProjectId, socket: SocketId) -> Report {
    let data = Payload::of(&"x".repeat(100)).expect("a text is JSON");
    let message = ClientMessage { op: 0, kind: Name::new("/chat").ok(), data, reply_to: None };
    let (project, action) = (project.clone(), ClientAction::Message(message));
    Report { project, socket, protocol: Some(Protocol::Emit), user: None, time_ms: 0, action }
}

async fn through_a_group(url: &str, count: usize) -> Outcome<()> {
    let project = ProjectId::new("default")?;
    let options = Options { reports: Some(ReportOptions::of(&project)), ..Options::new(url) };
    let redis = Redis::connect(options).await?;
    let node = redis.report_sink().ok_or("reports are on")?;
    let worker = Worker::connect(url, WorkerOptions::new(Name::new("cost")?)).await?;
    while !node.accepts(&project, true) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sockets: Vec<SocketId> = (0..CLIENTS).map(|_| SocketId::random()).collect();
    let mut made = 0;
    for done in 0..count {
        while made < count && made - done < IN_FLIGHT_MAX {
            node.report(report(&project, sockets[made % CLIENTS]));
            made += 1;
        }
        worker.next().await.ok_or("the worker stays")?.ack();
    }
    worker.leave().await;
    redis.leave().await;
    Ok(())
}

async fn through_streams(url: &str, count: usize) -> Outcome<()> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let _: () = connection.del("bare").await?;
    let create = pipe().cmd("XGROUP").arg(&["CREATE", "bare", "group", "0", "MKSTREAM"]).to_owned();
    let _: Value = create.query_async(&mut connection).await?;
    // The length of an encoded report.
    let bytes = "x".repeat(250);
    for begun in (0..count).step_by(512) {
        let some = 512.min(count - begun);
        let mut batch = Pipeline::new();
        for _ in 0..some {
            batch.cmd("XADD").arg(&["bare", "*", "r", &bytes]);
        }
        let ids: Vec<String> = batch.query_async(&mut connection).await?;
        let mut read = cmd("XREADGROUP");
        read.arg(&["GROUP", "group", "worker", "COUNT", "512", "STREAMS", "bare", ">"]);
        let _: Value = read.query_async(&mut connection).await?;
        let mut done = Pipeline::new();
        for id in ids {
            done.cmd("XACK").arg(&["bare", "group", &id]).cmd("XDEL").arg(&["bare", &id]);
        }
        let _: Value = done.query_async(&mut connection).await?;
    }
    Ok(())
}

async fn redis_cpu(url: &str) -> Outcome<f64> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let info: String = cmd("INFO").arg("cpu").query_async(&mut connection).await?;
    let field = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<f64>().ok());
    Ok(field("used_cpu_sys:").unwrap_or(0.0) + field("used_cpu_user:").unwrap_or(0.0))
}

/// CPU time of all threads of this process, in seconds.
fn process_cpu() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit(')').next().ok_or("no fields")?;
    let ticks =
        |place: usize| after.split_whitespace().nth(place).and_then(|field| field.parse::<f64>().ok());
    Ok((ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0)
}
