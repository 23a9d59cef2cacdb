//! Revocation of tokens: a revoked token is refused, and sockets that it has logged in lose it as if it had expired.
//!
//! Every node knows all revocations. The node that revokes applies them first, then publishes them to the other nodes and
//! stores them. Failed steps are tried again every second. A node loads the stored revocations at its start and after a
//! gap in the publications of other nodes.

pub(crate) mod state;
pub(crate) mod table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use switchboard_backplane::{Revocation, RevokedTokens};
use switchboard_event::{ProjectId, SocketId, Target, TokenId};
use switchboard_hub::Session;
use switchboard_log::{limited, printable, printable_error};

use crate::node::access::{self, grants::Lost};
use crate::node::clock::now_ms;
use crate::node::logged_client::LoggedClient;
use crate::node::message::{Command, RevokedMessage};
use crate::node::revocations::table::RevocationTable;
use crate::node::token_bindings::Bindings;
use crate::node::{Node, inbox, remote};

/// Pause before revocations that could not be shared, or loaded, are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Interval at which expired revocations are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Revocations per publication, so that none is too long for the bus.
const PUBLISHED_AT_ONCE: usize = 500;

/// How far revocations have come.
pub(crate) struct Applied {
    /// Number of sockets on this node that have lost their token.
    pub(crate) sockets_here: usize,
    /// Published to all nodes, and stored if there is a store.
    pub(crate) is_shared: bool,
}

/// The project and the tag for publications to every node. No client can take a tag by itself.
pub(crate) fn every_node() -> (ProjectId, Target) {
    let project = ProjectId::new("switchboard:nodes").expect("the name is short");
    (project, Target::tag("switchboard:every-node").expect("the name is short"))
}

/// Revokes tokens on all nodes. Fails with the bound on revocations if this node would have to remember more.
pub(crate) async fn revoke(node: &Arc<Node>, revocations: &[Revocation]) -> Result<Applied, usize> {
    let max = node.limits().revocations_max;
    {
        let mut table = node.revocations.write();
        let is_full = |table: &RevocationTable| table.len() + table.count_new(revocations) > max;
        if is_full(&table) {
            table.sweep(now_ms());
            if is_full(&table) {
                return Err(max);
            }
        }
        revocations.iter().for_each(|revocation| table.add(revocation, false));
    }
    let sockets_here = end_bindings(node, revocations);
    let is_shared = share(node, revocations).await;
    Ok(Applied { sockets_here, is_shared })
}

/// Applies revocations of another node.
pub(crate) fn receive(node: &Arc<Node>, messages: &[RevokedMessage]) {
    let read = |(key, before_ms, until_ms): &RevokedMessage| Revocation::read(key, *before_ms, *until_ms);
    apply(node, &messages.iter().filter_map(read).collect::<Vec<_>>());
}

/// Applies revocations that are stored.
fn apply(node: &Arc<Node>, revocations: &[Revocation]) {
    let now_ms = now_ms();
    {
        let mut table = node.revocations.write();
        let valid = revocations.iter().filter(|revocation| revocation.until_ms > now_ms);
        valid.for_each(|revocation| table.add(revocation, true));
    }
    end_bindings(node, revocations);
}

/// Logs out sockets with revoked tokens. The table already has the revocations, so a concurrent login either is
/// refused or is found here.
fn end_bindings(node: &Arc<Node>, revocations: &[Revocation]) -> usize {
    let table_len = node.revocations.read().len();
    gauge!("switchboard_revocations").set(table_len as f64);
    // Locked during the logouts, so that they do not undo a concurrent login with a new token.
    let mut bindings = node.token_bindings.lock();
    let ended = revoked_sockets(node, &bindings, revocations);
    for session in &ended {
        let Some(user) = bindings.user(session.id) else { continue };
        bindings.remove(session.id);
        let protocol = session.protocol.name();
        counter!("switchboard_tokens_revoked_total", "protocol" => protocol).increment(1);
        let client = LoggedClient::Connected(session).address();
        limited!(INFO, socket = %session.id, client, user = printable(&user), protocol, "token revoked; socket logged out");
        inbox::log_out(node, session, &user);
        access::set_claim(node, session, None, Lost::Revoked);
    }
    ended.len()
}

/// The sockets that are logged in by revoked tokens.
fn revoked_sockets(node: &Node, bindings: &Bindings, revocations: &[Revocation]) -> Vec<Arc<Session>> {
    let mut sockets: HashMap<SocketId, Arc<Session>> = HashMap::new();
    let mut ids: HashMap<&TokenId, Vec<&ProjectId>> = HashMap::new();
    for Revocation { project, tokens, .. } in revocations {
        match tokens {
            RevokedTokens::WithId(id) => ids.entry(id).or_default().push(project),
            RevokedTokens::OfUser { user, issued_before_ms } => {
                let members = node.hub().members(project, &Target::User(user.clone()).into());
                let is_revoked =
                    |session: &Arc<Session>| bindings.is_issued_before(session.id, user, *issued_before_ms);
                sockets.extend(members.into_iter().filter(is_revoked).map(|session| (session.id, session)));
            }
        }
    }
    if !ids.is_empty() {
        for (socket, id) in bindings.token_ids() {
            if let Some(projects) = ids.get(id)
                && let Some(session) = node.hub().index().session(socket)
                && projects.contains(&&session.project.id)
            {
                sockets.insert(socket, session);
            }
        }
    }
    sockets.into_values().collect()
}

/// Publishes revocations to the other nodes, and stores them. Returns false if one of the two failed.
async fn share(node: &Arc<Node>, revocations: &[Revocation]) -> bool {
    let is_published = node.is_single_node() || publish(node, revocations);
    let is_stored = match node.revocation_store() {
        Some(store) => store.save(revocations).await.inspect_err(|error| {
            limited!(
                WARN,
                error = printable_error(error),
                "revocations not stored; this node tries again every second"
            );
        }),
        None => Ok(()),
    };
    let is_shared = is_published && is_stored.is_ok();
    match is_shared {
        true => node.revocations.write().mark_shared(revocations),
        false => node.revocations.refresh(),
    }
    is_shared
}

fn publish(node: &Node, revocations: &[Revocation]) -> bool {
    let (project, target) = every_node();
    revocations.chunks(PUBLISHED_AT_ONCE).all(|revocations| {
        let message = |one: &Revocation| (one.key(), one.issued_before_ms(), one.until_ms);
        let command = Command::Revoke(revocations.iter().map(message).collect());
        remote::command(node, &project, &target.clone().into(), &command).is_ok()
    })
}

/// Loads the stored revocations, shares those that could not be shared at once, and forgets those whose tokens have
/// expired.
pub(crate) async fn run(node: Arc<Node>) {
    if !node.is_single_node() {
        // Before the stored revocations are read, so that none is missed.
        let (project, target) = every_node();
        node.hub().bus().subscribe(&project, &target);
        node.hub().bus().settled().await;
    }
    let mut must_load = true;
    loop {
        must_load = must_load && !load(&node).await;
        let unshared = node.revocations.read().unshared();
        let is_shared = unshared.is_empty() || share(&node, &unshared).await;
        let is_done = is_shared && !must_load;
        if !is_done {
            tokio::time::sleep(RETRY_INTERVAL).await;
            continue;
        }
        let refresh = tokio::time::timeout(SWEEP_INTERVAL, node.revocations.refresh.notified()).await;
        must_load = refresh.is_ok();
        let len = {
            let mut table = node.revocations.write();
            table.sweep(now_ms());
            table.len()
        };
        gauge!("switchboard_revocations").set(len as f64);
    }
}

/// Returns false if the stored revocations could not be read.
async fn load(node: &Arc<Node>) -> bool {
    let Some(store) = node.revocation_store() else { return true };
    match store.load().await {
        Ok(revocations) => {
            apply(node, &revocations);
            true
        }
        Err(error) => {
            limited!(
                WARN,
                error = printable_error(&error),
                "revocations cannot be read; tokens that were revoked elsewhere are accepted until they can"
            );
            false
        }
    }
}
