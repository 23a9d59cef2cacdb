//! `switchboard dispatch`: one event from a terminal, as a backend.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use switchboard_dispatcher::{
    Audience, Dispatcher, DispatcherOptions, IntoAudience, Message, RedisOptions, SocketId, Target,
};

use crate::args::Dispatch;
use crate::output::Failure;

/// Longer than anything takes that is going to happen.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the key for the HTTP API is looked for.
const KEY_VARIABLE: &str = "DISPATCH_KEY";

/// Sends it, and prints in how many inboxes it waits if it does.
pub(crate) async fn run(dispatch: &Dispatch) -> Result<(), Failure> {
    let inboxes = match &dispatch.url {
        Some(url) => by_http(dispatch, url).await?,
        None => through_redis(dispatch).await?,
    };
    if let Some(inboxes) = inboxes {
        println!("waits in {inboxes} {}", if inboxes == 1 { "inbox" } else { "inboxes" });
    }
    Ok(())
}

async fn through_redis(dispatch: &Dispatch) -> Result<Option<u64>, Failure> {
    let message = message(dispatch).map_err(Failure::Usage)?;
    let audience = audience(dispatch).map_err(Failure::Usage)?;
    let only_users = audience.to.iter().chain(&audience.except).all(|to| matches!(to, Target::User(_)));
    if dispatch.sync && !only_users {
        return Err(Failure::Usage(anyhow!(
            "a message can wait for users only; leave out --sync, or name users"
        )));
    }
    let url = dispatch.redis.as_deref().unwrap_or_default();
    let redis = RedisOptions { prefix: dispatch.prefix.clone(), ..RedisOptions::new(url) };
    redis.check().map_err(|error| Failure::Usage(error.into()))?;
    let options = DispatcherOptions {
        namespace: dispatch.namespace.clone(),
        sync: dispatch.sync,
        originals: dispatch.originals,
        redis,
    };
    let sent = async {
        let dispatcher = Dispatcher::with_options(options).await?;
        anyhow::Ok(dispatcher.send(&message, audience).await?)
    };
    Ok(sent.await.map_err(Failure::Run)?.inboxes.map(|inboxes| inboxes as u64))
}

fn message(dispatch: &Dispatch) -> anyhow::Result<Message> {
    let parsed = Message::parse(0, &dispatch.data, &dispatch.kind);
    Ok(parsed.or_else(|_| Message::new(0, &dispatch.data, &dispatch.kind))?)
}

fn audience(dispatch: &Dispatch) -> anyhow::Result<Audience> {
    let mut to = targets(&dispatch.to_users, &dispatch.to_places, &dispatch.to_sockets)?;
    to.extend(dispatch.everyone.then_some(Target::Everyone));
    let except = targets(&dispatch.except_users, &dispatch.except_places, &dispatch.except_sockets)?;
    Ok(Audience { to, except })
}

fn targets(users: &[String], places: &[String], sockets: &[SocketId]) -> anyhow::Result<Vec<Target>> {
    let mut targets: Vec<Target> = sockets.iter().copied().map(Target::Socket).collect();
    for user in users {
        targets.push(Target::user(user)?);
    }
    for place in places {
        targets.extend(place.into_audience()?.to);
    }
    Ok(targets)
}

async fn by_http(dispatch: &Dispatch, url: &str) -> Result<Option<u64>, Failure> {
    let body = body(dispatch).map_err(Failure::Usage)?;
    let key = dispatch.key.clone().or_else(|| std::env::var(KEY_VARIABLE).ok());
    let key = key.ok_or_else(|| Failure::Usage(anyhow!("--key or {KEY_VARIABLE} is needed with --url")))?;
    let (status, answer) = ask(url, &key, body).await.map_err(Failure::Run)?;
    if status == 200 {
        return Ok(answer["inboxes"].as_u64());
    }
    let error = anyhow!("{url} answers {status}: {}", answer["error"].as_str().unwrap_or("and says no more"));
    Err(if status == 400 { Failure::Usage(error) } else { Failure::Run(error) })
}

async fn ask(url: &str, key: &str, body: String) -> anyhow::Result<(u16, Value)> {
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?;
    let address = format!("{}/api/v1/dispatch", url.trim_end_matches('/'));
    let request = client.post(address).bearer_auth(key).body(body);
    let response = request.send().await.with_context(|| format!("cannot reach {url}"))?;
    let (status, text) = (response.status().as_u16(), response.text().await?);
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

/// The request as `spec/openapi.json` has it.
fn body(dispatch: &Dispatch) -> anyhow::Result<String> {
    let data: Box<serde_json::value::RawValue> =
        serde_json::from_str(&dispatch.data).or_else(|_| serde_json::value::to_raw_value(&dispatch.data))?;
    let mut body = json!({
        "type": dispatch.kind,
        "to": named(&dispatch.to_users, &dispatch.to_places, &dispatch.to_sockets)?,
        "except": named(&dispatch.except_users, &dispatch.except_places, &dispatch.except_sockets)?,
        "sync": dispatch.sync,
    });
    body["to"]["everyone"] = dispatch.everyone.into();
    if let Some(namespace) = &dispatch.namespace {
        body["project"] = namespace.as_str().into();
    }
    // As it is: numbers that no f64 holds, too.
    let rest = body.to_string();
    Ok(format!("{{\"data\":{data},{}", &rest[1..]))
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
