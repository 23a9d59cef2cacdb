//! A worker that prints each report as a line of JSON and replies to requests with the number of lines so far:
//! `cargo run --example journal -- redis://127.0.0.1:6379 GROUP [NAME [LEASE_MS]]`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use switchboard_worker::{Job, Worker, WorkerOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("the address of Redis is missing")?;
    let group = args.next().ok_or("the group is missing")?;
    let mut options = WorkerOptions::new(group.as_str().try_into()?);
    if let Some(name) = args.next() {
        options.name = name;
    }
    if let Some(ms) = args.next() {
        options.lease = Duration::from_millis(ms.parse()?);
    }
    let worker = Worker::connect(&url, options).await?;
    println!("{}", json!({ "id": worker.id() }));
    let lines = Arc::new(AtomicU64::new(0));
    let write = async |job: Job, lines: Arc<AtomicU64>| {
        let data: serde_json::Value = job.data().unwrap_or_default();
        let (socket, redelivered) = (job.report().socket, job.redelivered());
        println!(
            "{}",
            json!({ "socket": socket, "name": job.name(), "data": data, "redelivered": redelivered })
        );
        // Fails if the client requested no reply.
        let _ = job.reply(&(lines.fetch_add(1, Ordering::Relaxed) + 1));
    };
    worker.run(move |job| write(job, lines.clone())).await;
    Ok(())
}
