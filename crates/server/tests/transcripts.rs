//! The demo says what the transcripts say.

use std::fs;
use std::path::Path;

use switchboard::App;
use switchboard_server::Mode;
use switchboard_testkit::{TestServer, transcript};

#[tokio::test]
async fn every_transcript_of_the_demo_plays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts/emit");
    let server = TestServer::start(Mode::Demo.install(App::new())).await;
    let mut played = 0;
    for file in fs::read_dir(folder).expect("the transcripts are there") {
        let path = file.expect("a readable folder").path();
        let text = fs::read_to_string(&path).expect("a transcript is text");
        transcript::play(&server, &path.display().to_string(), &text).await;
        played += 1;
    }
    assert!(played > 0);
}
