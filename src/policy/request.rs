//! What is asked of the rules, and how it becomes a request of Cedar's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cedar_policy::{Context, EntityUid, Request, RestrictedExpression};
use ruma::{OwnedUserId, UserId};
use serde_json::json;

use super::{
    Inputs, Rules,
    inputs::At,
    names::{self, APPROVE, CANCEL, DENY, READ_AUDIT, READ_OUTPUT, TOTAL},
    scene::Scene,
    seen::Seen,
};
use crate::{
    catalogue::Effect,
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
    /// Who has approved it. The one who asks never counts, and nobody counts twice.
    pub approvals: &'a BTreeSet<OwnedUserId>,
    /// Whether the one who asks has confirmed it.
    pub confirmed: bool,
    /// The teams that the one who asks is a member of for a while.
    pub elevated: &'a BTreeSet<String>,
    /// The built-in command by which it is said, where one was typed: leave for the one is leave for the other.
    pub said: Option<&'a Invocation>,
}

/// Nobody, and no team: what most questions have for approvals and elevation.
static NOBODY: BTreeSet<OwnedUserId> = BTreeSet::new();
static NO_TEAM: BTreeSet<String> = BTreeSet::new();

impl<'a> Question<'a> {
    /// A question of somebody whom nobody has approved, who has confirmed nothing and is nothing for a while.
    pub const fn new(
        principal: &'a UserId,
        power_level: i64,
        room: &'a str,
        now: Timestamp,
        action: Action<'a>,
    ) -> Self {
        let (approvals, elevated) = (&NOBODY, &NO_TEAM);
        Self { principal, power_level, room, now, action, approvals, confirmed: false, elevated, said: None }
    }
}

impl Question<'_> {
    /// The entities that it names beside principal, action and resource.
    fn names(&self) -> Vec<EntityUid> {
        let mut named = vec![names::room(self.room)];
        for value in self.action.arguments().into_iter().flat_map(BTreeMap::values) {
            named_by(value, &mut named);
        }
        named.extend(self.action.of_request().map(|of| names::user(of.requester.as_str())));
        named
    }

    /// The digest of what leave is given for.
    pub(super) fn digest(&self) -> Digest {
        self.said.map_or_else(|| self.action.digest(self.room), Invocation::digest)
    }

    /// Whether somebody takes back what they asked for themselves, or reads what came of it: no rule need permit that,
    /// though one may forbid it.
    pub(super) fn is_about_ones_own(&self) -> bool {
        matches!(
            self.action,
            Action::Cancel { requester, .. } | Action::ReadOutput { requester, .. } if requester == self.principal
        )
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// To run a command, a built-in one included.
    Run(&'a Invocation),
    /// To approve somebody's request.
    Approve {
        /// What would be run.
        of: &'a Invocation,
        /// Who wants to.
        requester: &'a UserId,
    },
    /// To refuse somebody's request.
    Deny {
        /// What would be run.
        of: &'a Invocation,
        /// Who wants to.
        requester: &'a UserId,
    },
    /// To stop somebody's request, or to take it back.
    Cancel {
        /// What is run, or would be.
        of: &'a Invocation,
        /// Who wants to, or wanted to.
        requester: &'a UserId,
    },
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

/// The request that an action is about.
pub(super) struct OfRequest<'a> {
    pub(super) command: &'a str,
    pub(super) requester: &'a UserId,
}

impl<'a> Action<'a> {
    /// Its name in the rules.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Run(invocation) => &invocation.command,
            Self::Approve { .. } => APPROVE,
            Self::Deny { .. } => DENY,
            Self::Cancel { .. } => CANCEL,
            Self::ReadAudit => READ_AUDIT,
            Self::ReadOutput { .. } => READ_OUTPUT,
        }
    }

    /// The system that it is done to; where there is none, it is the room.
    fn subject(&self) -> Option<&'a str> {
        match self {
            Self::Run(of) | Self::Approve { of, .. } | Self::Deny { of, .. } | Self::Cancel { of, .. } => {
                of.subject.as_deref()
            }
            Self::ReadOutput { subject, .. } => *subject,
            Self::ReadAudit => None,
        }
    }

    /// What is bound, where it is to run a command.
    pub(super) fn arguments(&self) -> Option<&'a BTreeMap<String, Value>> {
        match self {
            Self::Run(invocation) => Some(&invocation.arguments),
            _ => None,
        }
    }

    /// Whether it is about a dry run.
    pub(super) const fn is_dry(&self) -> bool {
        match self {
            Self::Run(of) | Self::Approve { of, .. } | Self::Deny { of, .. } | Self::Cancel { of, .. } => {
                of.dry
            }
            Self::ReadAudit | Self::ReadOutput { .. } => false,
        }
    }

    /// Whether time, approvals and a confirmation can change the answer.
    ///
    /// Who may see what was printed is decided once for everybody there: no circumstance changes it.
    pub(super) fn knows_circumstances(&self) -> bool {
        !matches!(self, Self::ReadOutput { .. })
    }

    pub(super) fn of_request(&self) -> Option<OfRequest<'a>> {
        match *self {
            Self::Approve { of, requester }
            | Self::Deny { of, requester }
            | Self::Cancel { of, requester } => Some(OfRequest { command: &of.command, requester }),
            Self::ReadOutput { command, requester, .. } => Some(OfRequest { command, requester }),
            Self::Run(_) | Self::ReadAudit => None,
        }
    }

    /// The digest of exactly this.
    pub(super) fn digest(&self, room: &str) -> Digest {
        match self {
            Self::Run(invocation) => invocation.digest(),
            Self::Approve { of, requester }
            | Self::Deny { of, requester }
            | Self::Cancel { of, requester } => Digest::of_parts([
                self.name().as_bytes(),
                requester.as_bytes(),
                of.digest().as_bytes().as_slice(),
            ]),
            Self::ReadAudit => Digest::of_parts([self.name().as_bytes(), room.as_bytes()]),
            Self::ReadOutput { command, requester, subject } => Digest::of_parts([
                READ_OUTPUT.as_bytes(),
                command.as_bytes(),
                requester.as_bytes(),
                subject.unwrap_or_default().as_bytes(),
            ]),
        }
    }

    /// What it is, for the record of a question that could not even be asked.
    pub(super) fn recorded(&self) -> serde_json::Value {
        match self {
            Self::Run(invocation) => json!(invocation),
            Self::Approve { of, requester }
            | Self::Deny { of, requester }
            | Self::Cancel { of, requester } => {
                json!({ self.name(): of, "requester": requester })
            }
            Self::ReadAudit => json!(self.name()),
            Self::ReadOutput { command, requester, subject } => {
                json!({ READ_OUTPUT: command, "requester": requester, "subject": subject })
            }
        }
    }
}

/// A question that Cedar can answer.
pub(super) struct Asked {
    pub(super) request: Request,
    /// The entities that rules can get to from it, and the rules that are about it.
    pub(super) scene: Arc<Scene>,
    /// Request and entity slice, for the record.
    pub(super) inputs: Inputs,
}

impl Rules {
    /// The action and the resource of a question.
    ///
    /// # Errors
    ///
    /// Which of them the ops folder does not have.
    pub(super) fn target(&self, question: &Question<'_>) -> Result<(EntityUid, EntityUid), String> {
        let room = names::room(question.room);
        if !self.world.has(&room) {
            return Err(format!("there is no room `{}` in the ops folder", question.room));
        }
        let name = question.action.name();
        let action = names::action(name);
        if !self.world.has(&action) {
            return Err(format!("there is no command `{name}` in the ops folder"));
        }
        match question.action.subject().map(names::system) {
            Some(system) if !self.world.has(&system) => {
                Err(format!("there is no system `{}` in the ops folder", system.id().unescaped()))
            }
            Some(system) => Ok((action, system)),
            None => Ok((action, room)),
        }
    }

    /// Makes Cedar's request, validated by the schema, and the entities that rules can get to from it.
    ///
    /// # Errors
    ///
    /// Why the question cannot be asked at all, in words.
    pub(super) fn ask(&self, question: &Question<'_>) -> Result<Asked, String> {
        let (action, resource) = self.target(question)?;
        let named = question.names();
        let scene = self.scene(question, action, resource, named)?;
        let at = At::new(question.now, &self.zone);
        let inputs = self.inputs(question, &scene, &at)?;
        let fits = self.shapes.fits(&question.action);
        // What no rule looks at changes no verdict; Cedar, where it is to find a fault, is shown everything.
        let context = if fits {
            self.context_of(question, &at, &scene.seen)
        } else {
            self.whole_context(question, &at)
        }?;
        let schema = (!fits).then_some(&self.schema);
        let [principal, action, resource] =
            [&scene.principal, &scene.action, &scene.resource].map(EntityUid::clone);
        let request =
            Request::new(principal, action, resource, context, schema).map_err(|error| error.to_string())?;
        Ok(Asked { request, scene, inputs })
    }

    /// The context of a question, whole.
    ///
    /// # Errors
    ///
    /// Why Cedar does not take it, in words.
    pub(super) fn whole_context(&self, question: &Question<'_>, at: &At) -> Result<Context, String> {
        self.context_of(question, at, &Seen::everything())
    }

    /// As much of the context of a question as is looked at.
    fn context_of(&self, question: &Question<'_>, at: &At, seen: &Seen) -> Result<Context, String> {
        let mut context = Vec::new();
        let mut member = |name: &str, value: &dyn Fn() -> Result<RestrictedExpression, String>| {
            if seen.member(name) {
                context.push((name.to_owned(), value()?));
            }
            Ok::<_, String>(())
        };
        member("room", &|| Ok(RestrictedExpression::new_entity_uid(names::room(question.room))))?;
        if question.action.knows_circumstances() {
            member("time", &|| time(at, seen))?;
            member("approvals", &|| self.approvals(question))?;
            member("confirmed", &|| Ok(RestrictedExpression::new_bool(question.confirmed)))?;
            member("dry", &|| Ok(RestrictedExpression::new_bool(question.action.is_dry())))?;
        }
        if let Some(arguments) = question.action.arguments() {
            let bound = || arguments.iter().map(|(name, value)| (name.clone(), argument(value)));
            member("arguments", &|| record(bound().collect()))?;
        }
        if let Some(OfRequest { command, requester }) = question.action.of_request() {
            member("command", &|| Ok(RestrictedExpression::new_string(command.to_owned())))?;
            member("effect", &|| {
                Ok(RestrictedExpression::new_string(self.effect(command).name().to_owned()))
            })?;
            member("requester", &|| {
                Ok(RestrictedExpression::new_entity_uid(names::user(requester.as_str())))
            })?;
        }
        Context::from_pairs(context).map_err(|error| error.to_string())
    }

    /// What a command does to the world. Of one that is no more the worst is to be thought.
    pub(super) fn effect(&self, command: &str) -> Effect {
        self.effects.get(command).copied().unwrap_or(Effect::Danger)
    }

    /// `context.approvals`: how many people have approved, of each group and in all.
    fn approvals(&self, question: &Question<'_>) -> Result<RestrictedExpression, String> {
        let count =
            |name: &String| (name.clone(), RestrictedExpression::new_long(self.given(question, name)));
        record(self.counted.iter().map(count).collect())
    }

    /// How many distinct people of a group have approved, the one who asks never among them. Teams that
    /// somebody is in for a while do not make an approver.
    pub(super) fn given(&self, question: &Question<'_>, name: &str) -> i64 {
        if question.approvals.is_empty() {
            return 0;
        }
        let group = names::team(name);
        let others = question.approvals.iter().filter(|who| **who != question.principal);
        let counted = others.filter(|who| name == TOTAL || self.world.belongs(who, &group)).count();
        i64::try_from(counted).unwrap_or(i64::MAX)
    }
}

fn record(pairs: Vec<(String, RestrictedExpression)>) -> Result<RestrictedExpression, String> {
    RestrictedExpression::new_record(pairs).map_err(|error| error.to_string())
}

/// An argument's value.
pub(super) fn argument(value: &Value) -> RestrictedExpression {
    match value {
        Value::Text(text) | Value::Choice(text) => RestrictedExpression::new_string(text.clone()),
        Value::Integer(number) => RestrictedExpression::new_long(*number),
        Value::Boolean(yes) => RestrictedExpression::new_bool(*yes),
        Value::Duration(seconds) => RestrictedExpression::new_duration(format!("{seconds}s")),
        Value::User(id) => RestrictedExpression::new_entity_uid(names::user(id.as_str())),
        Value::Room(id) => RestrictedExpression::new_string(id.to_string()),
        Value::System(key) => RestrictedExpression::new_entity_uid(names::system(key)),
        Value::List(values) => RestrictedExpression::new_set(values.iter().map(argument).collect::<Vec<_>>()),
    }
}

/// The entities that an argument names.
fn named_by(value: &Value, named: &mut Vec<EntityUid>) {
    match value {
        Value::User(id) => named.push(names::user(id.as_str())),
        Value::System(key) => named.push(names::system(key)),
        Value::List(values) => values.iter().for_each(|value| named_by(value, named)),
        Value::Text(_)
        | Value::Choice(_)
        | Value::Integer(_)
        | Value::Boolean(_)
        | Value::Duration(_)
        | Value::Room(_) => {}
    }
}

/// As much of a time as is looked at.
fn time(at: &At, seen: &Seen) -> Result<RestrictedExpression, String> {
    let mut fields = Vec::new();
    let mut field = |name: &str, value: &dyn Fn() -> RestrictedExpression| {
        if seen.field("time", name) {
            fields.push((name.to_owned(), value()));
        }
    };
    field("now", &|| RestrictedExpression::new_datetime(at.now.clone()));
    field("weekday", &|| RestrictedExpression::new_string(at.weekday.to_owned()));
    field("hour", &|| RestrictedExpression::new_long(at.hour));
    field("minute", &|| RestrictedExpression::new_long(at.minute));
    record(fields)
}

/// The names of `context.time.weekday`.
pub(super) const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
