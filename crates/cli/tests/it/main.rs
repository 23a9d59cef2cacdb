//! The binary as its user meets it.

mod api;
mod clients;
mod command;
mod nodes;
mod proxies;
mod support;
