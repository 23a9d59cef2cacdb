use switchboard::App;

struct Visits;

fn ping(app: &App) {
    let _ = app;
}

fn main() {
    let _ = App::new().plugin(Visits);
    let _ = App::new().plugin(ping);
    let _ = App::new().plugin((|app: App| app, Visits));
}
