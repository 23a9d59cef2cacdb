//! The binary as its user meets it.

mod api;
mod backend;
mod clients;
mod command;
mod disconnect;
mod inbox_faults;
mod nodes;
mod proxies;
mod repeats;
mod support;
