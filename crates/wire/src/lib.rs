//! Text frames to Switchboard events and back: pure functions, one module per dialect.
