//! Ids of nodes in requests.

use switchboard::backplane::NodeId;

use super::problem::Problem;

/// Reads the id of a node: eight hexadecimal digits.
pub(super) fn parse_node(text: &str) -> Result<NodeId, Problem> {
    let is_id = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = is_id.then(|| u32::from_str_radix(text, 16).ok()).flatten();
    id.map(NodeId)
        .ok_or_else(|| Problem::invalid_field("node", "expected the id of a node, such as 0badcafe"))
}
