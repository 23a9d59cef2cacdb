//! `switchboard check`: the effective settings.

use switchboard_server::Config;

use crate::output::Failure;

/// Prints them as the TOML file that would give the same.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    print!("{}", config.to_toml());
    Ok(())
}
