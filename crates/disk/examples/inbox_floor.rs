//! What keeping messages for users costs, next to the bare store in the same run: appends that are
//! durable, and handing out and forgetting what waits for many users.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use redb::{Database, ReadableDatabase, TableDefinition};
use switchboard_backplane::{Inbox, InboxLimits};
use switchboard_disk::DiskInbox;
use switchboard_event::{Event, MessageNumber, Name, Payload, SocketId};
use tokio::task::JoinSet;

/// Measures an inbox and the store under it, in turns.
#[derive(Parser)]
struct Args {
    /// Where the files are; they are removed at the end. Default: the system's place for such files.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Users.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Messages for each.
    #[arg(long, default_value_t = 10)]
    each: usize,
    /// Appends under way at the same time, which is also how many the bare store commits at once.
    #[arg(long, default_value_t = 512)]
    window: usize,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// What one part took.
struct Took {
    wall: Duration,
    cpu: Duration,
}

impl Took {
    fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(Took, T)> {
        let (wall, cpu) = (now(), process_cpu());
        let value = work()?;
        Ok((Took { wall: wall.elapsed(), cpu: process_cpu() - cpu }, value))
    }
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what this is for")]
fn now() -> Instant {
    Instant::now()
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

const DATA_BYTES: usize = 256;

fn main() -> Result<()> {
    let args = Args::parse();
    let directory = args.directory.clone().unwrap_or_else(std::env::temp_dir);
    let directory = directory.join(format!("switchboard-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = (1..=args.rounds).try_for_each(|round| {
        let floor = bare(&args, &directory.join(format!("bare-{round}")))?;
        let ours = runtime.block_on(kept(&args, &directory.join(format!("ours-{round}"))))?;
        say(&args, round, "append", &ours[0], &floor[0]);
        say(&args, round, "redeliver", &ours[1], &floor[1]);
        Ok(())
    });
    std::fs::remove_dir_all(&directory)?;
    measured
}

fn say(args: &Args, round: usize, what: &str, ours: &Took, floor: &Took) {
    let count = (args.users * args.each) as f64;
    let us = |took: Duration| took.as_secs_f64() * 1e6 / count;
    println!(
        "round {round}  {what:9}  inbox {:6.2} µs, {:6.2} µs CPU  bare {:6.2} µs, {:6.2} µs CPU  ratio {:.2}, CPU {:.2}",
        us(ours.wall),
        us(ours.cpu),
        us(floor.wall),
        us(floor.cpu),
        ours.wall.as_secs_f64() / floor.wall.as_secs_f64(),
        ours.cpu.as_secs_f64() / floor.cpu.as_secs_f64(),
    );
}

const MESSAGES: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("messages");

/// The bare store: the same entries in batches of the same size.
fn bare(args: &Args, path: &Path) -> Result<[Took; 2]> {
    let database = Database::create(path)?;
    let users: Vec<String> = (0..args.users).map(|user| format!("user-{user}")).collect();
    let entries: Vec<(usize, u64)> =
        (0..args.each as u64).flat_map(|n| (0..args.users).map(move |user| (user, n))).collect();
    let value = [b'x'; DATA_BYTES + 20];
    let (append, ()) = Took::of(|| {
        for batch in entries.chunks(args.window) {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(MESSAGES)?;
                for (user, n) in batch {
                    table.insert(("default", &*users[*user], *n), &value[..])?;
                }
            }
            transaction.commit()?;
        }
        Ok(())
    })?;
    let (redeliver, ()) = Took::of(|| {
        for batch in users.chunks(args.window) {
            for user in batch {
                let table = database.begin_read()?.open_table(MESSAGES)?;
                for entry in table.range(("default", &**user, 0)..=("default", &**user, u64::MAX))? {
                    std::hint::black_box(entry?.1.value().to_vec());
                }
            }
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(MESSAGES)?;
                for user in batch {
                    for n in 0..args.each as u64 {
                        table.remove(("default", &**user, n))?;
                    }
                }
            }
            transaction.commit()?;
        }
        Ok(())
    })?;
    Ok([append, redeliver])
}

/// The inbox, with as many appends under way as the bare store commits at once.
async fn kept(args: &Args, path: &Path) -> Result<[Took; 2]> {
    let inbox: Arc<dyn Inbox> = Arc::new(DiskInbox::open(path, InboxLimits::default())?);
    let (start, cpu) = (now(), process_cpu());
    append(args, &inbox).await?;
    let appended = took_since(start, cpu);
    let (start, cpu) = (now(), process_cpu());
    redeliver(args, &inbox).await?;
    Ok([appended, took_since(start, cpu)])
}

fn took_since(start: Instant, cpu: Duration) -> Took {
    Took { wall: start.elapsed(), cpu: process_cpu() - cpu }
}

/// Waits until less than a window is under way.
async fn room(under_way: &mut JoinSet<Result<()>>, window: usize) -> Result<()> {
    while under_way.len() >= window {
        under_way.join_next().await.expect("some are under way")??;
    }
    Ok(())
}

async fn append(args: &Args, inbox: &Arc<dyn Inbox>) -> Result<()> {
    let project = Name::new("default")?;
    let data = Payload::of(&"x".repeat(DATA_BYTES - 2))?;
    let event = Arc::new(Event { name: Name::new("N")?, data, sender: None, time_ms: 0 });
    let mut under_way = JoinSet::new();
    for n in 0..args.users * args.each {
        room(&mut under_way, args.window).await?;
        let (inbox, project, event) = (inbox.clone(), project.clone(), event.clone());
        let user = Name::new(&format!("user-{}", n % args.users))?;
        under_way.spawn(async move {
            let kept = inbox.put(&project, &[user], &event).await?;
            anyhow::ensure!(kept.inboxes == 1, "a message was not kept");
            Ok(())
        });
    }
    room(&mut under_way, 1).await
}

async fn redeliver(args: &Args, inbox: &Arc<dyn Inbox>) -> Result<()> {
    let project = Name::new("default")?;
    let mut under_way = JoinSet::new();
    for user in 0..args.users {
        room(&mut under_way, args.window).await?;
        let (inbox, project, each) = (inbox.clone(), project.clone(), args.each);
        let user = Name::new(&format!("user-{user}"))?;
        under_way.spawn(async move {
            let waiting = inbox.open(&project, &user, SocketId::random(), None, 100).await?.messages;
            anyhow::ensure!(waiting.len() == each, "{} of {each} wait", waiting.len());
            let numbers: Vec<MessageNumber> = waiting.iter().map(|waiting| waiting.number).collect();
            inbox.acknowledge(&project, &user, numbers);
            Ok(())
        });
    }
    room(&mut under_way, 1).await?;
    inbox.settled().await;
    Ok(())
}
