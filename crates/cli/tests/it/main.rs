//! The binary as its user meets it.

mod command;
mod nodes;
mod support;
