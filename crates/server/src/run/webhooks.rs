//! The webhooks that the settings describe, and their connection with the app.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use switchboard::backplane::{ClientAction, Report, ReportSink};
use switchboard::{App, Data, Name, Payload, ProjectId, Socket, SocketId, UserId};
use switchboard_event::unix_ms;
use switchboard_hooks::{EventKind, Webhooks};
use switchboard_redis::Redis;

use super::error::RunError;
use crate::config::Config;

/// Starts the webhooks; `None` without endpoints.
pub(super) async fn start(config: &Config) -> Result<Option<Webhooks>, RunError> {
    let Some(options) = config.webhooks()? else { return Ok(None) };
    Ok(Some(match config.redis()? {
        Some(redis) => Webhooks::start_with_redis(&options, &redis).await?,
        None => Webhooks::start(&options)?,
    }))
}

/// Lets the app report to webhooks.
pub(super) fn install(app: App, config: &Config, webhooks: Option<&Webhooks>, redis: Option<&Redis>) -> App {
    let Some(webhooks) = webhooks else { return app };
    let sink = webhooks.sink(redis);
    let options = config.webhooks().expect("the settings were checked");
    let endpoints = options.map(|options| options.endpoints).unwrap_or_default();
    let app = app.with_webhook_sink(sink.clone());
    match endpoints.iter().any(|endpoint| endpoint.events.contains(EventKind::Undeliverable)) {
        true => report_undeliverable(app, sink),
        false => app,
    }
}

/// The data of the system event `@undeliverable`.
#[derive(Deserialize)]
struct Undeliverable {
    user: String,
    event: String,
    data: Payload,
}

/// Reports events to users without a socket. The query for the sockets of these users has a cost, so it is made only if
/// an endpoint receives the reports.
fn report_undeliverable(app: App, sink: Arc<dyn ReportSink>) -> App {
    app.on("@undeliverable", move |socket: Socket, Data(undeliverable): Data<Undeliverable>| {
        report_one(&*sink, socket.app().project_id(), undeliverable);
        async {}
    })
}

fn report_one(sink: &dyn ReportSink, project: &ProjectId, undeliverable: Undeliverable) {
    let Undeliverable { user, event, data } = undeliverable;
    if let (Ok(user), Ok(event)) = (UserId::new(&user), Name::new(&event)) {
        sink.report(Report {
            project: project.clone(),
            socket: SocketId::random(),
            protocol: None,
            user: Some(user),
            time_ms: unix_ms(SystemTime::now()),
            action: ClientAction::Undeliverable { event, data },
        });
    }
}
