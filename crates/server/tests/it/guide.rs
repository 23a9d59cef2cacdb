//! The TOML blocks of the configuration guide are valid settings.

use switchboard_server::Config;
use switchboard_testkit::Scratch;

#[test]
fn every_toml_block_of_the_configuration_guide_loads() {
    let scratch = Scratch::new();
    let guide = include_str!("../../../../docs/guides/configuration.md");
    let blocks: Vec<&str> =
        guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 5, "{} blocks", blocks.len());
    for (at, block) in blocks.iter().enumerate() {
        let file = scratch.file(&format!("{at}.toml"));
        std::fs::write(&file, block).expect("the folder is the test's own");
        Config::load(Some(file.as_ref()), &[]).unwrap_or_else(|error| panic!("{error}\n{block}"));
    }
}
