//! Webhooks: reports of client actions, sent to backends at least once and in the order of each client.
//!
//! With Redis, reports are in streams, and the senders of all nodes are the workers of one group per endpoint and
//! project. Without Redis, each endpoint has a queue in the memory of its node and, if the settings name a file, a copy of it
//! there. An endpoint has four concurrent senders; two of them never hold reports of the same client.

pub(crate) mod batch;
mod breaker;
pub(crate) mod endpoint;
pub(crate) mod event_kind;
mod filter;
mod journal;
mod local_queue;
mod occupancy;
pub(crate) mod options;
mod queues;
mod report_json;
mod retry;
mod sink;
mod source;
pub(crate) mod test_call;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, SystemTime};

use metrics::gauge;
use switchboard_backplane::{ClientAction, Report, ReportSink};
use switchboard_event::{Name, NodeId, ProjectId, SocketId, unix_ms};
use switchboard_log::{limited, printable, printable_error};
use switchboard_redis::{Options as RedisOptions, Redis, webhook_prefix};
use switchboard_worker::{Worker, WorkerOptions};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::webhooks::endpoint::{Endpoint, EndpointStatus};
use crate::webhooks::journal::Journal;
use crate::webhooks::local_queue::{LANES, LocalQueue};
use crate::webhooks::occupancy::{Occupancy, OccupancySink};
use crate::webhooks::options::{EndpointOptions, WebhookError, WebhookOptions};
use crate::webhooks::queues::Queues;
use crate::webhooks::sink::{LocalSink, RedisSink};
use crate::webhooks::source::Source;

/// How long a stop waits until the endpoints have accepted what is queued in memory.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for calls in progress if their reports are in Redis.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval of the gauges.
const METER_INTERVAL: Duration = Duration::from_secs(1);

/// Pause before another attempt to reach Redis at the start.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The webhooks of one node. Its tasks end when it is dropped.
pub struct Webhooks {
    senders: Vec<Arc<EndpointSenders>>,
    tasks: Mutex<JoinSet<()>>,
    vacated_after: Duration,
    occupancy: OnceLock<Arc<Occupancy>>,
    /// The sink for the reports of this node.
    reports: OnceLock<Arc<dyn ReportSink>>,
    journal: Option<Arc<Journal>>,
}

/// One endpoint with the sources of its reports.
struct EndpointSenders {
    endpoint: Arc<Endpoint>,
    /// The queue in memory, without Redis.
    queue: Option<Arc<LocalQueue>>,
    workers: Mutex<Vec<Worker>>,
    /// For each sender, number and oldest time of the reports that it holds.
    held: Mutex<Vec<Option<(usize, u64)>>>,
    body_bytes_max: usize,
}

impl Webhooks {
    /// Starts the webhooks of a node without Redis. Waits for the disk if there is a file.
    pub fn start(options: &WebhookOptions) -> Result<Self, WebhookError> {
        let mut queues = Queues::open(options)?;
        let mut webhooks = Webhooks::new(options, |endpoint| Some(Arc::new(queues.queue(endpoint))))?;
        webhooks.journal = queues.into_journal();
        if let Some(journal) = &webhooks.journal {
            webhooks.tasks().spawn(journal.clone().run());
        }
        for senders in &webhooks.senders {
            let Some(queue) = &senders.queue else { continue };
            for lane in 0..LANES {
                let source = Source::Local { queue: queue.clone(), lane };
                webhooks.tasks().spawn(senders.clone().send_all(source));
            }
        }
        Ok(webhooks)
    }

    /// Starts the webhooks of a node with Redis. Only the connection options and the prefix of `redis` are used.
    ///
    /// When this returns, Redis keeps reports for the endpoints, unless it cannot be reached and is not
    /// [required](RedisOptions::required).
    pub async fn start_with_redis(
        options: &WebhookOptions,
        redis: &RedisOptions,
    ) -> Result<Self, WebhookError> {
        let webhooks = Webhooks::new(options, |_| None)?;
        let redis = RedisOptions { prefix: webhook_prefix(&redis.prefix), ..redis.clone() };
        for senders in &webhooks.senders {
            let group = Name::new(&senders.endpoint.name)?;
            for project in &senders.endpoint.filter.projects {
                let worker = WorkerOptions {
                    project: project.clone(),
                    name: "webhooks".into(),
                    leave_timeout: LEAVE_TIMEOUT,
                    group_retention: options.age_max,
                    ..WorkerOptions::new(group.clone())
                };
                match Worker::connect_with(&redis, worker.clone()).await {
                    Ok(worker) => webhooks.add_worker(senders, worker),
                    Err(error) if redis.required => return Err(error.into()),
                    Err(_) => {
                        let work = senders.clone().connect_and_send(redis.clone(), worker);
                        webhooks.tasks().spawn(work);
                    }
                }
            }
        }
        Ok(webhooks)
    }

    fn new(
        options: &WebhookOptions,
        mut queue: impl FnMut(&str) -> Option<Arc<LocalQueue>>,
    ) -> Result<Self, WebhookError> {
        let senders = |endpoint: &EndpointOptions| {
            Ok(Arc::new(EndpointSenders {
                endpoint: Arc::new(Endpoint::new(endpoint, options)?),
                queue: queue(&endpoint.name),
                workers: Mutex::default(),
                held: Mutex::default(),
                body_bytes_max: options.body_bytes_max,
            }))
        };
        let senders = options.endpoints.iter().map(senders).collect::<Result<Vec<_>, WebhookError>>()?;
        let mut tasks = JoinSet::new();
        senders.iter().for_each(|senders| drop(tasks.spawn(senders.clone().run_meters())));
        let (tasks, vacated_after) = (Mutex::new(tasks), options.vacated_after);
        Ok(Webhooks {
            senders,
            tasks,
            vacated_after,
            occupancy: OnceLock::new(),
            reports: OnceLock::new(),
            journal: None,
        })
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().expect("no code that holds the tasks panics")
    }

    fn add_worker(&self, senders: &Arc<EndpointSenders>, worker: Worker) {
        senders.workers().push(worker.clone());
        for _ in 0..LANES {
            self.tasks().spawn(senders.clone().send_all(Source::Redis(worker.clone())));
        }
    }

    /// The sink for the reports of this node. Call it once.
    pub fn sink(&self, redis: Option<&Redis>) -> Arc<dyn ReportSink> {
        let endpoints = || self.senders.iter().map(|senders| senders.endpoint.clone());
        let reports: Arc<dyn ReportSink> = match redis.and_then(Redis::webhook_sink) {
            Some(streams) => Arc::new(RedisSink { streams, endpoints: endpoints().collect() }),
            None => {
                let queues = self.senders.iter().filter_map(|senders| senders.queue.clone());
                Arc::new(LocalSink::new(endpoints().zip(queues).collect()))
            }
        };
        let _ = self.reports.set(reports.clone());
        let rooms = redis.map(Redis::occupancy);
        let occupancy = Occupancy::new(endpoints().collect(), self.vacated_after, rooms, reports.clone());
        let sink = match occupancy {
            Some(occupancy) => {
                self.tasks().spawn(occupancy.clone().run());
                let _ = self.occupancy.set(occupancy.clone());
                Arc::new(OccupancySink { occupancy }) as Arc<dyn ReportSink>
            }
            None => reports,
        };
        if let Some(redis) = redis {
            redis.report_swept_clients(sink.clone());
        }
        sink
    }

    /// Reports the rooms that have become empty, before a stop. Call it when the node has no sockets any more, and before
    /// it leaves Redis.
    pub async fn report_empty_rooms(&self) {
        if let Some(occupancy) = self.occupancy.get() {
            let _ = timeout(LEAVE_TIMEOUT, occupancy.finish()).await;
        }
    }

    /// Reports to each project that this node has no clients any more. Before a stop, call it after [`report_empty_rooms`](
    /// Self::report_empty_rooms).
    pub fn report_drained(&self, node: NodeId) {
        let Some(reports) = self.reports.get() else { return };
        let filters = self.senders.iter().map(|senders| &senders.endpoint.filter);
        let projects: BTreeSet<&ProjectId> = filters.flat_map(|filter| &filter.projects).collect();
        let mut id = [0; 16];
        id[..4].copy_from_slice(&node.0.to_be_bytes());
        for project in projects {
            reports.report(Report {
                project: project.clone(),
                socket: SocketId::from_bytes(id),
                protocol: None,
                user: None,
                time_ms: unix_ms(SystemTime::now()),
                action: ClientAction::Drained,
            });
        }
    }

    /// The status of each endpoint, as this node knows it.
    pub fn status(&self) -> Vec<EndpointStatus> {
        self.senders.iter().map(|senders| senders.status()).collect()
    }

    /// Lets this node repeat the failed calls of an endpoint now, also if it has answered 410. Returns false if no
    /// endpoint has that name.
    pub fn replay(&self, endpoint: &str) -> bool {
        let found = self.senders.iter().find(|senders| senders.endpoint.name == endpoint);
        found.inspect(|senders| senders.endpoint.replay()).is_some()
    }

    /// Sends what is queued in memory, for at most 5 s; what is left is lost. With a file or with Redis, waits for the
    /// calls in progress for at most 2 s; this node after its next start, or other nodes, send the rest.
    pub async fn stop(&self) {
        let mut stops = JoinSet::new();
        self.senders.iter().for_each(|senders| drop(stops.spawn(senders.clone().stop())));
        while stops.join_next().await.is_some() {}
        if let Some(journal) = &self.journal
            && timeout(LEAVE_TIMEOUT, journal.settled()).await.is_err()
        {
            limited!(WARN, "webhook file cannot be written; new reports are lost");
        }
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
    }
}

impl EndpointSenders {
    fn workers(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.workers.lock().expect("no code that holds the workers panics")
    }

    fn held(&self) -> MutexGuard<'_, Vec<Option<(usize, u64)>>> {
        self.held.lock().expect("no code that holds the numbers panics")
    }

    /// Connects to Redis as soon as that is possible, and sends.
    async fn connect_and_send(self: Arc<Self>, redis: RedisOptions, options: WorkerOptions) {
        let worker = loop {
            match Worker::connect_with(&redis, options.clone()).await {
                Ok(worker) => break worker,
                Err(error) => {
                    limited!(DEBUG, error = printable_error(&error), "webhooks cannot reach Redis yet");
                    sleep(CONNECT_PAUSE).await;
                }
            }
        };
        self.workers().push(worker.clone());
        let mut senders = JoinSet::new();
        for _ in 0..LANES {
            senders.spawn(self.clone().send_all(Source::Redis(worker.clone())));
        }
        while senders.join_next().await.is_some() {}
    }

    /// One sender: sends batches until the node stops.
    async fn send_all(self: Arc<Self>, source: Source) {
        let sender = self.new_sender();
        while let Some(mut batch) = source.next(&self.endpoint.filter, self.body_bytes_max).await {
            self.held()[sender] = batch.reports.first().map(|first| (batch.reports.len(), first.time_ms));
            self.endpoint.deliver(&mut batch).await;
            self.held()[sender] = None;
            source.complete(batch);
        }
    }

    fn new_sender(&self) -> usize {
        let mut held = self.held();
        held.push(None);
        held.len() - 1
    }

    /// Number of reports that this node holds, and the time of the oldest.
    fn backlog(&self) -> (usize, Option<u64>) {
        if let Some(queue) = &self.queue {
            return (queue.len(), queue.oldest_ms());
        }
        let held = self.held();
        let held = held.iter().flatten();
        (held.clone().map(|(count, _)| count).sum(), held.map(|(_, oldest)| *oldest).min())
    }

    fn status(&self) -> EndpointStatus {
        let (backlog, oldest) = self.backlog();
        let age_ms = oldest.map_or(0, |oldest| unix_ms(SystemTime::now()).saturating_sub(oldest));
        self.endpoint.status(backlog, age_ms)
    }

    async fn run_meters(self: Arc<Self>) {
        let name = || self.endpoint.name.clone();
        let backlog = gauge!("switchboard_webhook_backlog_reports", "endpoint" => name());
        let age = gauge!("switchboard_webhook_backlog_age_seconds", "endpoint" => name());
        let mut ticks = interval(METER_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = self.status();
            backlog.set(status.backlog as f64);
            age.set(status.oldest_ms as f64 / 1000.0);
        }
    }

    async fn stop(self: Arc<Self>) {
        if let Some(queue) = &self.queue {
            let longest = if queue.has_file() { LEAVE_TIMEOUT } else { STOP_TIMEOUT };
            let _ = timeout(longest, async {
                tokio::select! {
                    () = queue.wait_until_empty() => {}
                    () = self.endpoint.wait_until_stopped() => {}
                }
            })
            .await;
            if queue.len() > 0 && !queue.has_file() {
                limited!(
                    WARN,
                    endpoint = printable(&self.endpoint.name),
                    reports = queue.len(),
                    "webhook endpoint has not accepted all reports; they are lost"
                );
            }
        }
        self.leave().await;
    }

    /// Hands the reports in Redis to other nodes.
    async fn leave(&self) {
        let workers = std::mem::take(&mut *self.workers());
        for worker in workers {
            worker.leave().await;
        }
    }
}
