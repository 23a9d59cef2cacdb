//! Samples by figure, as nodes and the HTTP API pass them on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A part of a ring of one node or of several.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// The numbers of the samples, ascending: their times in units of the interval since 1970.
    pub(crate) samples: Vec<u64>,
    /// The values of each figure, one for each sample. A figure that is 0 in all of them is left out.
    pub(crate) figures: BTreeMap<String, Vec<f32>>,
}
