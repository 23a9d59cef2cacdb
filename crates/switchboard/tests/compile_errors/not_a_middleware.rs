use switchboard::App;

fn main() {
    let _ = App::new().middleware("log");
}
