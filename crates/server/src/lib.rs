//! The Switchboard server as a product: configuration, demo, health, metrics.
