//! The parts that the backend commands share: the recipients, and the connection through HTTP or Redis.

use anyhow::{anyhow, bail};
use serde_json::{Value, json};
use switchboard_dispatcher::{Audience, Dispatcher, DispatcherOptions, RedisOptions, SocketId, Target};

use crate::args::{Connection, Recipients};
use crate::cmd::api_client::{ApiClient, Call};
use crate::output::{Failure, counted};

impl Recipients {
    pub(super) fn audience(&self) -> anyhow::Result<Audience> {
        let mut to = targets(&self.to_users, &self.to_sets, &self.to_sockets)?;
        to.extend(self.everyone.then_some(Target::Everyone));
        let except = targets(&self.except_users, &self.except_sets, &self.except_sockets)?;
        Ok(Audience { to, except })
    }

    /// Adds the fields `to` and `except` of `spec/openapi.json`.
    pub(super) fn add_to(&self, body: &mut Value) -> anyhow::Result<()> {
        body["to"] = to_json(&self.to_users, &self.to_sets, &self.to_sockets)?;
        body["to"]["everyone"] = self.everyone.into();
        body["except"] = to_json(&self.except_users, &self.except_sets, &self.except_sockets)?;
        Ok(())
    }
}

impl Connection {
    /// The body of a request, as in `spec/openapi.json`.
    pub(super) fn body(&self, recipients: &Recipients, mut body: Value) -> anyhow::Result<String> {
        recipients.add_to(&mut body)?;
        if let Some(namespace) = &self.namespace {
            body["project"] = namespace.as_str().into();
        }
        Ok(body.to_string())
    }

    /// Calls an endpoint of the API and returns its response. A degraded response is an error.
    pub(super) async fn request(&self, url: &str, endpoint: &str, body: String) -> Result<Value, Failure> {
        let client = ApiClient::new(url, self.key.as_deref(), &self.certificates)?;
        let answer = client.call(Call::post(&[endpoint], body)).await?;
        let sockets = answer["sockets_here"].as_u64().unwrap_or(0);
        match answer["degraded"] == true {
            true => Err(Failure::Run(anyhow!(
                "only {} of the node at {url} {} reached, because Redis is down",
                counted(sockets, "socket", "sockets"),
                if sockets == 1 { "was" } else { "were" }
            ))),
            false => Ok(answer),
        }
    }

    /// Connects a dispatcher to the Redis that the nodes share.
    pub(super) async fn dispatcher(&self, sync: bool) -> Result<Dispatcher, Failure> {
        let url = self.redis.as_deref().unwrap_or_default();
        let redis = RedisOptions { prefix: self.prefix.clone(), ..RedisOptions::new(url) };
        redis.check().map_err(|error| Failure::Usage(error.into()))?;
        let options =
            DispatcherOptions { namespace: self.namespace.clone(), sync, legacy: self.legacy, redis };
        Dispatcher::with_options(options).await.map_err(|error| Failure::Run(error.into()))
    }
}

fn targets(users: &[String], sets: &[String], sockets: &[SocketId]) -> anyhow::Result<Vec<Target>> {
    let mut targets: Vec<Target> = sockets.iter().copied().map(Target::Socket).collect();
    for user in users {
        if user == "*" {
            bail!("`*` is not a user; use --everyone");
        }
        targets.push(Target::user(user)?);
    }
    for set in sets {
        targets.push(set.parse()?);
    }
    Ok(targets)
}

fn to_json(users: &[String], sets: &[String], sockets: &[SocketId]) -> anyhow::Result<Value> {
    let (mut rooms, mut tags) = (Vec::new(), Vec::new());
    for set in sets {
        match set.chars().next() {
            Some('#') => rooms.push(set),
            Some('*') => tags.push(set),
            _ => bail!("`{set}` is neither a `#room` nor a `*tag`"),
        }
    }
    let sockets: Vec<String> = sockets.iter().map(ToString::to_string).collect();
    Ok(json!({ "users": users, "rooms": rooms, "tags": tags, "sockets": sockets }))
}
