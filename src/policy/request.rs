//! What is asked of the rules, and how it becomes a request of Cedar's.

use cedar_policy::{Context, Entities, EntityUid, Request, RestrictedExpression};
use jiff::tz::TimeZone;
use ruma::UserId;
use serde_json::json;

use super::{
    Rules,
    names::{self, READ_AUDIT, READ_OUTPUT, TOTAL},
    schema::team_groups,
};
use crate::{
    catalogue::Ops,
    model::{Digest, Invocation, Timestamp, Value},
};

/// A question to the rules. There is no display name in it, and no text of a message.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks, by whole MXID.
    pub principal: &'a UserId,
    /// Their power level in the room.
    pub power_level: i64,
    /// The room, by the key of its file.
    pub room: &'a str,
    /// The time of the decision.
    pub now: Timestamp,
    /// What they want to do.
    pub action: Action<'a>,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// To run a command, a built-in one included.
    Run(&'a Invocation),
    /// To read the audit log of the room by another way than a command.
    ReadAudit,
    /// To read the kept output of a request.
    ReadOutput {
        /// The command of that request.
        command: &'a str,
        /// Who sent it.
        requester: &'a UserId,
        /// The system it acted on.
        subject: Option<&'a str>,
    },
}

impl Action<'_> {
    /// The digest of exactly this.
    pub(super) fn digest(&self, room: &str) -> Digest {
        match self {
            Self::Run(invocation) => invocation.digest(),
            Self::ReadAudit => Digest::of_parts([READ_AUDIT.as_bytes(), room.as_bytes()]),
            Self::ReadOutput { command, requester, subject } => Digest::of_parts([
                READ_OUTPUT.as_bytes(),
                command.as_bytes(),
                requester.as_bytes(),
                subject.unwrap_or_default().as_bytes(),
            ]),
        }
    }
}

/// A question that Cedar can answer.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) entities: Entities,
    /// Request and entity slice, for the record.
    pub(super) inputs: serde_json::Value,
}

impl Rules {
    /// Makes Cedar's request, validated by the schema, and the entities that rules can get to from it.
    ///
    /// # Errors
    ///
    /// Why the question cannot be asked at all, in words.
    pub(super) fn ask(&self, question: &Question<'_>) -> Result<Asked, String> {
        let principal = names::user(question.principal.as_str());
        let room = names::room(question.room);
        if !self.world.has(&room) {
            return Err(format!("there is no room `{}` in the ops folder", question.room));
        }
        let (name, subject) = match question.action {
            Action::Run(invocation) => (invocation.command.as_str(), invocation.subject.as_deref()),
            Action::ReadAudit => (READ_AUDIT, None),
            Action::ReadOutput { subject, .. } => (READ_OUTPUT, subject),
        };
        let action = names::action(name);
        if !self.world.has(&action) {
            return Err(format!("there is no command `{name}` in the ops folder"));
        }
        let resource = match subject.map(names::system) {
            Some(system) if !self.world.has(&system) => {
                return Err(format!("there is no system `{}` in the ops folder", system.id().unescaped()));
            }
            Some(system) => system,
            None => room.clone(),
        };

        let mut named = vec![resource.clone(), room.clone(), action.clone()];
        let mut context = vec![
            ("room".to_owned(), RestrictedExpression::new_entity_uid(room)),
            ("time".to_owned(), time(question.now)?),
            ("approvals".to_owned(), self.no_approvals.clone()),
        ];
        match question.action {
            Action::Run(invocation) => {
                let arguments = invocation
                    .arguments
                    .iter()
                    .map(|(name, value)| (name.clone(), argument(value, &mut named)));
                context.push(("arguments".to_owned(), record(arguments.collect())?));
            }
            Action::ReadAudit => {}
            Action::ReadOutput { command, requester, .. } => {
                let requester = names::user(requester.as_str());
                context.push(("command".to_owned(), RestrictedExpression::new_string(command.to_owned())));
                context
                    .push(("requester".to_owned(), RestrictedExpression::new_entity_uid(requester.clone())));
                named.push(requester);
            }
        }
        named.extend(self.literals.iter().cloned());

        let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
        let slice = self.world.slice(question.principal, question.power_level, named);
        let (slice, recorded): (Vec<_>, Vec<_>) = slice.into_values().unzip();
        let entities = Entities::from_entities(slice, None).map_err(|error| error.to_string())?;
        let inputs = json!({
            "principal": principal.to_string(),
            "action": action.to_string(),
            "resource": resource.to_string(),
            "context": context.to_json_value().map_err(|error| error.to_string())?,
            "entities": recorded,
        });
        let request = Request::new(principal, action, resource, context, Some(&self.schema))
            .map_err(|error| error.to_string())?;
        Ok(Asked { request, entities, inputs })
    }
}

/// `context.approvals` of what nobody has approved.
pub(super) fn no_approvals(ops: &Ops) -> RestrictedExpression {
    let none =
        team_groups(ops).chain([TOTAL.to_owned()]).map(|name| (name, RestrictedExpression::new_long(0)));
    RestrictedExpression::new_record(none).expect("names of teams are the keys of a map, so none comes twice")
}

fn record(pairs: Vec<(String, RestrictedExpression)>) -> Result<RestrictedExpression, String> {
    RestrictedExpression::new_record(pairs).map_err(|error| error.to_string())
}

/// An argument's value; the entities it names are added to `named`.
fn argument(value: &Value, named: &mut Vec<EntityUid>) -> RestrictedExpression {
    let mut entity = |uid: EntityUid| {
        named.push(uid.clone());
        RestrictedExpression::new_entity_uid(uid)
    };
    match value {
        Value::Text(text) | Value::Choice(text) => RestrictedExpression::new_string(text.clone()),
        Value::Integer(number) => RestrictedExpression::new_long(*number),
        Value::Boolean(yes) => RestrictedExpression::new_bool(*yes),
        Value::Duration(seconds) => RestrictedExpression::new_duration(format!("{seconds}s")),
        Value::User(id) => entity(names::user(id.as_str())),
        Value::Room(id) => RestrictedExpression::new_string(id.to_string()),
        Value::System(key) => entity(names::system(key)),
        Value::List(values) => RestrictedExpression::new_set(
            values.iter().map(|value| argument(value, named)).collect::<Vec<_>>(),
        ),
    }
}

fn time(now: Timestamp) -> Result<RestrictedExpression, String> {
    let at = now.to_zoned(TimeZone::UTC);
    let weekday = WEEKDAYS[usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or_default()];
    record(vec![
        (
            "now".to_owned(),
            RestrictedExpression::new_datetime(at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
        ),
        ("weekday".to_owned(), RestrictedExpression::new_string(weekday.to_owned())),
        ("hour".to_owned(), RestrictedExpression::new_long(at.hour().into())),
        ("minute".to_owned(), RestrictedExpression::new_long(at.minute().into())),
    ])
}

/// The names of `context.time.weekday`.
pub(super) const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
