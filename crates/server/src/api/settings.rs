//! `GET /api/v1/settings`: the settings in effect on this node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Context;
use super::problem::Problem;
use crate::reload_handle::{Reloaded, SettingsView, ShownSetting};

/// Nothing to choose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {}

/// The settings in effect on this node.
#[derive(Serialize, ToSchema)]
pub(super) struct SettingList {
    /// The settings, in the order of their keys.
    settings: Vec<SettingEntry>,
    /// Settings that a reload would change.
    #[schema(example = json!(["limits.messages_per_s"]))]
    reload_applies: Vec<String>,
    /// Settings that have changed and would take effect at the next start.
    needs_restart: Vec<String>,
    /// Why a reload would fail. Left out if it would not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reload_error: Option<String>,
}

/// A setting.
#[derive(Serialize, ToSchema)]
pub(super) struct SettingEntry {
    /// The key.
    #[schema(example = "limits.messages_per_s")]
    key: String,
    /// The value, as TOML. A secret is `"***"`.
    #[schema(example = "50")]
    value: String,
    /// The file and line, the variable or the flag that sets it. Left out for a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "switchboard.toml:12")]
    source: Option<String>,
}

impl From<ShownSetting> for SettingEntry {
    fn from(ShownSetting { key, value, source }: ShownSetting) -> Self {
        SettingEntry { key, value, source }
    }
}

/// Lists the settings in effect on this node without their secrets, and what a reload would change. Needs a key that is valid
/// for all projects.
#[utoipa::path(
    get,
    path = "/api/v1/settings",
    responses((status = 200, description = "The settings", body = SettingList))
)]
pub(super) async fn endpoint(context: Context, _: Settings) -> Result<SettingList, Problem> {
    let Some(view) = context.server()?.reload.show().await else { return Err(Problem::unknown()) };
    let SettingsView { settings, reload } = view;
    let (reload_applies, needs_restart, reload_error) = match reload {
        Ok(Reloaded { applied, needs_restart }) => (applied, needs_restart, None),
        Err(error) => (Vec::new(), Vec::new(), Some(error)),
    };
    let settings = settings.into_iter().map(SettingEntry::from).collect();
    Ok(SettingList { settings, reload_applies, needs_restart, reload_error })
}
