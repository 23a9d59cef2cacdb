//! Calls the hooks for messages that the app sends: `@sent` and `@undeliverable`.

use std::sync::Arc;

use serde::Serialize;
use switchboard_event::{Event, Name, Payload, ProjectId, Target, UserId};
use switchboard_log::{limited, printable_error};

use crate::node::Node;
use crate::node::system_events::SystemEvent;

/// The data of `@sent`.
#[derive(Serialize)]
struct Sent<'a> {
    event: &'a Name,
    data: &'a Payload,
    to: Vec<String>,
    except: Vec<String>,
    #[serde(rename = "stored")]
    is_stored: bool,
}

/// The data of `@undeliverable`.
#[derive(Serialize)]
struct Undeliverable<'a> {
    user: &'a UserId,
    event: &'a Name,
    data: &'a Payload,
}

/// Calls the `@sent` hooks. `is_stored` is true for messages that the inbox stores.
pub(crate) fn notify_sent(
    node: &Node,
    project: &ProjectId,
    event: &Event,
    to: &[Target],
    except: &[Target],
    is_stored: bool,
) {
    if let Some(hooks) = node.hooks(SystemEvent::Sent) {
        let to_strings = |targets: &[Target]| targets.iter().map(Target::to_string).collect();
        let (Event { name, data, .. }, to, except) = (event, to_strings(to), to_strings(except));
        hooks.notify_project_event(
            SystemEvent::Sent,
            project,
            as_payload(&Sent { event: name, data, to, except, is_stored }),
        );
    }
}

/// Calls the `@undeliverable` hooks for each user without a socket on any node. Does nothing if there are
/// no such hooks, because it queries the store for each user without a socket on this node.
pub(crate) fn notify_undeliverable(node: &Arc<Node>, project: &ProjectId, event: Event, users: Vec<UserId>) {
    let Some(hooks) = node.hooks(SystemEvent::Undeliverable) else { return };
    let (node, project, Event { name, data, .. }) = (node.clone(), project.clone(), event);
    node.tasks.clone().spawn(async move {
        for user in &users {
            let target = Target::User(user.clone());
            // The hub is checked first: the store receives a login on this node later.
            if !node.hub().members(&project, &target.clone().into()).is_empty() {
                continue;
            }
            match node.hub().store().count(&project, &target).await {
                Ok(0) => {
                    let data = as_payload(&Undeliverable { user, event: &name, data: &data });
                    hooks.notify_project_event(SystemEvent::Undeliverable, &project, data);
                }
                Ok(_) => {}
                Err(error) => {
                    limited!(
                        WARN,
                        error = printable_error(&error),
                        "cannot query whether a user is online; the @undeliverable hooks are not called"
                    );
                }
            }
        }
    });
}

fn as_payload<T: Serialize>(data: &T) -> Payload {
    Payload::of(data).expect("strings, numbers and payloads serialize as JSON")
}
