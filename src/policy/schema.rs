//! The Cedar schema, generated from the catalogue.
//!
//! It is why a rule that names an argument which doesn't exist fails `check` and not production:
//! every command is an action with the types of its own arguments. Names are always quoted, so that
//! an argument called `dry-run` or `in` works: `context.arguments["dry-run"]`.

use std::fmt::Write as _;

use super::names::{
    ABOUT_REQUESTS, LEADS, READ_AUDIT, READ_OUTPUT, RESERVED_ACTIONS, RUN, leads_of, tag_group,
};
use crate::catalogue::{AUTHORITY, ArgumentType, Command, Effect, Ops};

/// What stands in every schema: the things that rules speak of.
const THINGS: &str = r"
// A team, the group of a team's leads, or all leads.
entity Team in [Team];

// A person, by whole MXID.
entity User in [Team] = {
  homeserver: String,
  power_level: Long, // in the room of the command; only of who sends it
};

entity Environment;

// What is operated: `web@production`, in `web` and in its environment.
entity System in [System, Environment] = {
  owner: Team,
  owner_leads: Team,
  criticality: String, // low, normal, high
};

entity Room;

// When the command is decided. Weekday, hour and minute are those of `time_zone` in quarterdeck.toml (default UTC).
type Time = {
  now: datetime,
  weekday: String, // monday to sunday
  hour: Long,
  minute: Long,
};
";

/// What every decision but that on output knows beside what it is about.
const CIRCUMSTANCES: &str = "\"time\": Time, \"approvals\": Approvals, \"confirmed\": Bool, \"dry\": Bool";
/// What is known of the request that somebody wants to do something about.
const OF_REQUEST: &str = "\"command\": String, \"effect\": String, \"requester\": User";

/// The schema of an ops folder, in Cedar's own language.
pub(super) fn generate(ops: &Ops, counted: &[String]) -> String {
    let mut text = String::from("// Generated from the ops folder: change the folder, not this.\n");
    text.push_str(THINGS);
    approvals(&mut text, counted);
    groups(&mut text, ops);
    text.push_str("\n// What is no command.\n");
    for name in ABOUT_REQUESTS {
        own(&mut text, name, &format!("{OF_REQUEST}, {CIRCUMSTANCES}"));
    }
    own(&mut text, READ_AUDIT, CIRCUMSTANCES);
    // Who may see what was printed is decided once, for everybody there: no time, no approval changes it.
    own(&mut text, READ_OUTPUT, OF_REQUEST);
    // A built-in of the same name is decided by that action, not as a command.
    for command in ops.commands.values().filter(|command| !RESERVED_ACTIONS.contains(&command.name.as_str()))
    {
        action(&mut text, command);
    }
    text
}

/// The groups of the rules' people: teams, each team's leads, all leads.
pub(super) fn team_groups(ops: &Ops) -> impl Iterator<Item = String> {
    ops.teams.keys().flat_map(|team| [team.clone(), leads_of(team)]).chain([LEADS.to_owned()])
}

fn approvals(text: &mut String, counted: &[String]) {
    text.push_str(
        "\n// How many people, other than the requester, have approved: all, and of each team.\ntype Approvals = {\n",
    );
    for name in counted {
        line(text, format_args!("  {}: Long,", quoted(name)));
    }
    text.push_str("};\n");
}

fn groups(text: &mut String, ops: &Ops) {
    text.push_str("\n// Groups of commands: all, by effect, by tag.\n");
    line(text, format_args!("action \"{RUN}\";"));
    for effect in [Effect::Read, Effect::Change, Effect::Danger] {
        line(text, format_args!("action \"{}\";", effect.name()));
    }
    for tag in ops.tags() {
        line(text, format_args!("action {};", quoted(&tag_group(tag))));
    }
}

fn own(text: &mut String, name: &str, attributes: &str) {
    line(
        text,
        format_args!(
            "action {} appliesTo {{\n  principal: [User],\n  resource: [Room, System],\n  \
             context: {{ \"room\": Room, {attributes} }}\n}};",
            quoted(name)
        ),
    );
}

fn action(text: &mut String, command: &Command) {
    // What changes who may do what is in no group of all commands, so that nobody has it by accident.
    let authority = command.tags.contains(AUTHORITY);
    let general = [RUN.to_owned(), command.effect.name().to_owned()];
    let groups: Vec<_> = general
        .into_iter()
        .filter(|_| !authority)
        .chain(command.tags.iter().map(|tag| tag_group(tag)))
        .map(|group| quoted(&group))
        .collect();
    line(text, format_args!("\n// {}", command.summary.replace(char::is_control, " ")));
    line(text, format_args!("action {} in [{}] appliesTo {{", quoted(&command.name), groups.join(", ")));
    line(text, format_args!("  principal: [User],"));
    let resource = if command.subject.is_some() { "System" } else { "Room" };
    line(text, format_args!("  resource: [{resource}],\n  context: {{\n    \"arguments\": {{"));
    for argument in &command.arguments {
        let optional = if argument.required || argument.default.is_some() { "" } else { "?" };
        line(
            text,
            format_args!("      {}{optional}: {},", quoted(&argument.name), cedar_type(&argument.kind)),
        );
    }
    text.push_str(
        "    },\n    \"room\": Room,\n    \"time\": Time,\n    \"approvals\": Approvals,\n    \"confirmed\": Bool,\n    \"dry\": Bool,\n  }\n};\n",
    );
}

fn cedar_type(kind: &ArgumentType) -> String {
    match kind {
        ArgumentType::Text { .. } | ArgumentType::Choice(_) | ArgumentType::Room => "String".to_owned(),
        ArgumentType::Integer { .. } => "Long".to_owned(),
        ArgumentType::Boolean => "Bool".to_owned(),
        ArgumentType::Duration { .. } => "duration".to_owned(),
        ArgumentType::User => "User".to_owned(),
        ArgumentType::System => "System".to_owned(),
        ArgumentType::List { items, .. } => format!("Set<{}>", cedar_type(items)),
    }
}

/// A string literal of Cedar.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
    text.push('\n');
}
