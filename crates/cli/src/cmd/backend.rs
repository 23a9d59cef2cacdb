//! What commands share that speak to nodes as a backend does: whom they are about, and by which way.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use switchboard_dispatcher::{
    Audience, Dispatcher, DispatcherOptions, IntoAudience, RedisOptions, SocketId, Target,
};

use crate::args::{Way, Whom};
use crate::output::Failure;

/// Longer than anything takes that is going to happen.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the key for the HTTP API is looked for.
const KEY_VARIABLE: &str = "DISPATCH_KEY";

impl Whom {
    pub(super) fn audience(&self) -> anyhow::Result<Audience> {
        let mut to = targets(&self.to_users, &self.to_places, &self.to_sockets)?;
        to.extend(self.everyone.then_some(Target::Everyone));
        let except = targets(&self.except_users, &self.except_places, &self.except_sockets)?;
        Ok(Audience { to, except })
    }

    /// `to` and `except` as `spec/openapi.json` has them, beside other fields.
    fn name_in(&self, body: &mut Value) -> anyhow::Result<()> {
        body["to"] = named(&self.to_users, &self.to_places, &self.to_sockets)?;
        body["to"]["everyone"] = self.everyone.into();
        body["except"] = named(&self.except_users, &self.except_places, &self.except_sockets)?;
        Ok(())
    }
}

impl Way {
    /// What is asked of the API about somebody, as `spec/openapi.json` has it.
    pub(super) fn body(&self, whom: &Whom, mut body: Value) -> anyhow::Result<String> {
        whom.name_in(&mut body)?;
        if let Some(namespace) = &self.namespace {
            body["project"] = namespace.as_str().into();
        }
        Ok(body.to_string())
    }

    /// Asks an endpoint of the API; what it answers if all was done.
    pub(super) async fn ask(&self, url: &str, endpoint: &str, body: String) -> Result<Value, Failure> {
        let key = self.key.clone().or_else(|| std::env::var(KEY_VARIABLE).ok());
        let key =
            key.ok_or_else(|| Failure::Usage(anyhow!("--key or {KEY_VARIABLE} is needed with --url")))?;
        let (status, answer) = post(url, endpoint, &key, body).await.map_err(Failure::Run)?;
        if status == 200 {
            return match answer["degraded"] == true {
                true => Err(Failure::Run(anyhow!("{url} reached its own sockets alone: Redis is away"))),
                false => Ok(answer),
            };
        }
        let said = answer["error"].as_str().unwrap_or("and says no more");
        let error = anyhow!("{url} answers {status}: {said}");
        Err(if status == 400 { Failure::Usage(error) } else { Failure::Run(error) })
    }

    /// A dispatcher on the Redis that the nodes share.
    pub(super) async fn dispatcher(&self, sync: bool) -> Result<Dispatcher, Failure> {
        let url = self.redis.as_deref().unwrap_or_default();
        let redis = RedisOptions { prefix: self.prefix.clone(), ..RedisOptions::new(url) };
        redis.check().map_err(|error| Failure::Usage(error.into()))?;
        let options =
            DispatcherOptions { namespace: self.namespace.clone(), sync, legacy: self.originals, redis };
        Dispatcher::with_options(options).await.map_err(|error| Failure::Run(error.into()))
    }
}

fn targets(users: &[String], places: &[String], sockets: &[SocketId]) -> anyhow::Result<Vec<Target>> {
    let mut targets: Vec<Target> = sockets.iter().copied().map(Target::Socket).collect();
    for user in users {
        if user == "*" {
            bail!("`*` is no user; there is --everyone");
        }
        targets.push(Target::user(user)?);
    }
    for place in places {
        targets.extend(place.into_audience()?.to);
    }
    Ok(targets)
}

fn named(users: &[String], places: &[String], sockets: &[SocketId]) -> anyhow::Result<Value> {
    let (mut rooms, mut tags) = (Vec::new(), Vec::new());
    for place in places {
        match place.chars().next() {
            Some('#') => rooms.push(place),
            Some('*') => tags.push(place),
            _ => bail!("`{place}` is neither a `#room` nor a `*tag`"),
        }
    }
    let sockets: Vec<String> = sockets.iter().map(ToString::to_string).collect();
    Ok(json!({ "users": users, "rooms": rooms, "tags": tags, "sockets": sockets }))
}

async fn post(url: &str, endpoint: &str, key: &str, body: String) -> anyhow::Result<(u16, Value)> {
    switchboard_auth::install_crypto_provider();
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?;
    let address = format!("{}/api/v1/{endpoint}", url.trim_end_matches('/'));
    let request = client.post(address).bearer_auth(key).body(body);
    let response = request.send().await.with_context(|| format!("cannot reach {url}"))?;
    let (status, text) = (response.status().as_u16(), response.text().await?);
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}
