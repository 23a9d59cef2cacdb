//! TOML as a format of figment, whose own support brings a second version of the parser.

use figment::providers::Format;
use serde::de::DeserializeOwned;

/// TOML files and texts.
pub(super) struct Toml;

impl Format for Toml {
    type Error = toml::de::Error;

    const NAME: &'static str = "TOML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        toml::from_str(text)
    }
}
