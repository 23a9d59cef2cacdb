use switchboard::{App, UserId};

fn notify(app: &App, user: &UserId) {
    let _ = app.to(user).emit("mail", "three unread letters");
    let _ = app.to(7).emit("mail", "three unread letters");
}

fn main() {}
