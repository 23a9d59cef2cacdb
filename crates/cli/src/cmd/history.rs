//! `switchboard history`: prints the messages that a room keeps.

use switchboard_log::Printable;

use crate::args::History;
use crate::cmd::api_client::{ApiClient, Call};
use crate::output::Failure;
use crate::streams::print_line;

/// Prints a line for each message: its offset, its event and its data.
pub(crate) async fn run(history: &History) -> Result<(), Failure> {
    let History { room, url, key, namespace, after, before, limit } = history;
    let offset = |offset: &Option<u64>| offset.map(|offset| offset.to_string());
    let parameters = [
        ("after", offset(after)),
        ("before", offset(before)),
        ("limit", Some(limit.to_string())),
        ("project", namespace.clone()),
    ];
    let parameters: Vec<_> =
        parameters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let client = ApiClient::new(url, key.as_deref())?;
    let page = client.call(Call::get(&["rooms", room, "history"], &parameters)).await?;
    for message in page["messages"].as_array().into_iter().flatten() {
        let (event, data) = (message["event"].as_str().unwrap_or_default(), message["data"].to_string());
        print_line(format_args!("{}\t{}\t{}", message["offset"], Printable(event), Printable(&data)));
    }
    Ok(())
}
