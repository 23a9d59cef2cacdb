//! The short form of the address of Redis: `redis = "…"` is `redis.url = "…"`.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

/// A source of settings, with the short form expanded.
pub(super) struct WithShortForm<P>(pub(super) P);

impl<P: Provider> Provider for WithShortForm<P> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut data = self.0.data()?;
        for settings in data.values_mut() {
            if let Some(short) = settings.get_mut("redis").filter(|value| value.as_dict().is_none()) {
                *short = Value::from(Dict::from([("url".to_owned(), short.clone())]));
            }
        }
        Ok(data)
    }
}
