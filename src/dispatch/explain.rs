//! `!why`, `!can`, `!rules`: what the rules say, without anything being run.
//!
//! An explanation speaks of commands of this room alone, and of the rules that are about them.

use ruma::UserId;

use super::{about::Verb, elevation, pipeline::Asked, said_of_waiting as said};
use crate::{
    command::Line,
    model::{Invocation, Message, Span, StateMark, Timestamp, Value},
    policy::{Action, Answer, Explanation, Told, Why},
    storage::{Error, Membership, Work},
};

/// `!why LINE`: what the rules say to the one who asks.
pub fn why(asked: &Asked<'_>, work: &Work, invocation: &Invocation) -> Message {
    let parsed = match parse(asked, work.now(), invocation) {
        Ok(parsed) => parsed,
        Err(message) => return message,
    };
    let by = (asked.sender, asked.standing);
    let mut explanation = asked.in_force.explain(asked.room, by, Action::Run(&parsed), work.now());
    leave_out(asked, work.now(), &mut explanation);
    asked.says_elevation(in_words(None, &parsed, &explanation))
}

/// `!can @user LINE`: what the rules say to somebody else.
pub async fn can(asked: &Asked<'_>, work: &mut Work, invocation: &Invocation) -> Result<Message, Error> {
    let Some(Value::User(user)) = invocation.arguments.get("user") else { return Ok(Message::plain()) };
    let parsed = match parse(asked, work.now(), invocation) {
        Ok(parsed) => parsed,
        Err(message) => return Ok(message),
    };
    let standing = work.standing(&asked.address.room, user).await?;
    let joined = standing.filter(|standing| standing.membership == Some(Membership::Join));
    let Some(standing) = joined.filter(|_| asked.in_force.admits(asked.room, user.server_name())) else {
        return Ok(Message::marked(StateMark::Refused).line([
            Span::strong(user.as_str()),
            Span::text(" is not in this room, and can do nothing here."),
        ]));
    };
    let by = (&**user, &standing);
    let mut explanation = asked.in_force.explain(asked.room, by, Action::Run(&parsed), work.now());
    leave_out(asked, work.now(), &mut explanation);
    let message = in_words(Some(user), &parsed, &explanation);
    Ok(elevation::says_elevation_of(user, message, &standing.elevated))
}

/// Takes out the rules that would permit it to others and name what the asker may not know of. Those that made the verdict
/// stay: whoever may ask learns what decided.
fn leave_out(asked: &Asked<'_>, now: Timestamp, explanation: &mut Explanation) {
    if !explanation.elsewhere.is_empty() {
        let known = asked.in_sight(now);
        explanation.elsewhere.retain(|told| asked.in_force.rules.is_known(&told.id, &known));
    }
}

/// `!rules`: the rules about what can be done here; `!rules ID`: one of them, as it is written. Those that name systems,
/// rooms or commands that the asker may not know of are counted, and not shown.
pub fn rules(asked: &Asked<'_>, now: Timestamp, id: Option<&str>) -> Message {
    let rules = &asked.in_force.rules;
    let mut here = rules.about(&asked.room.commands);
    let all = here.len();
    let known = asked.in_sight(now);
    here.retain(|told| rules.is_known(&told.id, &known));
    if let Some(id) = id {
        // A rule that is about nothing in this room is none of its business.
        let code =
            here.iter().find(|told| told.id == id).and_then(|told| Some((told, rules.code(&told.id)?)));
        return match code {
            Some((told, code)) => Message::plain()
                .line([Span::code(told.id.clone()), Span::text(format!(" · {}", told.place))])
                .verbatim(code),
            None => Message::plain().line([
                Span::text("No rule "),
                Span::code(id),
                Span::text(" is about what can be done here. All that are: "),
                Span::code(format!("{}rules", asked.in_force.ops.settings.prefix)),
            ]),
        };
    }
    let version = [
        Span::text(format!("{all} of {} rules are about what can be done here · version ", rules.len())),
        Span::code(rules.digest().short()),
    ];
    let mut message = Message::plain().line(version).list(here.iter().map(told).collect());
    let others = all - here.len();
    if others > 0 {
        let words = match others {
            1 => "1 more names what you cannot act upon here, and is not shown.".to_owned(),
            _ => format!("{others} more name what you cannot act upon here, and are not shown."),
        };
        message = message.line([Span::text(words)]);
    }
    message.line([
        Span::text("What nothing permits is refused. One as it is written: "),
        Span::code(format!("{}rules NAME", asked.in_force.ops.settings.prefix)),
    ])
}

/// The command that is asked about, read as it would be if it were sent.
fn parse(asked: &Asked<'_>, now: Timestamp, invocation: &Invocation) -> Result<Invocation, Message> {
    let prefix = &asked.in_force.ops.settings.prefix;
    let line = invocation.arguments.get("line").map(Value::to_string).unwrap_or_default();
    let line = line.trim();
    let line = Line::typed(line.strip_prefix(prefix.as_str()).unwrap_or(line).to_owned());
    let parsed = asked.read(&line, now);
    let parsed = parsed.map_err(|mistake| mistake.message(prefix))?;
    if Verb::of(&parsed.command.name).is_some_and(|verb| verb != Verb::Confirm) {
        return Err(Message::plain().line([
            Span::code(parsed.command.name.clone()),
            Span::text(" is decided for the request that it names, when it is sent."),
        ]));
    }
    Ok(parsed.invocation)
}

/// An explanation in words: the verdict, then the rules that make it.
fn in_words(of: Option<&UserId>, invocation: &Invocation, explanation: &Explanation) -> Message {
    let who = of.map_or_else(|| "You".to_owned(), ToString::to_string);
    let code = || Span::code(invocation.to_string());
    let Explanation { answer, permits, forbids, needs, confirm, elsewhere, errors, .. } = explanation;
    let list = |message: Message, title: &str, rules: &[Told]| {
        if rules.is_empty() {
            return message;
        }
        message.line([Span::text(title)]).list(rules.iter().map(told).collect())
    };
    match answer {
        Answer::Permitted => {
            let message =
                Message::marked(StateMark::Succeeded).line([Span::text(format!("{who} may: ")), code()]);
            list(message, "Permitted by:", permits)
        }
        Answer::Waits => {
            let mut line = vec![Span::text(format!("{who} may: ")), code(), Span::text(", with ")];
            if !confirm.is_empty() {
                line.push(Span::text("a confirmation"));
            }
            if !needs.is_empty() {
                line.extend(if confirm.is_empty() { vec![] } else { vec![Span::text(" and ")] });
                line.extend(said::missing_of(needs));
            }
            line.push(Span::text("."));
            let message = Message::marked(StateMark::Waiting).line(line);
            list(list(message, "Asked for by:", forbids), "Permitted by:", permits)
        }
        Answer::Refused(Why::NothingPermits) => {
            let message = Message::marked(StateMark::Refused).line([
                Span::text(format!("{who} may not: ")),
                code(),
                Span::text(". Nothing forbids it, but no rule permits it."),
            ]);
            list(message, "To others, or at other times, it is permitted by:", elsewhere)
        }
        Answer::Refused(Why::Forbidden) => {
            let message =
                Message::marked(StateMark::Refused).line([Span::text(format!("{who} may not: ")), code()]);
            let message = list(message, "Forbidden by:", forbids);
            if permits.is_empty() {
                message.line([Span::text("Besides, no rule permits it.")])
            } else {
                list(message, "Otherwise it would be permitted by:", permits)
            }
        }
        Answer::Refused(Why::Evaluation) => {
            let message = Message::marked(StateMark::Refused).line([
                Span::text(format!("{who} may not: ")),
                code(),
                Span::text(". A rule could not be evaluated:"),
            ]);
            message.list(errors.iter().map(|error| vec![Span::text(error.clone())]).collect())
        }
    }
}

fn told(rule: &Told) -> Vec<Span> {
    vec![
        Span::emphasis(rule.says.clone()),
        Span::text(" (rule "),
        Span::code(rule.id.clone()),
        Span::text(format!(", {})", rule.place)),
    ]
}
