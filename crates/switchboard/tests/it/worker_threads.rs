//! Connections on worker threads.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::{Value, json};
use switchboard::net::WorkerThreads;
use switchboard::{App, Reply};
use switchboard_testkit::{Peer, TestServer, soon};
use tokio::sync::mpsc;

use crate::app;

/// Replies with the name of the thread that runs the handler.
async fn thread_name() -> Reply<Option<String>> {
    Reply(thread::current().name().map(str::to_owned))
}

/// A server on worker threads, and a peer on each thread.
async fn on_two_threads(app: App) -> (TestServer, [Peer; 2]) {
    let threads = WorkerThreads::start(2).unwrap();
    let server = TestServer::start_on(app.on("/thread", thread_name), &threads).await;
    let peers = [server.peer().await, server.peer().await];
    (server, peers)
}

#[tokio::test]
async fn connections_are_spread_over_the_threads_and_each_stays_on_its_own() {
    let (_server, mut peers) = on_two_threads(app()).await;
    let mut names = BTreeSet::new();
    for peer in &mut peers {
        let name = peer.request("/thread", json!({})).await;
        assert_eq!(peer.request("/thread", json!({})).await, name);
        names.insert(name.to_string());
    }
    assert_eq!(Vec::from_iter(names), [r#""worker-0""#, r#""worker-1""#]);
}

#[tokio::test]
async fn messages_to_a_room_reach_the_members_on_every_thread_in_order() {
    let (server, mut peers) = on_two_threads(app()).await;
    let mut sender = server.peer().await;
    for peer in &mut peers {
        peer.request("/join", json!("#lobby")).await;
    }
    for number in 0..100 {
        assert_eq!(sender.request("/send", json!(["#lobby", number])).await, json!(2));
    }
    for peer in &mut peers {
        for number in 0..100 {
            assert_eq!(peer.next_event().await, ("message".into(), json!(number)));
        }
    }
}

#[tokio::test]
async fn a_handler_that_blocks_delays_only_the_connections_of_its_thread() {
    let released = Arc::new((Mutex::new(false), Condvar::new()));
    let (starts, mut started) = mpsc::channel(1);
    let (blocked, releasing) = (released.clone(), released);
    let app = app()
        .on("/block", move || {
            let (released, starts) = (blocked.clone(), starts.clone());
            async move {
                starts.try_send(()).unwrap();
                let guard = released.0.lock().unwrap();
                drop(released.1.wait_while(guard, |is_released| !*is_released).unwrap());
                Reply("released")
            }
        })
        .on("/release", move || {
            *releasing.0.lock().unwrap() = true;
            releasing.1.notify_all();
            async {}
        });
    let (_server, [mut one, mut other]) = on_two_threads(app).await;
    let blocking = async { one.request("/block", json!({})).await };
    let releasing = async {
        soon("the handler blocks", started.recv()).await.unwrap();
        assert_eq!(other.request("/release", json!({})).await, Value::Null);
    };
    assert_eq!(tokio::join!(blocking, releasing).0, json!("released"));
}

#[tokio::test]
async fn a_stop_closes_connections_on_every_thread_and_waits_for_their_handlers() {
    let (starts, mut started) = mpsc::channel(2);
    let (finishes, mut finished) = mpsc::channel(2);
    let app = app().on("/slow", move || {
        let (starts, finishes) = (starts.clone(), finishes.clone());
        async move {
            starts.try_send(()).unwrap();
            tokio::task::yield_now().await;
            finishes.try_send(()).unwrap();
        }
    });
    let (mut server, mut peers) = on_two_threads(app).await;
    for peer in &mut peers {
        peer.emit("/slow", json!({})).await;
        soon("the handler runs", started.recv()).await.unwrap();
    }
    server.begin_stop();
    for peer in &mut peers {
        assert_eq!(peer.closed().await, (1012, "the server restarts".into()));
    }
    drop(peers);
    server.stopped().await;
    assert!(finished.try_recv().is_ok() && finished.try_recv().is_ok());
}

#[tokio::test]
async fn an_app_may_be_served_by_several_listeners_on_the_same_threads() {
    let threads = WorkerThreads::start(2).unwrap();
    let app = app();
    let (public, private) =
        (TestServer::start_on(app.clone(), &threads).await, TestServer::start_on(app, &threads).await);
    let (mut one, mut other) = (public.peer().await, private.peer().await);
    one.request("/join", json!("#lobby")).await;
    assert_eq!(other.request("/send", json!(["#lobby", "hello"])).await, json!(1));
    assert_eq!(one.next_event().await, ("message".into(), json!("hello")));
}
