//! Measures the disk inbox, compared with its database alone in the same run: durable appends, and redelivery with
//! acknowledgement for many users.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use redb::{Database, ReadableDatabase, TableDefinition};
use switchboard_backplane::{Inbox, InboxLimits};
use switchboard_disk::DiskInbox;
use switchboard_event::{Event, MessageNumber, Name, Payload, ProjectId, SocketId, UserId};
use tokio::task::JoinSet;

/// Measures an inbox and its database, in turn.
#[derive(Parser)]
struct Args {
    /// Directory of the files, which are removed at the end. Default: the system's directory for temporary files.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Number of users.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Messages per user.
    #[arg(long, default_value_t = 10)]
    each: usize,
    /// Appends in flight, and entries per transaction of the plain database.
    #[arg(long, default_value_t = 512)]
    window: usize,
    /// Number of rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// The time of one phase.
struct Elapsed {
    wall: Duration,
    cpu: Duration,
}

impl Elapsed {
    fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(Elapsed, T)> {
        let (wall, cpu) = (now(), process_cpu());
        let value = work()?;
        Ok((Elapsed { wall: wall.elapsed(), cpu: process_cpu() - cpu }, value))
    }
}

#[expect(clippy::disallowed_methods, reason = "the purpose of this program is to measure time")]
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
        let floor = measure_database(&args, &directory.join(format!("database-{round}")))?;
        let inbox = runtime.block_on(measure_inbox(&args, &directory.join(format!("inbox-{round}"))))?;
        print(&args, round, "append", &inbox[0], &floor[0]);
        print(&args, round, "redeliver", &inbox[1], &floor[1]);
        Ok(())
    });
    std::fs::remove_dir_all(&directory)?;
    measured
}

fn print(args: &Args, round: usize, phase: &str, inbox: &Elapsed, floor: &Elapsed) {
    let count = (args.users * args.each) as f64;
    let us = |duration: Duration| duration.as_secs_f64() * 1e6 / count;
    println!(
        "round {round}  {phase:9}  inbox {:6.2} µs, {:6.2} µs CPU  database {:6.2} µs, {:6.2} µs CPU  ratio {:.2}, CPU {:.2}",
        us(inbox.wall),
        us(inbox.cpu),
        us(floor.wall),
        us(floor.cpu),
        inbox.wall.as_secs_f64() / floor.wall.as_secs_f64(),
        inbox.cpu.as_secs_f64() / floor.cpu.as_secs_f64(),
    );
}

const MESSAGES: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("messages");

/// The plain database: the same entries in transactions of the same size.
fn measure_database(args: &Args, path: &Path) -> Result<[Elapsed; 2]> {
    let database = Database::create(path)?;
    let users: Vec<String> = (0..args.users).map(|user| format!("user-{user}")).collect();
    let entries: Vec<(usize, u64)> =
        (0..args.each as u64).flat_map(|n| (0..args.users).map(move |user| (user, n))).collect();
    let value = [b'x'; DATA_BYTES + 20];
    let (append, ()) = Elapsed::of(|| {
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
    let (redeliver, ()) = Elapsed::of(|| {
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

/// The inbox, with as many appends in flight as the plain database has entries in a transaction.
async fn measure_inbox(args: &Args, path: &Path) -> Result<[Elapsed; 2]> {
    let inbox: Arc<dyn Inbox> = Arc::new(DiskInbox::open(path, InboxLimits::default())?);
    let (start, cpu) = (now(), process_cpu());
    append(args, &inbox).await?;
    let appended = elapsed_since(start, cpu);
    let (start, cpu) = (now(), process_cpu());
    redeliver(args, &inbox).await?;
    Ok([appended, elapsed_since(start, cpu)])
}

fn elapsed_since(start: Instant, cpu: Duration) -> Elapsed {
    Elapsed { wall: start.elapsed(), cpu: process_cpu() - cpu }
}

/// Waits until fewer than `window` operations are in flight.
async fn wait_for_room(in_flight: &mut JoinSet<Result<()>>, window: usize) -> Result<()> {
    while in_flight.len() >= window {
        in_flight.join_next().await.expect("operations are in flight")??;
    }
    Ok(())
}

async fn append(args: &Args, inbox: &Arc<dyn Inbox>) -> Result<()> {
    let project = ProjectId::new("default")?;
    let data = Payload::of(&"x".repeat(DATA_BYTES - 2))?;
    let event = Arc::new(Event { name: Name::new("N")?, data, sender: None, time_ms: 0, trace: None });
    let mut in_flight = JoinSet::new();
    for n in 0..args.users * args.each {
        wait_for_room(&mut in_flight, args.window).await?;
        let (inbox, project, event) = (inbox.clone(), project.clone(), event.clone());
        let user = UserId::new(&format!("user-{}", n % args.users))?;
        in_flight.spawn(async move {
            let stored = inbox.put(&project, &[user], &event).await?;
            anyhow::ensure!(stored.inboxes == 1, "a message was not stored");
            Ok(())
        });
    }
    wait_for_room(&mut in_flight, 1).await
}

async fn redeliver(args: &Args, inbox: &Arc<dyn Inbox>) -> Result<()> {
    let project = ProjectId::new("default")?;
    let mut in_flight = JoinSet::new();
    for user in 0..args.users {
        wait_for_room(&mut in_flight, args.window).await?;
        let (inbox, project, each) = (inbox.clone(), project.clone(), args.each);
        let user = UserId::new(&format!("user-{user}"))?;
        in_flight.spawn(async move {
            let messages = inbox.open(&project, &user, SocketId::random(), None, 100).await?.messages;
            anyhow::ensure!(messages.len() == each, "{} of {each} messages returned", messages.len());
            let numbers: Vec<MessageNumber> = messages.iter().map(|message| message.number).collect();
            inbox.acknowledge(&project, &user, numbers);
            Ok(())
        });
    }
    wait_for_room(&mut in_flight, 1).await?;
    inbox.settled().await;
    Ok(())
}
