//! The commands that Quarterdeck answers itself: decided, concluded and answered in one commit.

use ruma::OwnedUserId;

use super::{
    adoption, again,
    answers::PART,
    elevation, erase, explain, login,
    pipeline::Asked,
    posting, prove, ps, reload, schedule,
    seeing::{WhyPrivate, why_private},
    speech, trail,
};
use crate::{
    audit,
    catalogue::System,
    command, knowledge,
    matrix::render::Loudness,
    model::{
        Ending, Event, Invocation, Message, Outcome, OutputSummary, RequestNumber, Span, State, StateMark,
        Timestamp, Value,
    },
    policy::{Action, Decision, Permit},
    storage::{Arrival, Content, ContentKind, Error, InboxRow, Recorded, Request, Work},
};

/// How many passages `!docs` shows.
const PASSAGES: i64 = 3;

/// Answers a built-in command.
pub async fn conclude(
    asked: &Asked<'_>,
    mut work: Work,
    row: &InboxRow,
    permit: Permit,
    invocation: &Invocation,
    understood: bool,
) -> Result<(), Error> {
    if invocation.command == reload::COMMAND {
        return Box::pin(reload::conclude(asked, work, permit, invocation)).await;
    }
    // That it failed is said of the answer itself: `!audit` may well tell of something that failed.
    let (message, failed) = match answer(asked, &mut work, row, (&permit, invocation)).await {
        // Of these an answer that it was not done is no success: a script asks for them, too.
        Ok(message) => {
            let not_done = message.mark == Some(StateMark::Refused);
            (message, not_done && ["again", "erase"].contains(&invocation.command.as_str()))
        }
        Err(error) if error.is_away() || matches!(error, Error::NotAlone) => return Err(error),
        Err(error) => {
            tracing::error!(number = %asked.number, %error, "a built-in command failed");
            // The database's words are for the log: a room is not shown its insides.
            let said = Message::marked(StateMark::Failed).line([Span::text(
                "It could not be answered; the server's log says why. Tell the operators.",
            )]);
            (said, true)
        }
    };
    let outcome = Outcome {
        ending: Ending::Exited { status: i32::from(failed) },
        took_ms: 0,
        output: OutputSummary::empty(),
    };
    work.permitted(asked.number, &permit, invocation, asked.in_force.ops.digest, None).await?;
    let kept = asked.kept(&message);
    work.conclude(permit, asked.number, &outcome, kept.as_deref()).await?;
    if !message.blocks.is_empty() {
        let message = if understood {
            let prefix = &asked.in_force.ops.settings.prefix;
            message.line(speech::understood(prefix, &invocation.to_string()))
        } else {
            message
        };
        let message = asked.says_elevation(message);
        work.send(asked.address.answer(asked.number, outcome.state(), &message, Loudness::Notice));
    }
    metrics::counter!("quarterdeck_requests_total", "state" => outcome.state().name()).increment(1);
    asked.house.conclude(work).await
}

async fn answer(
    asked: &Asked<'_>,
    work: &mut Work,
    row: &InboxRow,
    (permit, invocation): (&Permit, &Invocation),
) -> Result<Message, Error> {
    // What is answered is what was decided.
    if !permit.is_for(invocation) {
        return Err(Error::ForeignPermit { number: asked.number });
    }
    let ops = &asked.in_force.ops;
    let text = |name: &str| match invocation.arguments.get(name) {
        Some(Value::Text(text) | Value::System(text)) => Some(text.as_str()),
        _ => None,
    };
    match invocation.command.as_str() {
        "help" => {
            let now = work.now();
            let ops = asked.in_sight(now);
            Ok(command::help(&ops, asked.room, |command| asked.may_ever(command, now), text("command")))
        }
        "login" => login::login(asked, work, permit).await,
        "commands" => {
            let now = work.now();
            Ok(command::commands(ops, asked.room, |command| asked.may_ever(command, now)))
        }
        "ping" => Ok(pong(asked, work, row)),
        "ps" => ps::ps(asked, work.now()).await,
        "every" => schedule::every(asked, work, permit, invocation).await,
        "schedules" => schedule::list(asked, work.now()).await,
        "unschedule" => match invocation.arguments.get("id") {
            Some(Value::Integer(number)) => {
                schedule::remove(asked, work, permit, RequestNumber(*number)).await
            }
            _ => Ok(Message::plain().line([Span::text("Which one? Its number is missing.")])),
        },
        "docs" => {
            let words = text("words").unwrap_or_default();
            Ok(knowledge::found(words, &asked.house.storage.find_passages(words, PASSAGES).await?))
        }
        "audit" => match invocation.arguments.get("id") {
            Some(Value::Integer(number)) => story(asked, work, RequestNumber(*number)).await,
            _ => trail::search(asked, work, invocation).await,
        },
        "prove" => match invocation.arguments.get("id") {
            Some(Value::Integer(number)) => prove::prove(asked, work, RequestNumber(*number)).await,
            _ => Ok(Message::plain().line([Span::text("Which request? Its number is missing.")])),
        },
        "cosign" => posting::cosign(asked, work, permit, invocation).await,
        "again" => match invocation.arguments.get("id") {
            Some(Value::Integer(number)) => again::again(asked, work, row, RequestNumber(*number)).await,
            _ => Ok(Message::plain().line([Span::text("Which request? Its number is missing.")])),
        },
        "erase" => erase::erase(asked, work, permit, invocation).await,
        "adoption" => adoption::adoption(asked, work, text("system")).await,
        "elevate" => elevation::give(asked, work, permit, invocation).await,
        "status" => status(asked, work, row, text("system")).await,
        "why" => Ok(explain::why(asked, work, invocation)),
        "can" => explain::can(asked, work, invocation).await,
        "rules" => Ok(explain::rules(asked, work.now(), text("id"))),
        other => Ok(Message::marked(StateMark::Failed).line([Span::text(format!(
            "`{other}` is built in, but nothing answers it. Tell the developers."
        ))])),
    }
}

/// The row of a built-in that waited: what its answer needs of the event that carried it.
pub fn row_of(request: &Request) -> InboxRow {
    let external_id =
        request.event_id.as_ref().map_or_else(|| request.number.to_string(), ToString::to_string);
    let mut content = serde_json::json!({ "msgtype": "m.text" });
    if let Some(root) = request.thread_root.as_ref().filter(|root| Some(*root) != request.event_id.as_ref()) {
        content["m.relates_to"] = serde_json::json!({ "rel_type": "m.thread", "event_id": root });
    }
    let raw = serde_json::json!({
        "event_id": external_id, "room_id": request.room, "sender": request.sender, "type": "m.room.message",
        "origin_server_ts": request.claimed_at.as_millisecond(), "content": content,
    });
    InboxRow {
        id: 0,
        source: request.door.clone(),
        external_id,
        lane: request.room.to_string(),
        claimed_at: Some(request.claimed_at),
        received_at: request.received_at,
        raw: raw.to_string().into_bytes(),
    }
}

fn pong(asked: &Asked<'_>, work: &Work, row: &InboxRow) -> Message {
    let waited = work.now().duration_since(row.received_at).as_millis();
    Message::marked(StateMark::Succeeded).line([
        Span::text(format!(
            "Here: the room, the rules and the log work. Decided {waited} ms after arrival · "
        )),
        Span::code(asked.number.to_string()),
    ])
}

async fn story(asked: &Asked<'_>, work: &mut Work, number: RequestNumber) -> Result<Message, Error> {
    reads(asked, work, format!("request {number}"));
    // A request of another room is none of this room's business, and does not even exist here.
    let Some(request) = asked.request_of_here(number).await? else {
        return Ok(Message::plain().line([
            Span::text("There is no request "),
            Span::code(number.to_string()),
            Span::text(" in this room."),
        ]));
    };
    asked.house.storage.tells_of(asked.number, &[number]).await?;
    let (mut entries, mut contents) = asked.house.storage.story(number).await?;
    let sealed = audit::sealed(asked.house.storage.sealed(number).await?.as_ref());
    let told = |entries: &[Recorded], contents: &[Content]| {
        audit::story(&request, entries, contents).line(sealed.clone())
    };
    // Output, or the reason in the words of another host.
    let printed = |recorded: &Recorded| {
        let event = &recorded.entry.event;
        matches!(event, Event::RunFinished { kept, parts, .. } if kept.is_some() || !parts.files.is_empty())
            || event.says_why_elsewhere()
    };
    if !entries.iter().any(printed) {
        return Ok(told(&entries, &contents));
    }
    let Some(why) = asked.why_not_shown_here(&request).await? else {
        return Ok(told(&entries, &contents));
    };
    let whole = asked.may_read_output_of(&request, work.now()).then(|| {
        let message = told(&entries, &contents);
        asked.address.private(asked.number, State::Succeeded, &message, Loudness::Notice, None)
    });
    // What lists a file's parts names it.
    contents.retain(|content| !matches!(content.kind, ContentKind::Output | ContentKind::Whole));
    for recorded in &mut entries {
        recorded.entry.event.withhold_why();
    }
    let message = told(&entries, &contents);
    let Some(drafts) = whole else {
        return Ok(message.line([Span::text("The rules do not let you read here what it printed.")]));
    };
    for draft in drafts {
        work.send(draft);
    }
    let command = request.invocation.as_ref().map_or("it", |invocation| &invocation.command);
    let mut line = vec![Span::text("What it printed went to you alone: ")];
    line.extend(why_private(&why, command));
    Ok(message.line(line))
}

impl Asked<'_> {
    /// Why what a request printed is not shown in this room now, if it is not: to whoever it is told.
    pub(super) async fn why_not_shown_here(&self, request: &Request) -> Result<Option<WhyPrivate>, Error> {
        let Some(invocation) = &request.invocation else {
            return Ok(Some(WhyPrivate::Readers(Vec::new())));
        };
        let command = self.in_force.ops.commands.get(&invocation.command);
        if command.is_none_or(|command| command.private) {
            return Ok(Some(WhyPrivate::Declared));
        }
        let there = self.readers_here().await?;
        let there = there.iter().map(|(who, level)| (&**who, *level));
        let action = Action::ReadOutput {
            command: &invocation.command,
            requester: &request.sender,
            subject: invocation.subject.as_deref(),
        };
        let barred = self.in_force.rules.who_may_not_read(&self.room.key, there, action);
        let barred: Vec<_> = barred.into_iter().map(ToOwned::to_owned).collect();
        Ok((!barred.is_empty()).then_some(WhyPrivate::Readers(barred)))
    }

    /// Who reads what is said in this room now, each with their power: those as well whose coming has arrived and only waits
    /// for its turn.
    pub(super) async fn readers_here(&self) -> Result<Vec<(OwnedUserId, i64)>, Error> {
        let mut people = self.house.storage.people(&self.address.room).await?.joined;
        people.retain(|(who, _)| !self.house.is_ours(who));
        Ok(people)
    }

    /// Whether the rules let the sender read what a request printed.
    fn may_read_output_of(&self, request: &Request, now: Timestamp) -> bool {
        let Some(invocation) = &request.invocation else { return false };
        let action = Action::ReadOutput {
            command: &invocation.command,
            requester: &request.sender,
            subject: invocation.subject.as_deref(),
        };
        matches!(self.decide_action(action, now), Decision::Permitted(_))
    }
}

/// Reading the log is on the log.
pub(super) fn reads(asked: &Asked<'_>, work: &mut Work, query: String) {
    let event = Event::AuditRead { by: asked.sender.to_string(), query };
    work.append(Some(asked.number), Some(&asked.address.room), event);
}

/// `!status`: the systems; `!status SYSTEM`: each of its status lines becomes work of its own, sent by
/// the same person in the same place, and decided like everything else.
async fn status(
    asked: &Asked<'_>,
    work: &mut Work,
    row: &InboxRow,
    system: Option<&str>,
) -> Result<Message, Error> {
    let ops = &asked.in_force.ops;
    let prefix = &ops.settings.prefix;
    let Some(system) = system.and_then(|key| ops.systems.get(key)) else {
        if ops.systems.is_empty() {
            return Ok(Message::plain().line([Span::text("No systems are declared.")]));
        }
        let known = asked.in_sight(work.now());
        if known.systems.is_empty() {
            let none = "No rule lets you do anything with any system here.";
            return Ok(Message::plain().line([Span::text(none)]));
        }
        let items = known.systems.values().map(|system| about(prefix, system)).collect();
        return Ok(Message::plain().line([Span::text("The systems:")]).list(items));
    };
    if system.status.is_empty() {
        return Ok(Message::plain().line([
            Span::text("Nothing is declared that tells how "),
            Span::code(system.key.clone()),
            Span::text(format!(" is: its file systems/{}.toml has no status lines.", system.key)),
        ]));
    }
    for (index, line) in system.status.iter().enumerate() {
        if let Some(raw) = spoken(&row.raw, &format!("{prefix}{line}")) {
            let external_id = format!("{}/{index}", row.external_id);
            let (lane, claimed_at) = (row.lane.clone(), row.claimed_at);
            // Which of how many: whoever waits for the answer learns from any of them how many there are.
            let source = format!("{PART}{}/{}", index + 1, system.status.len());
            let arrival = Arrival { source, external_id, lane, claimed_at, raw };
            work.enqueue(&arrival).await?;
        }
    }
    // The lines' own answers are the answer.
    Ok(Message::plain())
}

fn about(prefix: &str, system: &System) -> Vec<Span> {
    let mut spans = vec![
        Span::strong(system.key.clone()),
        Span::text(format!(" {} · of {} · {}", system.summary, system.owner, system.criticality.name())),
    ];
    if !system.status.is_empty() {
        spans.extend([Span::text(" · "), Span::code(format!("{prefix}status {}", system.key))]);
    }
    spans
}

/// The same event with another line in the place of what it said.
pub(super) fn spoken(raw: &[u8], line: &str) -> Option<Vec<u8>> {
    let mut event: serde_json::Value = serde_json::from_slice(raw).ok()?;
    let relation = event["content"]["m.relates_to"].take();
    event["content"] = serde_json::json!({ "msgtype": "m.text", "body": line });
    if !relation.is_null() {
        event["content"]["m.relates_to"] = relation;
    }
    serde_json::to_vec(&event).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_said_by_the_same_person_in_the_same_thread() {
        let raw = br#"{"sender":"@a:x","content":{"body":"!status web","format":"f","m.relates_to":{"rel_type":"m.thread","event_id":"$r"}}}"#;
        let event: serde_json::Value =
            serde_json::from_slice(&spoken(raw, "!web-status staging").unwrap()).unwrap();
        assert_eq!(event["sender"], "@a:x");
        assert_eq!(event["content"]["body"], "!web-status staging");
        assert_eq!(event["content"]["m.relates_to"]["event_id"], "$r");
        assert_eq!(event["content"].get("format"), None);
    }

    #[test]
    fn every_built_in_command_has_an_answer() {
        let source = include_str!("builtin.rs");
        for command in crate::catalogue::builtins() {
            let here = source.contains(&format!("\"{}\" =>", command.name));
            let reloads = command.name == reload::COMMAND;
            assert!(
                here || reloads || super::super::about::Verb::of(&command.name).is_some(),
                "{}",
                command.name
            );
        }
    }
}
