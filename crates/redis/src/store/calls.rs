//! A batch of changes as script calls, and their replies.

use std::collections::HashMap;

use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value};
use switchboard_backplane::{SeatRequest, Seated};
use switchboard_event::{ProjectId, ShardName, SocketId, Target};
use switchboard_log::{limited, printable};
use tokio::sync::oneshot;

use super::changes::{Change, ChangeBatch};
use super::lease::{WriteError, seat_keys};
use super::scripts::StoreScripts;
use super::seats::Seat;
use super::shared::StoreShared;
use crate::connection::Batch;
use crate::connection::script::{Script, integer, is_wrong_type};
use crate::envelope;
use crate::names::{ProjectNames, name, target_text};

/// Maximum number of changes of membership in one call. It bounds how long a call blocks Redis.
const CALL_MAX: usize = 128;

/// The script calls for a batch of changes under one lease.
pub(super) struct Calls<'a> {
    shared: &'a StoreShared,
    lease: &'a str,
    /// The indexes of the changes that each call writes.
    changes_of_call: Vec<Vec<usize>>,
}

/// Membership changes of one project in one call.
struct MembersCall<'a> {
    names: ProjectNames,
    script: &'a Script,
    indexes: Vec<usize>,
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(shared: &'a StoreShared, lease: &'a str) -> Self {
        Calls { shared, lease, changes_of_call: Vec::new() }
    }

    fn scripts(&self) -> &'a StoreScripts {
        &self.shared.leases.scripts
    }

    /// The calls for all changes. Changes of one project keep their order.
    pub(super) fn batch(&mut self, changes: &ChangeBatch) -> Batch {
        self.changes_of_call.clear();
        let mut batch = Batch::default();
        let mut members: HashMap<&ProjectId, MembersCall<'_>> = HashMap::new();
        for (index, (project, change)) in changes.changes.iter().enumerate() {
            let names = self.shared.context.names.project(project);
            match change {
                Change::Enter(..) | Change::Leave(..) | Change::Record(..) => {
                    let call = members.entry(project).or_insert_with(|| self.members_call(project, names));
                    self.add_to(call, index, change);
                    if call.indexes.len() >= CALL_MAX
                        && let Some(call) = members.remove(project)
                    {
                        self.push_members(&mut batch, call);
                    }
                }
                other => {
                    if let Some(call) = members.remove(project) {
                        self.push_members(&mut batch, call);
                    }
                    if let Some(call) = self.seat_call(&names, project, other) {
                        batch.push(names.base(), call);
                        self.changes_of_call.push(vec![index]);
                    }
                }
            }
        }
        for call in members.into_values() {
            self.push_members(&mut batch, call);
        }
        batch
    }

    /// Adds a change of membership, or a record, which is read now. Adds nothing if the session has ended.
    fn add_to(&self, call: &mut MembersCall<'_>, index: usize, change: &Change) {
        match change {
            Change::Enter(target, socket) => call.add(index, b"+", target, *socket),
            Change::Leave(target, socket) => call.add(index, b"-", target, *socket),
            Change::Record(socket) => {
                if let Some(record) = self.shared.record(*socket) {
                    let key = call.names.sessions(self.lease);
                    call.push(index, key, [b"=".to_vec(), socket.as_bytes().to_vec(), record.to_vec()]);
                }
            }
            _ => unreachable!("all other changes have calls of their own"),
        }
    }

    fn members_call(&self, project: &ProjectId, names: ProjectNames) -> MembersCall<'a> {
        let scripts = self.scripts();
        let has_copies = self.shared.has_copies(project);
        let script = if has_copies { &scripts.members_with_copies } else { &scripts.members };
        let mut keys = vec![names.index(self.lease), names.users(), names.rooms(), names.mirror(self.lease)];
        keys.extend(names.kept().into_iter().chain([names.sessions(self.lease)]));
        let args = vec![self.shared.context.node.0.to_be_bytes().to_vec(), names.base().into()];
        MembersCall { names, script, indexes: Vec::new(), keys, args }
    }

    fn push_members(&mut self, batch: &mut Batch, call: MembersCall<'_>) {
        if call.indexes.is_empty() {
            return;
        }
        let MembersCall { names, script, indexes, keys, args } = call;
        let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
        batch.push(names.base(), script.call(&keys, &args));
        self.changes_of_call.push(indexes);
    }

    /// `None` if there is nothing to write: the socket has left its seat meanwhile.
    fn seat_call(&self, names: &ProjectNames, project: &ProjectId, change: &Change) -> Option<Cmd> {
        let scripts = self.scripts();
        let keys = seat_keys(names, self.lease);
        let call = match change {
            Change::TakeSeat(request, _) => self.take_seat_call(names, project, request),
            Change::Restore(shard, socket, capacity, number) => {
                let (capacity, number) = (capacity.to_string(), number.to_string());
                let args = [socket.as_bytes(), shard.as_bytes(), capacity.as_bytes(), number.as_bytes()];
                scripts.restore_seat.call(&keys, &args)
            }
            Change::LeaveSeat(shard, socket) => {
                let keys = [keys, vec![names.shard(shard)]].concat();
                let [verb, channel, message] = &self.shard_changed(names, project, shard);
                let args = [socket.as_bytes(), shard.as_bytes(), verb, channel, message];
                scripts.leave_seat.call(&keys, &args)
            }
            Change::Describe(shard, socket) => {
                let description = self.shared.seats.description(*socket)?;
                let [index, owners, ..] = &keys[..] else { unreachable!("seat_keys returns seven keys") };
                let keys = [index.clone(), owners.clone(), names.shard(shard)];
                let [verb, channel, message] = &self.shard_changed(names, project, shard);
                let args = [socket.as_bytes(), shard.as_bytes(), &*description, verb, channel, message];
                scripts.describe.call(&keys, &args)
            }
            Change::ForgetSession(socket) => self.shared.leases.forget_kept(self.lease, project, *socket),
            Change::Enter(..) | Change::Leave(..) | Change::Record(..) => {
                unreachable!("changes of membership are batched by members_call")
            }
        };
        Some(call)
    }

    fn take_seat_call(&self, names: &ProjectNames, project: &ProjectId, request: &SeatRequest) -> Cmd {
        let SeatRequest { socket, shard, capacity, overflow, project_max, .. } = request;
        let shard = shard.as_ref().map_or("", |shard| shard);
        let project_max = project_max.map(|max| max.to_string()).unwrap_or_default();
        let (capacity, overflow) = (capacity.to_string(), if *overflow { "1" } else { "0" });
        let mut args: Vec<&[u8]> = vec![socket.as_bytes()];
        args.extend([shard, &capacity, overflow, &project_max].map(str::as_bytes));
        let (verb, channel) = (self.shared.context.publish_verb(), names.shard_channel_prefix());
        let message = envelope::shard_changed(self.shared.context.node, project, "");
        if let Some(description) = self.description_at_entry(project, request) {
            let base = names.base().as_bytes();
            args.extend([&**description, base, verb.as_bytes(), channel.as_bytes(), &message]);
            args.extend(request.previous.as_ref().map(|previous| &previous.as_bytes()[..]));
        }
        self.scripts().take_seat.call(&seat_keys(names, self.lease), &args)
    }

    /// The member list entry of a socket that enters its targets together with the seat. `None` if it enters
    /// them separately, as in projects with copies for original servers.
    fn description_at_entry<'w>(&self, project: &ProjectId, request: &'w SeatRequest) -> Option<&'w Bytes> {
        request.description.as_ref().filter(|_| !self.shared.has_copies(project))
    }

    /// The command, channel and message that notify other nodes of a change on a shard.
    fn shard_changed(&self, names: &ProjectNames, project: &ProjectId, shard: &ShardName) -> [Vec<u8>; 3] {
        let channel = names.channel(&Target::shard(shard));
        let message = envelope::shard_changed(self.shared.context.node, project, shard);
        [self.shared.context.publish_verb().into(), channel.into(), message]
    }

    /// Answers requests for seats, and returns the projects in which the lease has no entries left. Fails if
    /// a call failed. A key of the wrong type is only logged, because a retry would fail again and block the
    /// other changes.
    pub(super) fn settle(
        &self,
        changes: &mut ChangeBatch,
        replies: Vec<Value>,
    ) -> Result<Vec<ProjectId>, WriteError> {
        let replies = replies.into_iter().map(accept_wrong_type).collect::<RedisResult<Vec<_>>>()?;
        if replies.iter().flatten().any(is_lease_lost) {
            return Err(WriteError::LeaseLost);
        }
        let mut is_empty_after: HashMap<ProjectId, bool> = HashMap::new();
        for (indexes, reply) in self.changes_of_call.iter().zip(replies) {
            let (project, change) = &mut changes.changes[indexes[0]];
            let Some(reply) = reply else {
                limited!(
                    ERROR,
                    project = printable(&*project),
                    changes = indexes.len(),
                    "key has the wrong type; changes of presence are dropped"
                );
                continue;
            };
            if let (Change::Enter(..) | Change::Leave(..) | Change::Record(..), Value::Array(parts)) =
                (&*change, &reply)
            {
                let dropped = parts.get(1).and_then(integer);
                limited!(
                    ERROR,
                    project = printable(&*project),
                    dropped,
                    "member keys have the wrong type; changes of membership are dropped"
                );
            }
            // The last entry is the mark that allows the lease to write.
            let is_empty = matches!(
                change,
                Change::Enter(..) | Change::Leave(..) | Change::Record(..) | Change::LeaveSeat(..)
            ) && integer(&reply) == Some(1);
            is_empty_after.insert(project.clone(), is_empty);
            if let Change::TakeSeat(request, requester) = change
                && let Some(requester) = requester.take()
            {
                self.answer_seat(project, request, requester, reply)?;
            }
        }
        Ok(is_empty_after.into_iter().filter(|(_, is_empty)| *is_empty).map(|(project, _)| project).collect())
    }

    fn answer_seat(
        &self,
        project: &ProjectId,
        request: &SeatRequest,
        requester: oneshot::Sender<Seated>,
        reply: Value,
    ) -> RedisResult<()> {
        let reply = Vec::<Value>::from_redis_value(reply)?;
        let Ok([_, shard, capacity, number]) = <[Value; 4]>::try_from(reply) else {
            // Fails if the requester has stopped waiting.
            let _ = requester.send(Seated::Full);
            return Ok(());
        };
        let shard = Vec::<u8>::from_redis_value(shard)?;
        let Some(shard) = name::<ShardName>(shard) else { return Err(unexpected("the shard has no name")) };
        let description = self.description_at_entry(project, request).cloned();
        let entered = description.as_ref().map(|_| vec![Target::Everyone, Target::shard(&shard)]);
        let seat = Seat {
            project: project.clone(),
            shard: shard.clone(),
            capacity: u32::from_redis_value(capacity)?,
            number: u64::from_redis_value(number)?,
            description,
            is_description_queued: false,
            entered_with_seat: entered.unwrap_or_default(),
        };
        self.shared.seats.insert(request.socket, seat);
        if requester.send(Seated::In(shard.clone())).is_err() {
            self.shared.leave_seat(project, &shard, request.socket);
        }
        Ok(())
    }
}

impl MembersCall<'_> {
    fn add(&mut self, index: usize, sign: &[u8], target: &Target, socket: SocketId) {
        let key = self.names.members(target);
        self.push(index, key, [sign.to_vec(), socket.as_bytes().to_vec(), target_text(target).into()]);
    }

    fn push(&mut self, index: usize, key: String, args: [Vec<u8>; 3]) {
        self.indexes.push(index);
        self.keys.push(key);
        self.args.extend(args);
    }
}

fn unexpected(message: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, message))
}

/// `None` if a key has the wrong type.
fn accept_wrong_type(reply: Value) -> RedisResult<Option<Value>> {
    match reply.extract_error() {
        Err(error) if is_wrong_type(&error) => Ok(None),
        reply => reply.map(Some),
    }
}

fn is_lease_lost(reply: &Value) -> bool {
    match reply {
        Value::Array(parts) => parts.first().and_then(integer) == Some(-1),
        reply => integer(reply) == Some(-1),
    }
}
