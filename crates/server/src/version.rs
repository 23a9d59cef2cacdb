//! The version of the binary, as the log and the metrics show it.

/// The version, commit and compiler of this build. A part is `unknown` if the build could not find it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The version number, such as `0.1.0`.
    pub number: &'static str,
    /// The abbreviated commit.
    pub commit: &'static str,
    /// The date of the commit, such as `2026-11-30`.
    pub date: &'static str,
    /// The version of the compiler.
    pub rustc: &'static str,
}

impl Default for Version {
    /// The version number of this crate, and nothing else.
    fn default() -> Self {
        Version { number: env!("CARGO_PKG_VERSION"), commit: "unknown", date: "unknown", rustc: "unknown" }
    }
}
