//! The binary as its user meets it.

mod api;
mod clients;
mod command;
mod inbox_faults;
mod nodes;
mod proxies;
mod support;
