//! Names of keys and channels in a Mesa namespace.

/// A name with the namespace's suffix; unchanged without a namespace.
pub(super) fn suffixed(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{name}_{namespace}"),
        None => name.into(),
    }
}
