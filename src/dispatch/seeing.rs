//! Who sees what a program printed: everybody in the room, if each of them may read it; else who asked, alone.
//!
//! It is decided for the people who are in the room when the outcome is written. Their names are kept in memory with the mark
//! under which they were read, so that the usual answer costs no look at the database: the outcome's commit compares the
//! mark, writes nothing where it is another by now, and then it is decided anew.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{dispatcher::House, in_force::InForce, pipeline::Granted};
use crate::{
    model::{Digest, Event, Message, Span},
    policy::{Action, Decision},
    storage::{Error, Membership, People, PeopleMark, Standing},
};

/// How many decisions are kept of one room before all are made anew.
const MOST: usize = 1_000;
/// How many who may not read are named in the record and in the room.
const NAMED: usize = 3;

/// Something that was printed, of which it is to be decided who sees it.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// The room in which it was asked for.
    pub room: &'a RoomId,
    /// The command.
    pub command: &'a str,
    /// Whether the command is declared as one that answers only who asks.
    pub private: bool,
    /// The system that it acted on.
    pub subject: Option<&'a str>,
    /// Who asked.
    pub requester: &'a UserId,
    /// The teams that they were in for a while.
    pub elevated: &'a BTreeSet<String>,
}

/// Who sees an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sees {
    /// Everybody in the room.
    Room,
    /// Who asked, alone.
    Asker(WhyPrivate),
    /// Nobody: who asked may not read it either, or is not in the room any more.
    Nobody(WhyPrivate),
}

/// Why an output is not shown in its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyPrivate {
    /// Its command is declared so.
    Declared,
    /// These people, who are there, may not read it.
    Readers(Vec<OwnedUserId>),
}

/// What was decided, and for whom.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Who sees it.
    pub sees: Sees,
    /// The moment for whose people it was decided; `None` where it holds for any.
    pub mark: Option<PeopleMark>,
    /// The rules by which it was decided.
    pub rules: Digest,
}

/// What is known of rooms' people, and what was decided for them.
#[derive(Debug, Default)]
pub struct Seeing(Mutex<HashMap<OwnedRoomId, Known>>);

#[derive(Debug)]
struct Known {
    people: People,
    /// Who may not read, by rules, command, subject and requester.
    barred: HashMap<(Digest, String, Option<String>, OwnedUserId), Vec<OwnedUserId>>,
}

impl Seeing {
    /// Forgets a room's people: they are others by now.
    pub fn forget(&self, room: &RoomId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
    }

    /// Decides by what is known of the room; `None` where nothing is.
    fn decide(&self, house: &House, output: &Output<'_>) -> Option<Decided> {
        let in_force = house.current.get();
        let rules = in_force.rules.digest();
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { people, barred } = rooms.get_mut(output.room)?;
        let decided = |sees| Some(Decided { sees, mark: Some(people.mark), rules });
        let Some(key) = people.key.as_ref().filter(|key| in_force.ops.rooms.contains_key(*key)) else {
            // It is not a room of ours any more.
            return decided(Sees::Nobody(WhyPrivate::Readers(Vec::new())));
        };
        let why = if output.private {
            WhyPrivate::Declared
        } else {
            let subject = output.subject.map(ToOwned::to_owned);
            let of = (rules, output.command.to_owned(), subject, output.requester.to_owned());
            if barred.len() >= MOST {
                barred.clear();
            }
            let barred = barred.entry(of).or_insert_with(|| {
                let there = people.joined.iter().filter(|(who, _)| !house.is_ours(who));
                let there = there.map(|(who, level)| (&**who, *level));
                let barred = in_force.rules.who_may_not_read(key, there, output.action());
                barred.into_iter().map(ToOwned::to_owned).collect()
            });
            if barred.is_empty() {
                return decided(Sees::Room);
            }
            WhyPrivate::Readers(barred.clone())
        };
        let level = people.joined.iter().find(|(who, _)| who == output.requester).map(|(_, level)| *level);
        let may = level.is_some_and(|level| asker_may(&in_force, key, level, output));
        decided(if may { Sees::Asker(why) } else { Sees::Nobody(why) })
    }
}

impl Output<'_> {
    /// What is asked of the rules about it.
    pub fn action(&self) -> Action<'_> {
        Action::ReadOutput { command: self.command, requester: self.requester, subject: self.subject }
    }
}

fn asker_may(in_force: &InForce, key: &str, power_level: i64, output: &Output<'_>) -> bool {
    let Some(room) = in_force.ops.rooms.get(key) else { return false };
    let standing = Standing {
        key: key.to_owned(),
        membership: Some(Membership::Join),
        power_level,
        elevated: output.elevated.clone(),
    };
    // No circumstance changes it: the time does not matter.
    let at = jiff::Timestamp::UNIX_EPOCH;
    let by = (output.requester, &standing);
    let decision = in_force.ask(room, by, output.action(), &Granted::default(), at);
    matches!(decision, Decision::Permitted(_))
}

impl House {
    /// Decides who sees an output, by the people who were last known to be in its room. Whoever writes it compares the mark.
    pub async fn sees(&self, output: &Output<'_>) -> Result<Decided, Error> {
        loop {
            if let Some(decided) = self.seeing.decide(self, output) {
                return Ok(decided);
            }
            let people = self.storage.people(output.room).await?;
            let known = Known { people, barred: HashMap::new() };
            let mut rooms = self.seeing.0.lock().unwrap_or_else(PoisonError::into_inner);
            rooms.insert(output.room.to_owned(), known);
        }
    }

    /// As [`Self::sees`], by the people who are in the room now: for what is shown without a commit that compares the mark.
    pub async fn sees_now(&self, output: &Output<'_>) -> Result<Decided, Error> {
        self.seeing.forget(output.room);
        self.sees(output).await
    }
}

impl Decided {
    /// For what prints nothing: it is everybody's.
    pub const fn nothing_to_see(rules: Digest) -> Self {
        Self { sees: Sees::Room, mark: None, rules }
    }

    /// Where it could not be decided for people who stay: nobody sees it, whoever is there.
    pub const fn for_nobody(rules: Digest) -> Self {
        Self { sees: Sees::Nobody(WhyPrivate::Readers(Vec::new())), mark: None, rules }
    }

    /// What is recorded of it.
    pub fn event(&self, requester: &UserId) -> Option<Event> {
        let (why, to) = match &self.sees {
            Sees::Room => return None,
            Sees::Asker(why) => (why, Some(requester.to_owned())),
            Sees::Nobody(why) => (why, None),
        };
        let (why, readers) = match why {
            WhyPrivate::Declared => ("declared", Vec::new()),
            WhyPrivate::Readers(readers) => ("readers", readers.iter().take(NAMED).cloned().collect()),
        };
        Some(Event::AnswerPrivate { why: why.to_owned(), readers, to, rules: self.rules })
    }

    /// The message for the room, which says why it does not show what was printed, and where that is.
    pub fn said_in_room(&self, message: Message, command: &str, requester: &UserId) -> Message {
        let (why, mut line) = match &self.sees {
            Sees::Room => return message,
            Sees::Asker(why) => (
                why,
                vec![
                    Span::text("What it printed went to "),
                    Span::strong(requester.as_str()),
                    Span::text(" alone: "),
                ],
            ),
            Sees::Nobody(why) => (why, vec![Span::text("What it printed is kept, and not shown here: ")]),
        };
        line.extend(why_private(why, command));
        message.line(line)
    }
}

/// Why, in words.
pub fn why_private(why: &WhyPrivate, command: &str) -> Vec<Span> {
    let readers = match why {
        WhyPrivate::Declared => {
            return vec![Span::code(command), Span::text(" answers only who asks.")];
        }
        WhyPrivate::Readers(readers) => readers,
    };
    if readers.is_empty() {
        return vec![Span::text("not everybody here may read it.")];
    }
    let mut spans = vec![Span::text("not everybody here may read it (not ")];
    for (index, who) in readers.iter().take(NAMED).enumerate() {
        spans.extend((index > 0).then(|| Span::text(", ")));
        spans.push(Span::strong(who.as_str()));
    }
    let more = readers.len().saturating_sub(NAMED);
    spans.push(Span::text(if more == 0 { ").".to_owned() } else { format!(" and {more} more).") }));
    spans
}
