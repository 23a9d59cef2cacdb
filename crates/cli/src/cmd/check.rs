//! `switchboard check`: the effective settings.

use switchboard_server::Config;

use crate::output::Failure;
use crate::streams::print;

/// Prints the settings as a TOML file that gives the same settings.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    print(format_args!("{}", config.to_toml()));
    Ok(())
}
