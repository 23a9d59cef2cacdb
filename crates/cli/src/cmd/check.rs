//! `switchboard check`: the effective settings.

use switchboard_server::Config;

use crate::output::Failure;

/// Prints the settings as a TOML file that gives the same settings.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    print!("{}", config.to_toml());
    Ok(())
}
