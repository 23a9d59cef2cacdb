//! Two apps on one bus are one server.

use std::sync::Arc;

use serde_json::json;
use switchboard::{App, LocalBus};
use switchboard_testkit::TestServer;

use crate::app;

#[tokio::test]
async fn sends_reach_the_sockets_of_other_nodes_once() {
    let mut buses = LocalBus::connected(2).into_iter();
    let mut start = async || {
        let bus = Arc::new(buses.next().unwrap());
        TestServer::start(app().with_bus(bus)).await
    };
    let (one, two) = (start().await, start().await);
    let (mut near, mut far) = (one.peer().await, two.peer().await);
    near.request("/join", json!("r")).await;
    far.request("/join", json!("r")).await;
    let far_id = two.app.all_socket_ids().await.unwrap()[0];
    two.app.set_user_online("7", far_id).await.unwrap();

    assert_eq!(near.request("/say", json!(["#r", "over"])).await, 0, "nobody else on this node");
    assert_eq!(far.next_event().await, ("said".into(), json!("over")));
    let app: &App = &one.app;
    app.emit_to(far_id, "direct", &1).unwrap();
    app.emit_to_user("7", "user", &2).unwrap();
    app.to("#r").local().emit("local", &3).unwrap();
    app.broadcast("all", &4).unwrap();
    for expected in [("direct", 1), ("user", 2), ("all", 4)] {
        assert_eq!(far.next_event().await, (expected.0.into(), json!(expected.1)));
    }
    assert_eq!(near.next_event().await.0, "local");
    assert_eq!(near.next_event().await.0, "all");
    far.quiet().await;
    near.quiet().await;
}
