//! Webhooks of a node without Redis.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::backplane::{ClientAction, ClientMessage, Report, ReportSink};
use switchboard::{App, Name, Payload, Protocol, Socket, SocketId};
use switchboard_hooks::{
    EndpointOptions, EndpointState, EventKind, OutgoingOptions, RoomPattern, Signer, WebhookOptions, Webhooks,
};
use switchboard_testkit::{TestServer, name, soon};

use crate::backend::{Action, Backend, until};

pub(crate) fn endpoint(backend: &Backend, name: &str, events: &[EventKind]) -> EndpointOptions {
    let outgoing = OutgoingOptions {
        allow_private: true,
        timeout: Duration::from_millis(500),
        ..OutgoingOptions::default()
    };
    EndpointOptions { outgoing, ..EndpointOptions::new(name, &backend.url(), events) }
}

pub(crate) fn options(endpoints: Vec<EndpointOptions>) -> WebhookOptions {
    let (retry_min, retry_max) = (Duration::from_millis(10), Duration::from_millis(100));
    WebhookOptions { endpoints, retry_min, retry_max, ..WebhookOptions::default() }
}

/// A message with a number, of one of some sockets.
pub(crate) fn numbered(socket: SocketId, number: usize) -> Report {
    let (kind, data) = (Some(Name::new("/n").unwrap()), Payload::of(&number).unwrap());
    Report {
        project: name("default"),
        socket,
        protocol: None,
        user: None,
        time_ms: u64::MAX / 2,
        action: ClientAction::Message(ClientMessage { op: 0, kind, data, reply_to: None }),
    }
}

/// For each socket, the numbers of its messages in the order of their arrival, without repetitions.
pub(crate) fn first_arrivals(reports: &[Value]) -> (BTreeMap<String, Vec<u64>>, usize) {
    let (mut arrivals, mut repetitions) = (BTreeMap::<String, Vec<u64>>::new(), 0);
    let mut seen = HashMap::new();
    for report in reports {
        match seen.insert(report["id"].to_string(), ()) {
            Some(()) => repetitions += 1,
            None => arrivals
                .entry(report["socket"].to_string())
                .or_default()
                .push(report["data"].as_u64().expect("a number")),
        }
    }
    (arrivals, repetitions)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actions_of_a_client_are_reported_in_order_and_signed() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let backend = Backend::start(|_| Action::status(204)).await;
    let is_of_client = |kind: &EventKind| !matches!(kind, EventKind::Occupied | EventKind::Vacated);
    let events: Vec<_> = EventKind::ALL.into_iter().filter(is_of_client).collect();
    let endpoint = EndpointOptions { secrets: vec![SECRET.into()], ..endpoint(&backend, "all", &events) };
    let webhooks = Webhooks::start(&options(vec![endpoint])).unwrap();
    let app = App::new().with_webhook_sink(webhooks.sink(None)).on("@connection", async |socket: Socket| {
        let _ = socket.login("ann");
        let _ = socket.join("#lobby");
    });
    let server = TestServer::start(app).await;
    let mut peer = server.peer().await;
    let reply = peer.request("/unknown", json!({ "a": 1 })).await;
    assert_eq!(reply["error"], "No handler for: /unknown");
    peer.emit("/hi", json!({ "b": 2 })).await;
    peer.send_close(1000).await;
    backend.report(|report| report["type"] == "disconnected").await;
    let reports = backend.reports();
    let kinds: Vec<&str> = reports.iter().filter_map(|report| report["type"].as_str()).collect();
    assert_eq!(kinds, ["connected", "joined", "message", "message", "left", "disconnected"], "{reports:?}");
    let socket = &reports[0]["socket"];
    assert!(reports.iter().all(|report| report["socket"] == *socket && report["protocol"] == "emit"));
    assert_eq!((&reports[1]["room"], &reports[1]["user"]), (&json!("#lobby"), &json!("ann")));
    assert_eq!((&reports[3]["event"], &reports[3]["data"]), (&json!("/hi"), &json!({ "b": 2 })));
    assert_eq!((&reports[5]["code"], &reports[5]["user"]), (&json!(1000), &json!("ann")));
    for request in &*backend.requests() {
        let header = |name: &str| request.headers[name].as_str();
        let time = header("webhook-timestamp").parse().unwrap();
        let expected =
            Signer::new([SECRET]).unwrap().headers(header("webhook-id"), time, request.body.as_bytes());
        assert_eq!(header("webhook-signature"), expected["webhook-signature"]);
        assert_eq!((&*request.path, header("content-type")), ("/hook", "application/json"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_receives_its_events_projects_and_rooms_only() {
    let backend = Backend::start(|_| Action::status(200)).await;
    let rooms = Some(RoomPattern::new("chat-*").unwrap());
    let endpoint = EndpointOptions { rooms, ..endpoint(&backend, "rooms", &[EventKind::Joined]) };
    let webhooks = Webhooks::start(&options(vec![endpoint])).unwrap();
    let sink = webhooks.sink(None);
    let report = |project: &str, action| {
        sink.report(Report { project: name(project), action, ..numbered(SocketId::random(), 0) });
    };
    let room = |name: &str| name.try_into().unwrap();
    report("default", ClientAction::Connected);
    report("default", ClientAction::Left(room("chat-1")));
    report("default", ClientAction::Joined(room("news")));
    report("other", ClientAction::Joined(room("chat-2")));
    report("default", ClientAction::Joined(room("chat-3")));
    soon("the reports are sent", webhooks.stop()).await;
    let rooms: Vec<Value> = backend.reports().iter().map(|report| report["room"].clone()).collect();
    assert_eq!(rooms, ["#chat-3"]);
    assert!(!sink.accepts(&name("default"), false), "no endpoint receives messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_report_is_lost_and_order_is_kept_while_the_endpoint_fails_in_every_way() {
    const SOCKETS: usize = 40;
    const EACH: usize = 100;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let mut backend = Backend::start(move |_| match count.fetch_add(1, Ordering::Relaxed) % 8 {
        0 => Action::status(500),
        1 => Action::Hang,
        2 => Action::Close,
        3 => Action::Break,
        4 => Action::Answer(429, "retry-after: 0\r\n", String::new()),
        _ => Action::status(200),
    })
    .await;
    let webhooks = Webhooks::start(&options(vec![endpoint(&backend, "one", &[EventKind::Message])])).unwrap();
    let sink = webhooks.sink(None);
    let sockets: Vec<SocketId> = (0..SOCKETS).map(|_| SocketId::random()).collect();
    for number in 0..EACH {
        sockets.iter().for_each(|socket| sink.report(numbered(*socket, number)));
        if number == EACH / 2 {
            backend.die().await;
            until("a call fails", async || webhooks.status()[0].failures > 0).await;
            backend.come_back().await;
        }
    }
    until("everything is accepted", async || webhooks.status()[0].delivered as usize == SOCKETS * EACH).await;
    let (arrivals, repetitions) = first_arrivals(&backend.reports());
    assert_eq!(arrivals.len(), SOCKETS);
    let in_order: Vec<u64> = (0..EACH as u64).collect();
    assert!(arrivals.values().all(|numbers| *numbers == in_order), "a report is lost or out of order");
    assert!(repetitions > 0, "calls without a response are repeated");
    assert_eq!(webhooks.status()[0].backlog, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_reported_as_occupied_once_and_as_vacated_if_it_stays_empty() {
    let backend = Backend::start(|_| Action::status(200)).await;
    let events = [EventKind::Occupied, EventKind::Vacated];
    let rooms = Some(RoomPattern::new("chat-*").unwrap());
    let endpoints = vec![EndpointOptions { rooms, ..endpoint(&backend, "rooms", &events) }];
    let never = WebhookOptions { vacated_after: Duration::from_secs(3600), ..options(endpoints.clone()) };
    let webhooks = Webhooks::start(&never).unwrap();
    let sink = webhooks.sink(None);
    let change = |sink: &Arc<dyn ReportSink>, room: &str, joined: bool| {
        let action = if joined { ClientAction::Joined } else { ClientAction::Left };
        let protocol = Some(Protocol::Emit);
        let report = numbered(SocketId::random(), 0);
        sink.report(Report { protocol, action: action(room.try_into().unwrap()), ..report });
    };
    for (room, joined) in [("chat-1", true), ("chat-1", true), ("chat-1", false), ("news", true)] {
        change(&sink, room, joined);
    }
    // Empty for less than an hour.
    for joined in [false, true, false, true] {
        change(&sink, "chat-1", joined);
    }
    webhooks.report_empty_rooms().await;
    change(&sink, "chat-1", false);
    webhooks.report_empty_rooms().await;
    change(&sink, "chat-1", true);
    webhooks.report_empty_rooms().await;
    soon("the reports are sent", webhooks.stop()).await;
    let kinds = || -> Vec<Value> {
        backend
            .reports()
            .iter()
            .map(|report| json!([report["type"], report["room"], report["socket"]]))
            .collect()
    };
    let of = |kind: &str| json!([kind, "#chat-1", Value::Null]);
    assert_eq!(kinds(), [of("occupied"), of("vacated"), of("occupied")]);

    let soon_vacated = WebhookOptions { vacated_after: Duration::from_millis(1), ..options(endpoints) };
    let webhooks = Webhooks::start(&soon_vacated).unwrap();
    let sink = webhooks.sink(None);
    change(&sink, "chat-2", true);
    backend.report(|report| *report == json!({ "type": "occupied", "room": "#chat-2", "id": report["id"], "time": report["time"], "project": "default" })).await;
    change(&sink, "chat-2", false);
    backend.report(|report| report["type"] == "vacated" && report["room"] == "#chat-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_has_the_same_id_and_body() {
    let calls = AtomicUsize::new(0);
    let decide =
        move |_: &_| Action::status(if calls.fetch_add(1, Ordering::Relaxed) < 3 { 503 } else { 200 });
    let backend = Backend::start(decide).await;
    let webhooks = Webhooks::start(&options(vec![endpoint(&backend, "one", &[EventKind::Message])])).unwrap();
    webhooks.sink(None).report(numbered(SocketId::random(), 7));
    until("the report is accepted", async || webhooks.status()[0].delivered == 1).await;
    let requests = backend.requests();
    assert_eq!(requests.len(), 4);
    let first = (&requests[0].headers["webhook-id"], &requests[0].body);
    assert!(requests.iter().all(|request| (&request.headers["webhook-id"], &request.body) == first));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_does_not_delay_another() {
    let (slow, fast) =
        (Backend::start(|_| Action::Hang).await, Backend::start(|_| Action::status(200)).await);
    let endpoints = [(&slow, "slow"), (&fast, "fast")];
    let endpoints = endpoints.map(|(backend, name)| endpoint(backend, name, &[EventKind::Message]));
    let webhooks = Webhooks::start(&options(endpoints.into())).unwrap();
    let sink = webhooks.sink(None);
    (0..1000).for_each(|number| sink.report(numbered(SocketId::random(), number)));
    until("the other receives everything", async || webhooks.status()[1].delivered == 1000).await;
    let slow = &webhooks.status()[0];
    assert_eq!((slow.delivered, slow.backlog), (0, 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_answers_410_receives_nothing_until_a_replay() {
    let backend = Backend::start(|_| Action::status(410)).await;
    let webhooks =
        Webhooks::start(&options(vec![endpoint(&backend, "gone", &[EventKind::Message])])).unwrap();
    let (sink, socket) = (webhooks.sink(None), SocketId::random());
    sink.report(numbered(socket, 1));
    let is_stopped = || webhooks.status()[0].state == EndpointState::Stopped;
    until("it is stopped", async || is_stopped()).await;
    sink.report(numbered(socket, 2));
    assert_eq!((backend.requests().len(), webhooks.status()[0].backlog), (1, 2));
    assert!(!webhooks.replay("other"));
    assert!(webhooks.replay("gone"));
    until("it is called again", async || backend.requests().len() == 2 && is_stopped()).await;
    backend.decide(|_| Action::status(200));
    assert!(webhooks.replay("gone"));
    until("its reports are accepted", async || webhooks.status()[0].delivered == 2).await;
    assert_eq!(webhooks.status()[0].state, EndpointState::Delivering);
    let (arrivals, _) = first_arrivals(&backend.reports());
    assert_eq!(arrivals.into_values().collect::<Vec<_>>(), [[1, 2]], "their order is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_an_endpoint_that_has_answered_410() {
    let backend = Backend::start(|_| Action::status(410)).await;
    let webhooks =
        Webhooks::start(&options(vec![endpoint(&backend, "gone", &[EventKind::Message])])).unwrap();
    webhooks.sink(None).report(numbered(SocketId::random(), 1));
    until("it is stopped", async || webhooks.status()[0].state == EndpointState::Stopped).await;
    soon("the stop ends", webhooks.stop()).await;
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_ends_the_pause_after_a_failed_call() {
    let backend = Backend::start(|_| Action::Answer(503, "retry-after: 3600\r\n", String::new())).await;
    let endpoint = EndpointOptions {
        secrets: Vec::new(),
        url: format!("{}?token=secret", backend.url()),
        ..endpoint(&backend, "one", &[EventKind::Message])
    };
    let webhooks = Webhooks::start(&options(vec![endpoint])).unwrap();
    webhooks.sink(None).report(numbered(SocketId::random(), 7));
    until("a call has failed", async || webhooks.status()[0].state == EndpointState::Failing).await;
    let status = &webhooks.status()[0];
    assert_eq!((&status.url, status.backlog), (&backend.url(), 1), "the query is not shown");
    assert!(status.last_error.as_ref().is_some_and(|error| error.contains("503")), "{status:?}");
    backend.decide(|_| Action::status(200));
    until("the report is accepted", async || {
        webhooks.replay("one");
        webhooks.status()[0].delivered == 1
    })
    .await;
    assert_eq!(webhooks.status()[0].last_error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_beyond_the_bounds_of_bytes_and_age_are_dropped() {
    let backend = Backend::start(|_| Action::status(500)).await;
    let bounded = WebhookOptions {
        queue_bytes_max: 2000,
        age_max: Duration::from_millis(1),
        ..options(vec![endpoint(&backend, "bounded", &[EventKind::Message])])
    };
    let webhooks = Webhooks::start(&bounded).unwrap();
    let (sink, socket) = (webhooks.sink(None), SocketId::random());
    (0..1000).for_each(|number| sink.report(numbered(socket, number)));
    let backlog = webhooks.status()[0].backlog;
    assert!((1..20).contains(&backlog), "{backlog}");
    // Reports from the future are never too old; these are from 1970.
    let backend = Backend::start(|_| Action::status(500)).await;
    let aged =
        WebhookOptions { endpoints: vec![endpoint(&backend, "aged", &[EventKind::Message])], ..bounded };
    let webhooks = Webhooks::start(&aged).unwrap();
    webhooks.sink(None).report(Report { time_ms: 1, ..numbered(socket, 0) });
    until("it was tried", async || !backend.requests().is_empty()).await;
    until("it is dropped", async || webhooks.status()[0].backlog == 0).await;
    assert_eq!(webhooks.status()[0].delivered, 0);
}
