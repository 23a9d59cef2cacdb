//! The binary as its user meets it.

mod clients;
mod command;
mod nodes;
mod proxies;
mod support;
