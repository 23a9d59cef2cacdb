//! `switchboard check`: the effective settings.

use switchboard_server::config::Sources;

use crate::output::Failure;
use crate::settings;
use crate::streams::{print, print_error_line};

/// Prints the settings as a TOML file that gives the same settings, and on stderr what is set without
/// effect. Fails if `serve` would refuse the settings.
pub(crate) fn run(sources: &Sources) -> Result<(), Failure> {
    let loaded = settings::load(sources)?;
    loaded.check_access().map_err(|error| Failure::Usage(error.into()))?;
    loaded.check_files().map_err(|error| Failure::Usage(error.into()))?;
    loaded.warnings.iter().for_each(|warning| print_error_line(format_args!("warning: {warning}")));
    print(format_args!("{}", loaded.config.to_toml()));
    Ok(())
}
