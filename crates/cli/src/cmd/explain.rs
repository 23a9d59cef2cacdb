//! `switchboard explain`: what became of a traced message, or whether a message would arrive.

use serde_json::Value;
use switchboard_log::Printable;

use super::api_client::Call;
use crate::args::api::Explain;
use crate::output::{Failure, print_json};
use crate::streams::print_line;

/// Prints the sentences of the server.
pub(crate) async fn run(explain: &Explain) -> Result<(), Failure> {
    let client = explain.api.client()?;
    let mut query = explain.api.parameters();
    let answer = match &explain.trace {
        Some(trace) => client.call(Call::get(&["traces", trace], &query)).await?,
        None => {
            let sender = explain.sender.map(|sender| sender.to_string());
            let parts = [
                ("to", explain.to.as_deref()),
                ("event", explain.event.as_deref()),
                ("sender", sender.as_deref()),
                ("user", explain.user.as_deref()),
            ];
            query.extend(parts.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
            client.call(Call::get(&["explain"], &query)).await?
        }
    };
    if explain.api.json {
        print_json(&answer.to_string());
    } else {
        let sentences = answer["sentences"].as_array().into_iter().flatten();
        sentences.filter_map(Value::as_str).for_each(|sentence| print_line(Printable(sentence)));
    }
    Ok(())
}
