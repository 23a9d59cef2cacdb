//! The app that the settings describe.

use std::sync::Arc;
use std::time::SystemTime;

use switchboard::{App, ProjectId};
use switchboard_disk::{DiskHistory, DiskInbox};
use switchboard_event::unix_ms;
use switchboard_redis::Redis;

use super::error::RunError;
use crate::config::{Config, SharedRules};

/// Builds the app: limits, protocols, tokens, and either Redis or, for the inbox and revoked tokens, a file.
pub(super) fn build(config: &Config, rules: &SharedRules, redis: Option<&Redis>) -> Result<App, RunError> {
    let app = without_backplane(config, rules).with_resume(config.resume.options());
    let app = app.with_tracing(config.traces.options());
    Ok(match redis {
        Some(redis) => app.with_backplane(redis).with_reports_of(&config.reported_protocols()),
        None => with_history_file(with_file(app, config)?, config)?,
    })
}

/// Stores messages for users and revoked tokens in a file, if there is an inbox.
fn with_file(app: App, config: &Config) -> Result<App, RunError> {
    if !config.inbox.is_on() {
        return Ok(app);
    }
    let file = Arc::new(DiskInbox::open(&config.inbox.path, config.inbox.limits())?);
    Ok(app.with_inbox(file.clone()).with_revocation_store(file))
}

/// Keeps the histories of rooms in a file, if one is named and a room keeps messages.
fn with_history_file(app: App, config: &Config) -> Result<App, RunError> {
    let Some(path) = config.history.file.as_ref().filter(|_| config.history.is_on()) else { return Ok(app) };
    let clock = || unix_ms(SystemTime::now());
    Ok(app.with_history(Arc::new(DiskHistory::open(path, config.history.memory_limits(), clock)?)))
}

fn without_backplane(config: &Config, rules: &SharedRules) -> App {
    let project = ProjectId::new(&config.projects.default).expect("the settings were checked");
    let mut app = App::new().with_limits(config.limits.clone()).with_accept_options(config.accept_options());
    app = app.with_tokens_answered();
    if config.koji.enabled {
        app = app.with_koji(config.koji.protocol().with_projects(rules.by_project()));
    }
    if config.mesa.enabled {
        app = app.with_mesa(config.mesa.protocol(&config.projects));
    }
    if let Some(verifier) = config.auth.verifier().expect("the settings were checked") {
        app = app.with_verifier(verifier);
    }
    if let Some(rule) = config.access_rule() {
        app = app.with_access_rule(rule);
    }
    config.overflow.add_to(config.history.add_to(app)).project(&project)
}
