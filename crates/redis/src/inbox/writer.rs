//! The task of the inboxes: it holds the connection, writes receipts in their order, and now and then
//! takes out what has waited for too long and says how much may.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use redis::{FromRedisValue, RedisError, RedisResult, cmd};
use switchboard_event::{ProjectId, UserId};

use super::RedisInbox;
use super::receipts::Taken;
use crate::connection::backoff::Backoff;
use crate::connection::script::{self, is_unknown, number};
use crate::connection::{Link, Source, ignore};
use crate::options::ANSWER_WITHIN;

/// Most receipts in one pipeline.
const BATCH_MAX: usize = 1024;

/// Most messages that one call takes out, so that it is short.
const EXPIRE_MAX: usize = 512;

/// How often what has waited for too long is looked for; more often if nothing may wait for so long.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

struct Keeper {
    inbox: Arc<RedisInbox>,
    /// Receipts that were sent, perhaps, and not answered.
    unsure: Taken,
    confirmed: Counter,
    up: Gauge,
}

/// Keeps a connection and writes, as long as somebody polls.
pub(super) async fn keep(inbox: Arc<RedisInbox>, source: Arc<Source>) {
    let (confirmed, up) =
        (counter!("switchboard_inbox_acknowledged_total"), gauge!("switchboard_redis_up", "part" => "inbox"));
    let mut keeper = Keeper { inbox, unsure: Taken::default(), confirmed, up };
    let mut backoff = Backoff::default();
    loop {
        let error = match source.connect(ignore()).await {
            Ok(connected) => tokio::select! {
                error = keeper.work(&source, connected.link.clone(), &mut backoff) => error,
                error = connected.cut() => error,
            },
            Err(error) => error,
        };
        if keeper.inbox.state.borrow().link.is_some() {
            tracing::warn!(%error, "Redis is away; nothing is kept for users");
        } else {
            tracing::debug!(%error, "no connection to Redis for what waits for users");
        }
        keeper.up.set(0.0);
        keeper.inbox.state.send_modify(|state| state.link = None);
        backoff.pause().await;
    }
}

impl Keeper {
    /// Works through one connection until it fails.
    async fn work(&mut self, source: &Source, mut link: Link, backoff: &mut Backoff) -> RedisError {
        if let Err(error) = self.inbox.scripts.load(&mut link).await {
            return error;
        }
        self.inbox.said.say(&mut link, &self.inbox.scripts).await;
        *backoff = Backoff::default();
        self.inbox.putting.begin_anew();
        self.inbox.openings.begin_anew();
        self.up.set(1.0);
        self.inbox.state.send_modify(|state| state.link = Some(link.clone()));
        source.came_back();
        let (inbox, other) = (self.inbox.clone(), link.clone());
        tokio::select! {
            never = inbox.putting.run(&other) => match never {},
            never = inbox.openings.run(&other) => match never {},
            error = self.write_all(link) => error,
            never = tend_all(&inbox, other.clone()) => match never {},
        }
    }

    async fn write_all(&mut self, mut link: Link) -> RedisError {
        loop {
            let inbox = self.inbox.clone();
            if self.unsure.receipts.is_empty() {
                self.unsure = inbox.receipts.take(BATCH_MAX);
            }
            if self.unsure.receipts.is_empty() {
                if tokio::time::timeout(ANSWER_WITHIN, inbox.receipts.filled()).await.is_err()
                    && let Err(error) = link.ping().await
                {
                    return error;
                }
                continue;
            }
            if let Err(error) = self.write_unsure(&mut link).await {
                return error;
            }
            self.unsure.receipts.clear();
            inbox.state.send_modify(|state| state.written = self.unsure.count);
        }
    }

    async fn write_unsure(&mut self, link: &mut Link) -> RedisResult<()> {
        let RedisInbox { names, scripts, .. } = &*self.inbox;
        let mut answers = link.run(self.unsure.batch(names, scripts)).await?;
        if answers.iter().any(is_unknown) {
            scripts.load(link).await?;
            answers = link.run(self.unsure.batch(names, scripts)).await?;
        }
        for answer in answers {
            match answer.extract_error().and_then(|answer| Ok(<(u64, u64)>::from_redis_value(answer)?)) {
                Ok((confirmed, failed)) => {
                    self.confirmed.increment(confirmed);
                    if failed > 0 {
                        tracing::error!(failed, "keys of inboxes hold something else; receipts are lost");
                    }
                }
                Err(error) => tracing::error!(%error, "Redis refuses receipts; their messages wait on"),
            }
        }
        Ok(())
    }
}

/// Has one of all nodes take out what has waited for too long, again and again, and says how much may wait. What
/// fails is for the next turn: whether the connection still works others find out.
async fn tend_all(inbox: &RedisInbox, mut link: Link) -> Infallible {
    let age_max = Duration::from_millis(inbox.limits.age_max_ms);
    let every = EXPIRE_EVERY.min(age_max / 2).max(Duration::from_millis(100));
    loop {
        if let Err(error) = expire_in_turn(inbox, &mut link, every).await {
            tracing::warn!(%error, "what has waited for too long cannot be looked for");
        }
        tokio::time::sleep(every).await;
        inbox.said.say(&mut link, &inbox.scripts).await;
    }
}

async fn expire_in_turn(inbox: &RedisInbox, link: &mut Link, every: Duration) -> RedisResult<()> {
    let (turn, ms) = (inbox.names.inboxes_turn(), every.as_millis().to_string());
    let begins = script::run(link, &inbox.scripts.turn, &[turn], &[ms.as_bytes()]).await?;
    if number(&begins) != Some(1) {
        return Ok(());
    }
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = cmd("SSCAN");
        scan.arg(inbox.names.inboxes()).arg(&cursor).arg("COUNT").arg(100);
        let projects: Vec<Vec<u8>>;
        (cursor, projects) = link.ask(&scan).await?;
        for project in projects {
            let project = std::str::from_utf8(&project).ok().and_then(|text| ProjectId::new(text).ok());
            if let Some(project) = project {
                expire_in(inbox, link, &project).await;
            }
        }
        if cursor == "0" {
            return Ok(());
        }
    }
}

async fn expire_in(inbox: &RedisInbox, link: &mut Link, project: &ProjectId) {
    loop {
        match inbox.expire(link, project, None).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                return tracing::error!(%project, %error, "what has waited for too long cannot be taken out");
            }
        }
    }
}

impl RedisInbox {
    /// Takes out some of what has waited for too long, of one user or of all. Returns whether there may be more.
    pub(super) async fn expire(
        &self,
        link: &mut Link,
        project: &ProjectId,
        user: Option<&UserId>,
    ) -> RedisResult<bool> {
        let (age, most) = (self.limits.age_max_ms.to_string(), EXPIRE_MAX.to_string());
        let names = self.names.project(project);
        let mut args = vec![names.base().as_bytes(), age.as_bytes(), most.as_bytes()];
        args.extend(user.map(|user| user.as_bytes()));
        let answer = script::run(link, &self.scripts.expire, &names.inbox(), &args).await?;
        let (expired, more) = <(u64, u64)>::from_redis_value(answer)?;
        self.expired.increment(expired);
        Ok(more > 0)
    }
}
