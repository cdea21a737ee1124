//! The names of the rules' language: entity types, action groups, reserved words.

use std::{str::FromStr as _, sync::LazyLock};

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

/// The group that every command is in.
pub(super) const RUN: &str = "run";
/// The group of all teams' leads.
pub(super) const LEADS: &str = "leads";
/// The attribute of `context.approvals` that counts distinct people, whatever their teams.
pub(super) const TOTAL: &str = "total";
/// Reading the audit log by another way than a command.
pub(super) const READ_AUDIT: &str = "read_audit";
/// Reading the kept output of somebody's request.
pub(super) const READ_OUTPUT: &str = "read_output";

/// Approving somebody's request.
pub(super) const APPROVE: &str = "approve";
/// Refusing somebody's request.
pub(super) const DENY: &str = "deny";
/// Stopping somebody's request.
pub(super) const CANCEL: &str = "cancel";
/// What can be done about a request.
pub(super) const ABOUT_REQUESTS: [&str; 3] = [APPROVE, DENY, CANCEL];

/// Putting another version of the ops folder in force: a built-in command.
pub(super) const RELOAD: &str = "reload";

/// The names of actions that no command of an ops folder may have.
pub(super) const RESERVED_ACTIONS: &[&str] =
    &["read", "change", "danger", RUN, APPROVE, DENY, CANCEL, READ_AUDIT, READ_OUTPUT];

/// The group of a team's leads.
pub(super) fn leads_of(team: &str) -> String {
    format!("{team}-{LEADS}")
}

/// The group of the actions that have a tag. No command's name holds a colon, so none can clash.
pub(super) fn tag_group(tag: &str) -> String {
    format!("tag:{tag}")
}

macro_rules! entity_types {
    ($($constant:ident $function:ident $name:literal;)*) => {$(
        pub(super) static $constant: LazyLock<EntityTypeName> =
            LazyLock::new(|| EntityTypeName::from_str($name).expect("a constant that is an identifier"));

        pub(super) fn $function(id: &str) -> EntityUid {
            EntityUid::from_type_name_and_id($constant.clone(), EntityId::new(id))
        }
    )*};
}

entity_types! {
    ACTION action "Action";
    ENVIRONMENT environment "Environment";
    ROOM room "Room";
    SYSTEM system "System";
    TEAM team "Team";
    USER user "User";
}
