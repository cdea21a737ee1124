//! `!audit` with what is searched for: what is recorded of this room, a line each, page by page.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, UserId};

use super::{builtin, pipeline::Asked};
use crate::{
    audit::{
        self,
        search::{self, Given, Within},
    },
    model::{Invocation, Message, Timestamp},
    policy::{Action, Decision},
    storage::{Error, Found, Work},
};

/// How many lines a room is shown: what a phone shows without much scrolling.
const LINES: usize = 15;

/// What is wrong with what is searched for, if something is.
pub fn fault(asked: &Asked<'_>, invocation: &Invocation, now: Timestamp) -> Option<Message> {
    let prefix = &asked.in_force.ops.settings.prefix;
    let given = given(invocation);
    if invocation.arguments.contains_key("id") {
        return given.0.keys().next().map(|name| {
            let line = format!("{prefix}audit --{name} {}", crate::model::quoted(&given.0[name]));
            Message::plain().line([
                crate::model::Span::text("A request's number stands by itself. To search, leave it out: "),
                crate::model::Span::code(line),
            ])
        });
    }
    let here = vec![asked.address.room.clone()];
    asked.within(here, now, |within| given.read(within).err().map(|mistake| mistake.message(prefix)))
}

/// Searches what is recorded of this room, and records that it was read.
pub async fn search(asked: &Asked<'_>, work: &mut Work, invocation: &Invocation) -> Result<Message, Error> {
    let now = work.now();
    let prefix = &asked.in_force.ops.settings.prefix;
    let given = given(invocation);
    let here = (asked.room.key.clone(), asked.address.room.clone());
    let here =
        asked.house.storage.with_those_before([here]).await?.into_values().flatten().collect::<Vec<_>>();
    let read = asked.within(here.clone(), now, |within| {
        given.read(within).map(|(search, before)| (within.hint(&search), search, before))
    });
    let (hint, mut search, before) = match read {
        Ok(read) => read,
        Err(mistake) => return Ok(mistake.message(prefix)),
    };
    // What is asked in a room is shown to the room: nothing of another one.
    search.rooms = Some(here.into_iter().collect());
    let words = match given.recorded().as_str() {
        "" => format!("the last of {}", asked.room.key),
        narrow => format!("of {}:{narrow}", asked.room.key),
    };
    builtin::reads(asked, work, words);
    // And nothing of an output that somebody who is there may not read.
    let there = if search.words.is_some() { asked.readers_here().await? } else { Vec::new() };
    let may_read = |found: &Found| {
        let there = there.iter().map(|(who, level)| (&**who, *level));
        asked.may_tell_of_output(found, there, now)
    };
    let finds = search::find(&asked.house.storage, &search, before, LINES, &may_read).await?;
    Ok(audit::list(prefix, &given, &finds, hint))
}

/// What was given, but for a request's number.
fn given(invocation: &Invocation) -> Given {
    let named = invocation.arguments.iter().filter(|(name, _)| *name != "id");
    Given(named.map(|(name, value)| (name.clone(), value.to_string())).collect())
}

impl Asked<'_> {
    /// Gives `read` what a search in this room may speak of.
    fn within<T>(&self, here: Vec<OwnedRoomId>, now: Timestamp, read: impl FnOnce(Within<'_>) -> T) -> T {
        let rooms = BTreeMap::from([(self.room.key.clone(), here)]);
        read(Within { line: "audit", ops: &self.in_sight(now), rooms: &rooms, now })
    }

    /// Whether it may be told here, to these people, what a request printed: each of them and the sender may read it.
    fn may_tell_of_output<'p>(
        &self,
        found: &Found,
        there: impl Iterator<Item = (&'p UserId, i64)>,
        now: Timestamp,
    ) -> bool {
        let (Some(command), Some(who)) = (&found.command, &found.who) else { return false };
        let Ok(requester) = <&UserId>::try_from(who.as_str()) else { return false };
        if self.in_force.ops.commands.get(command).is_none_or(|command| command.private) {
            return false;
        }
        let action = Action::ReadOutput { command, requester, subject: found.subject.as_deref() };
        matches!(self.decide_action(action, now), Decision::Permitted(_))
            && self.in_force.rules.who_may_not_read(&self.room.key, there, action).is_empty()
    }
}
