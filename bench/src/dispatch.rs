//! A dispatcher process sends to many users through the Redis behind their servers.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::peer::Peer;
use crate::process::Process;
use crate::report::Report;
use crate::room::Room;
use crate::scenario::{Bench, ROOM, all_at_once};

/// Default number of users.
const USERS: usize = 1000;

/// Messages before the measurement, so that one-time work of server and dispatcher is done.
const WARM_UP: u64 = 50;

impl Bench {
    /// Each connection logs in with a token of its own and receives the messages to its user.
    pub(crate) async fn dispatch(&self) -> Result<Report> {
        let mut room = Room::new(vec![], self.users().await?)?;
        let mut dispatcher = self.dispatcher().await?;
        room.send_by(dispatcher.stdin.take().context("stdin and stdout are piped")?);
        let users = self.options.connections.unwrap_or(USERS) as u64;
        let (rate, messages) = self.rate(20.0);
        room.settle().await?;
        room.send_at_rate(WARM_UP, rate, |_| self.data(ROOM)).await?;
        room.all_received(WARM_UP * users).await?;
        room.settle().await?;

        let process = Process::new(dispatcher.id().context("the dispatcher has ended")?);
        let (start, before) = (self.start()?, process.cpu()?);
        let messages = if self.options.closed {
            room.send_windows(self.options.window, self.duration(), || self.data(ROOM)).await?
        } else {
            room.send_at_rate(messages, rate, |_| self.data(ROOM)).await?;
            messages
        };
        let deliveries = messages * users;
        room.all_received(deliveries).await?;
        // Work after a delivery, such as its acknowledgement, is part of the cost.
        room.quiet().await?;
        let used = process.cpu()? - before;
        let report = self.report_of_messages(messages, deliveries, start)?;
        room.all_received_exactly(deliveries)?;

        let nodes = report.cpu_us.unwrap_or_default();
        let redis = report.redis.as_ref().map_or(0.0, |redis| redis.cpu_us / users as f64);
        let dispatcher = used.as_secs_f64() * 1e6 / deliveries as f64;
        let all = nodes + redis + dispatcher;
        let parts_cpu_us =
            BTreeMap::from([("all", all), ("nodes", nodes), ("redis", redis), ("dispatcher", dispatcher)]);
        Ok(Report { latency_us: Some(room.latency()), parts_cpu_us, ..report })
    }

    /// One logged-in connection per user.
    async fn users(&self) -> Result<Vec<Peer>> {
        let count = self.connections(USERS)?;
        let file = self.options.tokens.as_ref().context("this scenario needs --tokens")?;
        let tokens = fs::read_to_string(file).context("the tokens cannot be read")?;
        let tokens: Vec<&str> = tokens.lines().collect();
        ensure!(tokens.len() >= count, "{count} connections need as many tokens");
        let protocol = self.options.protocol;
        all_at_once(count, |number| {
            let (server, token) = (self.server(number), tokens[number].to_owned());
            async move {
                let mut peer = Peer::connect(server, protocol, &protocol.path(None), number).await?;
                // For Mesa, the room's name is the token.
                peer.join(&token).await?;
                Ok(peer)
            }
        })
        .await
    }

    /// Starts the dispatcher and waits until it prints that it is ready.
    async fn dispatcher(&self) -> Result<Child> {
        let command = self.options.dispatcher.as_deref().context("this scenario needs --dispatcher")?;
        let mut words = command.split_whitespace();
        let mut process = Command::new(words.next().context("the command is empty")?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the dispatcher does not start")?;
        let stdout = process.stdout.take().context("stdin and stdout are piped")?;
        let ready = BufReader::new(stdout).lines().next_line().await?;
        ensure!(ready.is_some(), "the dispatcher does not start");
        Ok(process)
    }
}
