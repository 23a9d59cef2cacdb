//! Finds out whether a server could start, without starting it.

use switchboard_disk::{DiskInbox, OpenError};
use switchboard_redis::Redis;

use super::error::RunError;
use super::listeners::Listeners;
use crate::config::Loaded;
use crate::tls;

/// Tests whether a server with these settings could start on this machine, and returns the error that would prevent it, or the
/// warnings. In the order of a start it tests folders and certificates, Redis, the addresses to listen on, and the inbox file. Nothing
/// is created or changed.
///
/// If another server already listens there, that is a warning and no error, because settings are also checked before a reload.
/// A Redis that cannot be reached and is not required is a warning, too.
pub async fn check(loaded: &Loaded) -> Result<Vec<String>, RunError> {
    loaded.check_files()?;
    let config = &loaded.config;
    let mut warnings = tls::warnings(config);
    let redis = config.redis()?;
    if let Some(options) = &redis
        && let Err(error) = Redis::check(options).await
    {
        if options.required {
            return Err(error.into());
        }
        let error = switchboard_log::with_causes(&error);
        warnings.push(format!("{error}; a server would start alone, because redis.required is `false`"));
    }
    let is_running = match Listeners::bind(config) {
        Ok(_) => false,
        Err(RunError::Listen { key, address, is_ours: true, .. }) => {
            warnings.push(format!(
                "{key} is {address}, where another switchboard listens; it has to stop before a start"
            ));
            true
        }
        Err(error) => return Err(error),
    };
    if redis.is_none() && config.inbox.is_on() {
        match DiskInbox::check(&config.inbox.path) {
            Err(OpenError::InUse(_)) if is_running => {}
            checked => checked?,
        }
    }
    Ok(warnings)
}
