//! The flags that set settings, shared by all commands that read them.

use std::path::PathBuf;

use clap::Args;
use switchboard_server::Config;
use switchboard_server::config::{Loaded, Sources};

use crate::output::Failure;

/// Settings: the file, then the environment (`SWITCHBOARD_LIMITS__ENABLED=false`), then flags.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Address for clients [default: 127.0.0.1:3000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// A TOML file with settings; `switchboard config init` makes one.
    #[arg(long, value_name = "FILE", env = "SWITCHBOARD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Any setting, such as `limits.messages_per_s=100`; may be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl Settings {
    /// Reads and checks the settings.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        Ok(load(&self.sources())?.config)
    }

    /// Where the settings come from.
    pub(crate) fn sources(&self) -> Sources {
        let listen = self.listen.iter().map(|address| format!("listen={address}"));
        let flags: Vec<String> = self.set.iter().cloned().chain(listen).collect();
        Sources::new(self.config.as_deref(), &flags)
    }
}

/// Reads and checks settings.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, Failure> {
    Config::load_from(sources).map_err(|error| Failure::Usage(error.into()))
}
