//! The server behaves as the transcripts in `spec/transcripts/` describe.

use std::fs;
use std::path::{Path, PathBuf};

use switchboard::App;
use switchboard_server::config::Sources;
use switchboard_server::{Config, Mode, Server};
use switchboard_testkit::{Scratch, TestServer, transcript};

fn folder(protocol: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts").join(protocol)
}

async fn play_all(server: &str, protocol: &str) {
    let mut played = 0;
    for file in fs::read_dir(folder(protocol)).expect("the transcripts are there") {
        let path = file.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a transcript is text");
        transcript::play(server, &path.display().to_string(), &text).await;
        played += 1;
    }
    assert!(played > 0);
}

#[tokio::test]
async fn every_transcript_of_the_demo_plays() {
    let server = TestServer::start(Mode::Demo.install(App::new())).await;
    play_all(&server.url(""), "emit").await;
}

#[tokio::test]
async fn every_transcript_of_koji_plays() {
    play_with_settings(Mode::Serve, "koji").await;
}

#[tokio::test]
async fn every_transcript_of_mesa_plays() {
    play_with_settings(Mode::Demo, "mesa").await;
}

#[tokio::test]
async fn every_transcript_of_mesa_by_default_plays() {
    play_with_settings(Mode::Demo, "mesa-defaults").await;
}

#[tokio::test]
async fn every_transcript_of_mesa_with_heartbeats_plays() {
    play_with_settings(Mode::Demo, "mesa-heartbeats").await;
}

#[tokio::test]
async fn every_transcript_of_mesa_without_users_plays() {
    play_with_settings(Mode::Demo, "mesa-no-user-object").await;
}

#[tokio::test]
async fn every_transcript_of_mesa_with_required_tokens_plays() {
    play_with_settings(Mode::Demo, "mesa-required").await;
}

#[tokio::test]
async fn every_transcript_of_mesa_with_client_versions_plays() {
    play_with_settings(Mode::Demo, "mesa-versions").await;
}

/// Plays the transcripts of a folder against the server with the settings in that folder.
async fn play_with_settings(mode: Mode, protocol: &str) {
    let scratch = Scratch::new();
    let inbox = format!("inbox.path={}", scratch.file("inbox.redb"));
    let settings = folder(protocol).join("settings.toml");
    let sources = Sources::new(Some(&settings), &["listen=127.0.0.1:0".into(), inbox]);
    let loaded = Config::load_from(&sources).unwrap_or_else(|error| panic!("{error}"));
    let server = Server::new(sources, loaded, mode);
    let (ready, address) = tokio::sync::oneshot::channel();
    let serving = server.run(|banner| ready.send(address_in(banner)).expect("the test waits for the banner"));
    let playing = async { play_all(&address.await.expect("the server starts"), protocol).await };
    tokio::select! {
        ended = serving => panic!("the server ended: {ended:?}"),
        () = playing => {}
    }
}

/// The address of clients in the banner, such as `ws://127.0.0.1:3000`.
fn address_in(banner: &str) -> String {
    let address = banner.split_whitespace().find(|word| word.starts_with("ws://"));
    address.expect("the banner has the address").trim_end_matches('/').to_owned()
}
