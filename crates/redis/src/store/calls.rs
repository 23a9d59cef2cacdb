//! Changes as calls of scripts, and what becomes of the answers.

use std::collections::HashMap;

use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value};
use switchboard_backplane::{SeatRequest, Seated, Store};
use switchboard_event::{ProjectId, ShardName, SocketId, Target};
use tokio::sync::oneshot;

use super::RedisStore;
use super::changes::{Change, Taken};
use super::lease::{Leases, seat_keys};
use super::seats::Seat;
use super::writer::Stop;
use crate::connection::Batch;
use crate::connection::script::{Script, call, is_wrong_type, number};
use crate::envelope;
use crate::names::{ProjectNames, name, target_text};

/// Most changes of members in one call, so that it is short.
const CALL_MAX: usize = 128;

/// Writes changes under one lease.
pub(super) struct Writing<'a> {
    store: &'a RedisStore,
    leases: &'a Leases,
    lease: &'a str,
    /// Which changes each call is for.
    spans: Vec<Vec<usize>>,
}

/// Members that enter and leave in one call.
struct Members<'a> {
    names: ProjectNames,
    script: &'a Script,
    places: Vec<usize>,
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(store: &'a RedisStore, leases: &'a Leases, lease: &'a str) -> Self {
        Writing { store, leases, lease, spans: Vec::new() }
    }

    /// The calls for all changes. Changes of one project keep their order.
    pub(super) fn batch(&mut self, taken: &Taken) -> Batch {
        self.spans.clear();
        let mut batch = Batch::default();
        let mut members: HashMap<&ProjectId, Members<'_>> = HashMap::new();
        for (place, (project, change)) in taken.changes.iter().enumerate() {
            let names = self.store.names.project(project);
            match change {
                Change::Enter(target, socket) | Change::Leave(target, socket) => {
                    let sign: &[u8] = if matches!(change, Change::Enter(..)) { b"+" } else { b"-" };
                    let some = members.entry(project).or_insert_with(|| self.members(project, names));
                    some.add(place, sign, target, *socket);
                    if some.places.len() >= CALL_MAX
                        && let Some(some) = members.remove(project)
                    {
                        self.push_members(&mut batch, some);
                    }
                }
                other => {
                    if let Some(some) = members.remove(project) {
                        self.push_members(&mut batch, some);
                    }
                    batch.push(names.base(), self.seat_call(&names, project, other));
                    self.spans.push(vec![place]);
                }
            }
        }
        for some in members.into_values() {
            self.push_members(&mut batch, some);
        }
        batch
    }

    fn members(&self, project: &ProjectId, names: ProjectNames) -> Members<'a> {
        let scripts = &self.leases.scripts;
        let script =
            if self.store.bridges.has_copies(project) { &scripts.copied_members } else { &scripts.members };
        let keys = vec![names.index(self.lease), names.users(), names.mirror(self.lease)];
        let args = vec![self.store.node.0.to_be_bytes().to_vec(), names.base().into()];
        Members { names, script, places: Vec::new(), keys, args }
    }

    fn push_members(&mut self, batch: &mut Batch, members: Members<'_>) {
        let Members { names, script, places, keys, args } = members;
        let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
        batch.push(names.base(), call(script, &keys, &args));
        self.spans.push(places);
    }

    fn seat_call(&self, names: &ProjectNames, project: &ProjectId, change: &Change) -> Cmd {
        let scripts = &self.leases.scripts;
        let keys = seat_keys(names, self.lease);
        match change {
            Change::TakeSeat(wish, _) => self.take_seat(names, project, wish),
            Change::Restore(shard, socket, capacity, number) => {
                let (capacity, number) = (capacity.to_string(), number.to_string());
                let args = [socket.as_bytes(), shard.as_bytes(), capacity.as_bytes(), number.as_bytes()];
                call(&scripts.restore_seat, &keys, &args)
            }
            Change::LeaveSeat(shard, socket) => {
                let keys = [keys, vec![names.shard(shard)]].concat();
                let [verb, channel, message] = &self.told(names, project, shard);
                call(
                    &scripts.leave_seat,
                    &keys,
                    &[socket.as_bytes(), shard.as_bytes(), verb, channel, message],
                )
            }
            Change::Describe(shard, socket, description) => {
                let [index, owners, ..] = &keys[..] else { unreachable!("there are seven") };
                let keys = [index.clone(), owners.clone(), names.shard(shard)];
                let [verb, channel, message] = &self.told(names, project, shard);
                let args = [socket.as_bytes(), shard.as_bytes(), &**description, verb, channel, message];
                call(&scripts.describe, &keys, &args)
            }
            Change::Enter(..) | Change::Leave(..) => unreachable!("members have a call of their own"),
        }
    }

    fn take_seat(&self, names: &ProjectNames, project: &ProjectId, wish: &SeatRequest) -> Cmd {
        let SeatRequest { socket, shard, capacity, overflow, project_max, .. } = wish;
        let shard = shard.as_ref().map_or("", |shard| shard);
        let most = project_max.map(|most| most.to_string()).unwrap_or_default();
        let (capacity, overflow) = (capacity.to_string(), if *overflow { "1" } else { "0" });
        let mut args: Vec<&[u8]> = vec![socket.as_bytes()];
        args.extend([shard, &capacity, overflow, &most].map(str::as_bytes));
        let (verb, channel) = (self.store.publish_verb, names.shard_channel_head());
        let message = envelope::shard_changed(self.store.node, project, "");
        if let Some(description) = self.said_on_arrival(project, wish) {
            args.extend([
                description,
                names.base().as_bytes(),
                verb.as_bytes(),
                channel.as_bytes(),
                &message,
            ]);
        }
        call(&self.leases.scripts.take_seat, &seat_keys(names, self.lease), &args)
    }

    /// What is said of a socket that is in its targets from when it sits; none if it enters them later,
    /// as in a project of which originals have copies.
    fn said_on_arrival<'w>(&self, project: &ProjectId, wish: &'w SeatRequest) -> Option<&'w Bytes> {
        wish.description.as_ref().filter(|_| !self.store.bridges.has_copies(project))
    }

    /// How other nodes are told of a change on a shard.
    fn told(&self, names: &ProjectNames, project: &ProjectId, shard: &ShardName) -> [Vec<u8>; 3] {
        let channel = names.channel(&Target::shard(shard));
        let message = envelope::shard_changed(self.store.node, project, shard);
        [self.store.publish_verb.into(), channel.into(), message]
    }

    /// Tells who waits for a seat, and returns the projects in which nothing is left. Fails if any
    /// call was refused, unless a key holds something else: that will not change, and is nobody else's trouble.
    pub(super) fn settle(&self, taken: &mut Taken, answers: Vec<Value>) -> Result<Vec<ProjectId>, Stop> {
        let answers = answers.into_iter().map(taken_or_dropped).collect::<RedisResult<Vec<_>>>()?;
        if answers.iter().flatten().any(is_lost) {
            return Err(Stop::LeaseLost);
        }
        let mut last: HashMap<ProjectId, bool> = HashMap::new();
        for (places, answer) in self.spans.iter().zip(answers) {
            let (project, change) = &mut taken.changes[places[0]];
            let Some(answer) = answer else {
                tracing::error!(%project, changes = places.len(), "a key holds something else; changes are dropped");
                continue;
            };
            if let (Change::Enter(..) | Change::Leave(..), Value::Array(parts)) = (&*change, &answer) {
                let refused = parts.get(1).and_then(number);
                tracing::error!(%project, refused, "keys of targets hold something else; changes are dropped");
            }
            // One is the mark that the lease may write.
            let is_empty = matches!(change, Change::Enter(..) | Change::Leave(..) | Change::LeaveSeat(..))
                && number(&answer) == Some(1);
            last.insert(project.clone(), is_empty);
            if let Change::TakeSeat(wish, waiting) = change
                && let Some(waiting) = waiting.take()
            {
                self.hand_out(project, wish, waiting, answer)?;
            }
        }
        Ok(last.into_iter().filter(|(_, is_empty)| *is_empty).map(|(project, _)| project).collect())
    }

    fn hand_out(
        &self,
        project: &ProjectId,
        wish: &SeatRequest,
        waiting: oneshot::Sender<Seated>,
        answer: Value,
    ) -> RedisResult<()> {
        let answer = Vec::<Value>::from_redis_value(answer)?;
        let Ok([_, shard, capacity, number]) = <[Value; 4]>::try_from(answer) else {
            // Who waited may have given up.
            let _ = waiting.send(Seated::Full);
            return Ok(());
        };
        let shard = Vec::<u8>::from_redis_value(shard)?;
        let Some(shard) = name::<ShardName>(shard) else { return Err(unexpected("the shard has no name")) };
        let description = self.said_on_arrival(project, wish).cloned();
        let ahead = description.as_ref().map(|_| vec![Target::Everyone, Target::shard(&shard)]);
        let seat = Seat {
            project: project.clone(),
            shard: shard.clone(),
            capacity: u32::from_redis_value(capacity)?,
            number: u64::from_redis_value(number)?,
            description,
            ahead: ahead.unwrap_or_default(),
        };
        self.store.held.note(wish.socket, seat);
        if waiting.send(Seated::In(shard.clone())).is_err() {
            self.store.leave_seat(project, &shard, wish.socket);
        }
        Ok(())
    }
}

fn unexpected(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, what))
}

/// None if a key holds something else.
fn taken_or_dropped(answer: Value) -> RedisResult<Option<Value>> {
    match answer.extract_error() {
        Err(error) if is_wrong_type(&error) => Ok(None),
        answer => answer.map(Some),
    }
}

fn is_lost(answer: &Value) -> bool {
    match answer {
        Value::Array(parts) => parts.first().and_then(number) == Some(-1),
        answer => number(answer) == Some(-1),
    }
}

impl Members<'_> {
    fn add(&mut self, place: usize, sign: &[u8], target: &Target, socket: SocketId) {
        self.places.push(place);
        self.keys.push(self.names.members(target));
        self.args.extend([sign.to_vec(), socket.as_bytes().to_vec(), target_text(target).into()]);
    }
}
