//! Latency from publisher to subscriber through Redis alone.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::now;
use crate::options::Options;
use crate::report::{Latency, Report, histogram};

pub(crate) async fn run(options: &Options) -> Result<Report> {
    let redis = options.redis.context("this scenario needs --redis")?;
    let (mut publisher, mut subscriber) = (connect(redis).await?, connect(redis).await?);
    let mut received = [0; 4096];
    subscriber.write_all(b"SUBSCRIBE bench\r\n").await?;
    ensure!(subscriber.read(&mut received).await? > 0, "Redis has closed");
    let message = format!("PUBLISH bench {}\r\n", "x".repeat(options.bytes));
    let rate = options.rate.unwrap_or(200.0);
    let mut ticks = interval(std::time::Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (since, mut latency) = (now(), histogram()?);
    for _ in 0..(options.seconds * rate) as u64 {
        ticks.tick().await;
        let sent = now();
        publisher.write_all(message.as_bytes()).await?;
        ensure!(subscriber.read(&mut received).await? > 0, "Redis has closed");
        latency.saturating_record(sent.elapsed().as_micros() as u64);
        ensure!(publisher.read(&mut received).await? > 0, "Redis has closed");
    }
    let (count, seconds) = (latency.len(), since.elapsed().as_secs_f64());
    Ok(Report { count, seconds, latency_us: Some(Latency::of(&latency)), ..Report::default() })
}

async fn connect(redis: std::net::SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(redis).await.context("Redis does not answer")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
