//! `switchboard history`: prints the messages that a room keeps.

use switchboard_log::Printable;

use crate::args::api::History;
use crate::cmd::api_client::Call;
use crate::output::Failure;
use crate::streams::print_line;

/// Prints a line for each message: its offset, its event and its data; with `--json`, the message.
pub(crate) async fn run(history: &History) -> Result<(), Failure> {
    let History { room, after, before, limit, api } = history;
    let offset = |offset: &Option<u64>| offset.map(|offset| offset.to_string());
    let range = [("after", offset(after)), ("before", offset(before)), ("limit", Some(limit.to_string()))];
    let mut parameters = api.parameters();
    parameters.extend(range.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let page = api.client()?.call(Call::get(&["rooms", room, "history"], &parameters)).await?;
    for message in page["messages"].as_array().into_iter().flatten() {
        if api.json {
            api.print(message);
            continue;
        }
        let (event, data) = (message["event"].as_str().unwrap_or_default(), message["data"].to_string());
        print_line(format_args!("{}\t{}\t{}", message["offset"], Printable(event), Printable(&data)));
    }
    Ok(())
}
