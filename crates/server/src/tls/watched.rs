//! The state of files that are read again and again, and the log lines about it.

use std::error::Error;
use std::path::Path;

use metrics::counter;
use switchboard_log::{limited, printable, with_causes};

/// Whether the files could be used when they were last read. A failure is reported only if the next read fails, too,
/// because the files may be replaced one after the other.
#[derive(Debug, Default)]
pub(super) struct Watched {
    has_failed: bool,
    is_reported: bool,
}

impl Watched {
    /// Returns true if the failure has been reported.
    pub(super) fn is_reported(&self) -> bool {
        self.is_reported
    }

    /// The files have the contents in use.
    pub(super) fn recovered(&mut self) {
        *self = Watched::default();
    }

    /// Other contents are used now.
    pub(super) fn replaced(&mut self, path: &Path) {
        self.recovered();
        count_reload(true);
        limited!(
            INFO,
            certificate = printable(path.display()),
            "certificate replaced; open connections stay open"
        );
    }

    /// The files cannot be used.
    pub(super) fn failed(&mut self, path: &Path, error: &(impl Error + 'static)) {
        if !self.has_failed {
            self.has_failed = true;
        } else if !self.is_reported {
            self.is_reported = true;
            count_reload(false);
            limited!(
                ERROR,
                certificate = printable(path.display()),
                error = printable(with_causes(error)),
                "certificate not replaced; the previous one stays in use"
            );
        }
    }
}

/// Counts a certificate that is used from now on, or cannot be used.
pub(super) fn count_reload(is_applied: bool) {
    let outcome = if is_applied { "applied" } else { "failed" };
    counter!("switchboard_tls_reloads_total", "outcome" => outcome).increment(1);
}
