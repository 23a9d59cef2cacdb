//! `GET /api/v1/figures`: figures over time, of one node or of all nodes added up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use switchboard::backplane::NodeId;
use utoipa::{IntoParams, ToSchema};

use super::endpoint::Context;
use super::node_id::parse_node;
use super::problem::{Problem, query};
use crate::figures::{Range, Series};
use crate::node_answers::{self, FiguresQuery};

/// Which figures.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FigureQuery {
    /// `hour`: the last hour, every 5 s; or `day`: the last day, every minute.
    #[serde(default = "hour")]
    #[param(value_type = String, required = false, default = "hour", example = "hour")]
    range: Range,
    /// Only this node. Default: all nodes, added up.
    node: Option<String>,
    /// Only samples after the one with this number.
    #[serde(default)]
    after: u64,
}

fn hour() -> Range {
    Range::Hour
}

/// Figures over time.
#[derive(Serialize, ToSchema)]
pub(super) struct FigureList {
    /// Time between two samples, in ms.
    #[schema(example = 5000)]
    interval_ms: u64,
    /// The numbers of the samples, ascending: their times in units of `interval_ms` since 1970.
    #[schema(example = json!([356_219_520]))]
    samples: Vec<u64>,
    /// The values of each figure, one for each sample: of counters the increase in the interval, otherwise the level. A figure
    /// that is 0 in all of them is left out.
    #[schema(example = json!({ "connections_emit": [12.0] }))]
    figures: BTreeMap<String, Vec<f32>>,
    /// The nodes whose figures these are.
    #[schema(example = json!(["0badcafe"]))]
    nodes: Vec<String>,
    /// Nodes that did not answer.
    missing: Vec<String>,
    /// True if Redis does not answer which nodes there are, so the figures are those of this node. Otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    degraded: Option<bool>,
}

/// Returns figures over time from the memory of the nodes: connections, messages, deliveries, closes, handlers, queues. Needs
/// a key that is valid for all projects.
#[utoipa::path(
    get,
    path = "/api/v1/figures",
    params(FigureQuery),
    responses((status = 200, description = "The figures", body = FigureList))
)]
pub(super) async fn endpoint(context: Context, request: FigureQuery) -> Result<FigureList, Problem> {
    let state = context.server()?;
    let FigureQuery { range, node, after } = request;
    let nodes: Vec<NodeId> = node.iter().map(|node| parse_node(node)).collect::<Result<_, _>>()?;
    let asked = FiguresQuery { range, after };
    let mut degraded = None;
    let answers = match node_answers::figures(&state.app, asked, &nodes).await {
        Ok(answers) => answers,
        Err(_) => {
            degraded = Some(true);
            let this = state.app.hub().bus().node();
            node_answers::figures(&state.app, asked, &[this]).await.map_err(query)?
        }
    };
    let (mut answered, mut missing, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (node, series) in answers {
        match series {
            Some(series) => {
                answered.push(node.to_string());
                all.push(series);
            }
            None => missing.push(node.to_string()),
        }
    }
    let Series { samples, figures } = state.figures.add(&all);
    Ok(FigureList { interval_ms: range.interval_ms(), samples, figures, nodes: answered, missing, degraded })
}
