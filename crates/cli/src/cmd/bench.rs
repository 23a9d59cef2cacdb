//! `switchboard bench`: what a load costs a server.

use switchboard_bench::Options;

/// Runs one scenario and prints its figures.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let report = switchboard_bench::run(options).await?;
    match options.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{report}"),
    }
    Ok(())
}
