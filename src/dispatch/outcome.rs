//! The end of a run: what is said of it, to whom, and its record, in one commit.

use std::time::Duration;

use ruma::RoomId;

use super::{
    answers::{Address, Printed},
    dispatcher::House,
    elevation,
    live::{self, Shown},
    long::{self, Kept},
    running::About,
    said_of_files,
    seeing::{Decided, Output, Sees},
    speech,
};
use crate::{
    catalogue::{Command, Effect},
    executor::{Left, Ran},
    matrix::render::{Loudness, preview},
    model::{Ending, Invocation, Message, Outcome, SignedDuration, Span, State},
    storage::{Error, Finished, Telling},
};

/// From this length on, a run's answer makes a sound for the one who asked.
const WAITED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// How often it is decided anew who sees an output, because people come and go while it is written.
const TIMES: u32 = 8;

/// A run that has ended.
pub struct Ended<'a> {
    /// What was run.
    pub command: &'a Command,
    /// With its arguments.
    pub invocation: &'a Invocation,
    /// How it ended.
    pub ran: &'a Ran,
    /// What its answer needs.
    pub about: &'a About,
    /// What was shown of it while it ran.
    pub shown: Shown,
}

impl Ended<'_> {
    /// Decides who sees what it printed, records how it ended and has it told, however long the database is away. Says
    /// whether the spool may go.
    pub async fn tell(&self, house: &House) -> bool {
        let room = &self.about.address.room;
        let mut times = 0;
        let kept = long::keep(house, self.ran.number, self.ran.whole.as_ref(), &self.ran.left).await;
        loop {
            let rules = house.current.get().rules.digest();
            let decided = if !says_anything(self.ran) {
                Decided::nothing_to_see(rules)
            } else if times < TIMES {
                decided(house, &self.output()).await.unwrap_or_else(|error| {
                    tracing::error!(number = %self.ran.number, %error, "it could not be decided who sees an output; nobody does");
                    Decided::for_nobody(rules)
                })
            } else {
                Decided::for_nobody(rules)
            };
            match record(house, room, self.ran, self.telling(house, &decided, &kept)).await {
                Recorded::OthersAreThere => {
                    times += 1;
                    house.seeing.forget(room);
                }
                Recorded::Yes => return true,
                Recorded::No => return false,
            }
        }
    }

    fn output(&self) -> Output<'_> {
        Output {
            room: &self.about.address.room,
            command: &self.command.name,
            private: self.command.private,
            subject: self.invocation.subject.as_deref(),
            requester: &self.about.address.sender,
            elevated: &self.about.elevated,
        }
    }

    /// What is said of it, the answer first.
    fn telling(&self, house: &House, decided: &Decided, in_parts: &Kept) -> Telling {
        let Self { command, ran, about, .. } = *self;
        let (number, outcome, address) = (ran.number, &ran.outcome, &about.address);
        let prefix = house.current.get().ops.settings.prefix.clone();
        let state = outcome.state();
        let in_words = |outcome: &Outcome, kept: &[u8]| {
            let message =
                speech::outcome(&prefix, number, command, outcome, (kept, &self.invocation.filters));
            let message = match in_parts.whole {
                Some(_) if !self.invocation.filters.is_empty() && !kept.is_empty() => {
                    message.line([Span::text("It printed more than is looked through here: what is in the middle is in the file alone.")])
                }
                _ => message,
            };
            match (&about.stopped_by, &outcome.ending) {
                (Some(by), Ending::Cancelled) => speech::stopped_by(by, message),
                _ => message,
            }
        };
        let besides = |mut message: Message| {
            if let Some(line) = &about.understood {
                message = message.line(speech::understood(&prefix, line));
            }
            elevation::says_elevation(message, about.elevated.iter().map(String::as_str))
        };
        let headline = match &decided.sees {
            Sees::Room => said_of_files::left(in_words(outcome, &ran.kept), in_parts),
            Sees::Asker(_) | Sees::Nobody(_) => {
                let ending = outcome.ending.without_reason();
                in_words(&Outcome { ending, ..outcome.clone() }, &[])
            }
        };
        let message = decided.said_in_room(headline.clone(), &command.title(), &address.sender);
        let message = besides(message);
        let long = SignedDuration::from_millis(outcome.took_ms) > WAITED_FOR;
        let loudness = if long { Loudness::Text } else { Loudness::Notice };
        let whole = match in_parts.whole {
            Some(stored) => Some(Printed::Long(stored)),
            None => (!preview(&ran.kept).whole).then_some(Printed::Little(&ran.kept)),
        };
        let answer = address.answer(number, state, &message, loudness);
        let alone = matches!(decided.sees, Sees::Asker(_));
        let mut drafts = vec![if alone { Address::without_output(answer) } else { answer }];
        match &decided.sees {
            Sees::Room => {
                drafts.extend(whole.map(|whole| address.whole_output(number, &command.name, whole)));
                drafts.extend(address.left_files(number, &in_parts.files, false));
            }
            Sees::Asker(_) => {
                let message = said_of_files::left(in_words(outcome, &ran.kept), in_parts);
                let message = besides(message).line(asked(&prefix, self.invocation));
                let whole = whole.map(|whole| (&*command.name, whole));
                drafts.extend(address.private(number, state, &message, loudness, whole));
                drafts.extend(address.left_files(number, &in_parts.files, true));
            }
            Sees::Nobody(_) => {}
        }
        if command.effect != Effect::Read {
            let line = speech::in_the_timeline(&address.sender, command, &headline);
            drafts.extend(address.timeline(number, &line));
        }
        if self.shown.live {
            drafts.insert(0, address.live_end(number, &live::ended(number, command, outcome)));
        }
        if self.shown.private {
            drafts.insert(0, address.private_live_end(number, &live::ended(number, command, outcome)));
        }
        if self.shown.marked
            && let Some(mark) = message.mark
        {
            drafts.extend(address.end_mark(number, mark));
        }
        let whole = in_parts.whole.map(|stored| stored.name);
        let files = in_parts.files.iter().map(|file| file.stored.name).collect();
        Telling { drafts, event: decided.event(&address.sender), people: decided.mark, whole, files }
    }
}

/// Whether a run left anything that somebody might not be allowed to read: output, files, or a reason in the words of another
/// host.
fn says_anything(ran: &Ran) -> bool {
    !ran.kept.is_empty()
        || ran.left != Left::default()
        || ran.outcome.ending.without_reason() != ran.outcome.ending
}

/// What an answer in the room with one person is the answer to.
pub fn asked(prefix: &str, invocation: &Invocation) -> Vec<Span> {
    vec![Span::text("You asked: "), Span::code(format!("{prefix}{invocation}"))]
}

/// Decides who sees an output, waiting for the database where it is away.
async fn decided(house: &House, output: &Output<'_>) -> Result<Decided, Error> {
    let mut pause = Duration::from_millis(100);
    loop {
        match house.sees(output).await {
            Err(error) if error.is_away() => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            result => return result,
        }
    }
}

/// What came of recording an outcome.
pub enum Recorded {
    /// It stands, or another that came before it: the spool may go.
    Yes,
    /// It could not be: the spool stays.
    No,
    /// Other people are in the room by now: it is to be decided anew who sees it.
    OthersAreThere,
}

/// Records an outcome, however long the database is away.
pub async fn record(house: &House, room: &RoomId, ran: &Ran, telling: Telling) -> Recorded {
    let kept = (!ran.kept.is_empty()).then_some(&ran.kept[..]);
    let mut pause = Duration::from_millis(100);
    loop {
        let telling = telling.clone();
        match house.storage.finish((ran.number, room), ran.attempt, &ran.outcome, kept, telling).await {
            Ok(Finished::Recorded(messages)) => {
                house.outbox.hand(messages);
                let state: State = ran.outcome.state();
                metrics::counter!("quarterdeck_requests_total", "state" => state.name()).increment(1);
                return Recorded::Yes;
            }
            Ok(Finished::OthersAreThere) => return Recorded::OthersAreThere,
            Ok(Finished::AlreadyEnded(_)) => {
                tracing::warn!(number = %ran.number, "a run ended after its request had been given a final state");
                // What was kept of it is named by nothing. Where that fails, the next start does it.
                if let Err(error) = house.storage.sweep_parts(ran.number).await {
                    tracing::warn!(number = %ran.number, %error, "what was kept of a late run stays for now");
                }
                return Recorded::Yes;
            }
            // The outcome is known, and nobody else knows it: it is worth waiting for.
            Err(error) if error.is_away() => {
                tracing::warn!(number = %ran.number, %error, "an outcome waits to be recorded");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            Err(error) => {
                // What was spooled stays, and the next start calls the run interrupted.
                tracing::error!(number = %ran.number, %error, "an outcome could not be recorded");
                return Recorded::No;
            }
        }
    }
}
