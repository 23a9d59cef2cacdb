//! `switchboard check`: the effective settings, and whether a server could start with them.

use switchboard_server::run;

use crate::args::Check;
use crate::cmd::serve::failure;
use crate::output::Failure;
use crate::settings;
use crate::streams::{print, print_error_line};

/// Prints the settings as a TOML file that gives the same settings, and on stderr what the operator should know. Fails
/// as `serve` would.
pub(crate) async fn run(check: &Check) -> Result<(), Failure> {
    let loaded = settings::load(&check.settings.sources())?;
    loaded.check_access().map_err(|error| Failure::Usage(error.into()))?;
    let of_machine = match check.settings_only {
        true => Vec::new(),
        false => run::check(&loaded).await.map_err(failure)?,
    };
    let warnings = loaded.warnings.iter().chain(&of_machine);
    warnings.for_each(|warning| print_error_line(format_args!("warning: {warning}")));
    print(format_args!("{}", loaded.config.to_toml()));
    Ok(())
}
