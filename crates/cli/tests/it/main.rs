//! The binary: its command line, its settings, and several processes at once.

mod acme;
mod api;
mod api_access;
mod api_commands;
mod api_lists;
mod api_sends;
mod backend;
mod check;
mod clients;
mod closed_pipes;
mod command;
mod disconnect;
mod exposure;
mod front_page;
mod history;
mod hooks;
mod idempotency;
mod inbox_faults;
mod inbox_outages;
mod log_lines;
mod metrics;
mod monitoring;
mod moving;
mod nodes;
mod operate;
mod outside_text;
mod proxies;
mod refusals;
mod revocations;
#[cfg(target_os = "linux")]
mod service_manager;
mod shard_attack;
mod signals;
mod support;
mod tls;
mod tokens;
