//! Webhooks of a node without Redis that copies their queues to a file.

use std::time::Duration;

use switchboard::SocketId;
use switchboard_hooks::{EndpointOptions, EventKind, WebhookOptions, Webhooks};
use switchboard_testkit::{Scratch, soon};

use crate::backend::{Action, Backend, until};
use crate::local::{endpoint, first_arrivals, numbered, options};

fn with_file(path: &str, endpoints: Vec<EndpointOptions>) -> WebhookOptions {
    WebhookOptions { file: Some(path.into()), ..options(endpoints) }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_were_not_accepted_are_delivered_in_order_after_a_restart() {
    const EACH: usize = 50;
    let (scratch, backend) = (Scratch::new(), Backend::start(|_| Action::status(500)).await);
    let path = scratch.file("hooks.redb");
    let start = || {
        Webhooks::start(&with_file(&path, vec![endpoint(&backend, "one", &[EventKind::Message])])).unwrap()
    };
    let sockets: Vec<SocketId> = (0..10).map(|_| SocketId::random()).collect();
    let report = |webhooks: &Webhooks, numbers: std::ops::Range<usize>| {
        let sink = webhooks.sink(None);
        numbers.for_each(|number| sockets.iter().for_each(|socket| sink.report(numbered(*socket, number))));
    };
    let first = start();
    report(&first, 0..EACH);
    until("it is tried", async || first.status()[0].failures > 0).await;
    soon("the stop ends", first.stop()).await;
    drop(first);
    let second = start();
    assert_eq!(second.status()[0].backlog, sockets.len() * EACH);
    backend.decide(|_| Action::status(200));
    report(&second, EACH..2 * EACH);
    let all = sockets.len() * EACH * 2;
    until("all are accepted", async || second.status()[0].delivered as usize == all).await;
    soon("the stop ends", second.stop()).await;
    drop(second);
    let (arrivals, _) = first_arrivals(&backend.reports());
    let in_order: Vec<u64> = (0..2 * EACH as u64).collect();
    assert!(arrivals.len() == sockets.len() && arrivals.values().all(|numbers| *numbers == in_order));
    assert_eq!(start().status()[0].backlog, 0, "the file is empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_an_endpoint_that_is_not_in_the_settings_are_kept_until_they_are_too_old() {
    let (scratch, backend) = (Scratch::new(), Backend::start(|_| Action::status(500)).await);
    let path = scratch.file("hooks.redb");
    let one = || vec![endpoint(&backend, "one", &[EventKind::Message])];
    let other = || vec![endpoint(&backend, "other", &[EventKind::Message])];
    let ageless = WebhookOptions { age_max: Duration::MAX, ..with_file(&path, one()) };
    let webhooks = Webhooks::start(&ageless).unwrap();
    let sink = webhooks.sink(None);
    for time_ms in [1, u64::MAX / 2] {
        sink.report(switchboard::backplane::Report { time_ms, ..numbered(SocketId::random(), 1) });
    }
    until("it is tried", async || webhooks.status()[0].failures > 0).await;
    soon("the stop ends", webhooks.stop()).await;
    drop((sink, webhooks));
    let webhooks = Webhooks::start(&with_file(&path, other())).unwrap();
    assert_eq!(webhooks.status()[0].backlog, 0);
    soon("the stop ends", webhooks.stop()).await;
    drop(webhooks);
    let webhooks = Webhooks::start(&ageless).unwrap();
    assert_eq!(webhooks.status()[0].backlog, 1, "that of 1970 was removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_use_is_an_error_with_its_path() {
    let (scratch, backend) = (Scratch::new(), Backend::start(|_| Action::status(200)).await);
    let path = scratch.file("hooks.redb");
    let options = with_file(&path, vec![endpoint(&backend, "one", &[EventKind::Message])]);
    let _webhooks = Webhooks::start(&options).unwrap();
    let error = Webhooks::start(&options).err().expect("it is refused").to_string();
    assert!(error.contains(&path), "{error}");
}
