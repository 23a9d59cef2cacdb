//! The version of this binary, recorded by `build.rs`.

use switchboard_server::Version;

/// Version, commit and date, as `--version` prints them.
pub(crate) const LINE: &str = env!("BUILT_VERSION");

pub(crate) const VERSION: Version = Version {
    number: env!("CARGO_PKG_VERSION"),
    commit: env!("BUILT_COMMIT"),
    date: env!("BUILT_DATE"),
    rustc: env!("BUILT_RUSTC"),
};
