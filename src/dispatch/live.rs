//! What a run prints, shown as it comes: one message in its thread, edited again and again, and closed with the outcome.
//!
//! The run waits for none of this. What it prints goes into memory, a task beside it shows the end of that. The message
//! itself is a row of the outbox and holds nothing of what was printed; that is shown by edits in passing, each of which
//! is decided anew: everybody who is in the room at that moment may read it, or nothing of it is shown there, but in a message
//! like it to who asked, alone, where the answer would go there. The answer stays a
//! message of its own, and before it the live message is closed, in the outcome's commit.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    answers::Address,
    dispatcher::House,
    records,
    running::About,
    seeing::{Output, Sees},
    speech::took,
};
use crate::{
    catalogue::Command,
    executor::Sink,
    matrix::render::as_plain,
    model::{AttemptId, Invocation, Message, Outcome, RequestNumber, Span, StateMark},
    storage::Error,
};

/// How often the message is edited at most.
const LEAST: Duration = Duration::from_secs(2);
/// How often a run is shown that takes very long: nobody watches it, and a room is no log file.
const LONGEST: Duration = Duration::from_mins(1);
/// How much of what was printed is remembered, in bytes.
const REMEMBERED: usize = 4 << 10;
/// How many of the last lines are shown.
const LINES: usize = 12;
/// How much of them, in characters.
const CHARACTERS: usize = 2_000;

/// The end of what a run has printed so far.
#[derive(Debug, Default)]
pub struct Live(Mutex<Tail>);

#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    printed: u64,
}

impl Sink for Live {
    fn output(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.printed += bytes.len() as u64;
        if bytes.len() >= REMEMBERED {
            tail.bytes.clear();
        }
        tail.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(REMEMBERED)..]);
        // Moved rarely: what is dropped was taken once.
        if tail.bytes.len() > 2 * REMEMBERED {
            let from = tail.bytes.len() - REMEMBERED;
            tail.bytes.drain(..from);
        }
    }
}

/// What is being shown by this process, by request.
#[derive(Debug, Default)]
pub struct Lives(Mutex<HashMap<RequestNumber, Weak<Live>>>);

impl Lives {
    fn begins(&self, number: RequestNumber, live: &Arc<Live>) {
        let mut lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lives.retain(|_, live| live.strong_count() > 0);
        lives.insert(number, Arc::downgrade(live));
    }

    /// The end of what a request has printed so far, as plain text, if it is one of them.
    pub fn of(&self, number: RequestNumber) -> Option<String> {
        let live = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number)?.upgrade()?;
        let bytes = live.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone();
        Some(as_plain(&bytes))
    }
}

impl Live {
    /// How much was printed, where that is more than was told.
    fn news(&self, told: u64) -> Option<u64> {
        Some(self.printed()).filter(|printed| *printed > told)
    }

    fn printed(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).printed
    }

    /// The last lines, as plain text. The first of them may be only the end of one.
    fn last_lines(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone();
        let plain = as_plain(&bytes);
        let lines: Vec<_> = plain.trim_end().lines().collect();
        let shown = lines[lines.len().saturating_sub(LINES)..].join("\n");
        let skipped = shown.chars().count().saturating_sub(CHARACTERS);
        shown.chars().skip(skipped).collect()
    }
}

/// Which run is shown, and to whom.
#[derive(Debug)]
pub struct Of {
    run: (RequestNumber, AttemptId),
    command: Arc<Command>,
    subject: Option<String>,
    address: Address,
    elevated: BTreeSet<String>,
}

impl Of {
    /// A run that is under way.
    pub fn new(
        run: (RequestNumber, AttemptId),
        command: &Arc<Command>,
        invocation: &Invocation,
        about: &About,
    ) -> Self {
        Self {
            run,
            command: Arc::clone(command),
            subject: invocation.subject.clone(),
            address: about.address.clone(),
            elevated: about.elevated.clone(),
        }
    }

    fn output(&self) -> Output<'_> {
        Output {
            room: &self.address.room,
            command: &self.command.name,
            private: self.command.private,
            subject: self.subject.as_deref(),
            requester: &self.address.sender,
            elevated: &self.elevated,
        }
    }
}

/// What stands in the room of a run that has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// The mark on its command that it runs.
    pub marked: bool,
    /// The live message.
    pub live: bool,
    /// That in the room with who asked alone.
    pub private: bool,
}

/// A run that is being shown.
pub struct Showing {
    stop: CancellationToken,
    task: JoinHandle<Shown>,
}

impl Showing {
    /// Begins to show a run.
    pub fn begin(house: &Arc<House>, live: &Arc<Live>, of: Of) -> Self {
        let stop = CancellationToken::new();
        house.lives.begins(of.run.0, live);
        let task = tokio::spawn(show(Arc::clone(house), Arc::clone(live), of, stop.clone()));
        Self { stop, task }
    }

    /// Shows nothing more. What is under way is waited for, which is the database at most.
    pub async fn end(self) -> Shown {
        self.stop.cancel();
        // After a panic of ours all may be there; to close what is not there does no harm, but a room would be opened for it.
        self.task.await.unwrap_or(Shown { marked: true, live: true, private: false })
    }
}

async fn show(house: Arc<House>, live: Arc<Live>, of: Of, stop: CancellationToken) -> Shown {
    let begun = Instant::now();
    let mut shown = Shown { marked: mark(&house, &of).await, live: false, private: false };
    let (mut told, mut edits) = (0, 0);
    while !stop.is_cancelled() {
        if let Some(printed) = live.news(told) {
            match tell(&house, &live, &of, begun, (&mut shown, edits)).await {
                Ok(()) => (told, edits) = (printed, edits + 1),
                Err(error) => {
                    tracing::debug!(number = %of.run.0, %error, "what a run prints could not be shown");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause(begun.elapsed())) => {}
            () = stop.cancelled() => {}
        }
    }
    shown
}

/// How long it is until it is looked again what was printed, when a run was shown for so long.
fn pause(shown_for: Duration) -> Duration {
    (shown_for / 20).clamp(LEAST, LONGEST)
}

/// Puts the mark of a running command on its message, and says whether it did. Decoration: where it fails, nothing is
/// lost, and nothing is to be taken back.
async fn mark(house: &House, of: &Of) -> bool {
    let Some(mark) = of.address.mark(of.run.0, StateMark::Running) else { return false };
    match house.storage.say(vec![mark]).await {
        Ok(messages) => {
            house.outbox.hand(messages);
            true
        }
        Err(error) => {
            tracing::warn!(number = %of.run.0, %error, "could not mark a running command");
            false
        }
    }
}

/// Shows what was printed so far: in its room if everybody who is there now may read it, else to who asked, alone, if the answer
/// would go there.
async fn tell(
    house: &House,
    live: &Live,
    of: &Of,
    begun: Instant,
    (shown, edits): (&mut Shown, u64),
) -> Result<(), Error> {
    let sees = house.sees_now(&of.output()).await?.sees;
    let (everybody, asker) = (sees == Sees::Room, matches!(sees, Sees::Asker(_)));
    let prefix = house.current.get().ops.settings.prefix.clone();
    let number = of.run.0;
    // It may be there although its commit's answer was lost: it is closed in any case.
    if everybody && !shown.live {
        shown.live = true;
        let message = running(Some(&prefix), number, &of.command, None);
        house.outbox.hand(house.storage.say(vec![of.address.live(number, &message)]).await?);
    }
    if asker && !shown.private {
        shown.private = true;
        let message = running(None, number, &of.command, None);
        house.outbox.hand(house.storage.say(vec![of.address.private_live(number, &message)]).await?);
    }
    let took = Some(begun.elapsed() + super::running::A_MOMENT);
    if shown.live {
        let message = running(Some(&prefix), number, &of.command, took);
        let message =
            if everybody { with_output(message, live, of) } else { without_output(message, "here") };
        house.outbox.pass(of.address.live_edit(of.run, edits, &message));
    }
    if shown.private {
        let message = running(None, number, &of.command, took);
        let message = match sees {
            Sees::Asker(_) => with_output(message, live, of),
            Sees::Room => message.line([Span::text("What it prints is shown in its room now.")]),
            Sees::Nobody(_) => without_output(message, "there"),
        };
        house.outbox.pass(of.address.private_live_edit(of.run, edits, &message));
    }
    Ok(())
}

fn with_output(message: Message, live: &Live, of: &Of) -> Message {
    if of.command.records {
        let blocks = message.blocks.into_iter().chain(records::last(&live.last_lines()));
        Message { mark: message.mark, blocks: blocks.collect() }
    } else {
        message.verbatim(live.last_lines())
    }
}

fn without_output(message: Message, place: &str) -> Message {
    message.line([Span::text(format!("What it prints is not shown: not everybody {place} may read it."))])
}

/// It runs. `prefix`: what a command begins with, where one can be typed.
fn running(
    prefix: Option<&str>,
    number: RequestNumber,
    command: &Command,
    for_now: Option<Duration>,
) -> Message {
    let took = for_now.map(|it| took(i64::try_from(it.as_millis()).unwrap_or(i64::MAX)));
    let took = took.map(|took| format!(" · {took}")).unwrap_or_default();
    let mut line = vec![
        Span::strong(command.title()),
        Span::text(format!(" runs{took} · ")),
        Span::code(number.to_string()),
    ];
    if let Some(prefix) = prefix {
        let cancel = Span::code(format!("{prefix}cancel {number}"));
        line.extend([Span::text(" · 🛑 or "), cancel, Span::text(" to stop")]);
    }
    Message::marked(StateMark::Running).line(line)
}

/// It has ended: the answer says how.
pub fn ended(number: RequestNumber, command: &Command, outcome: &Outcome) -> Message {
    Message::plain().line([
        Span::strong(command.title()),
        Span::text(format!(" ended after {} · ", took(outcome.took_ms))),
        Span::code(number.to_string()),
    ])
}

/// Nobody saw its end.
pub fn lost(number: RequestNumber, command: &str) -> Message {
    Message::marked(StateMark::Unknown).line([
        Span::strong(command),
        Span::text(" was interrupted · "),
        Span::code(number.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown_however_much_was_printed_and_in_whatever_parts() {
        let live = Live::default();
        for line in 0..10_000 {
            live.output(format!("line {line}\n").as_bytes());
        }
        let shown = live.last_lines();
        assert!(shown.ends_with("line 9999") && shown.lines().count() == LINES, "{shown}");
        live.output(&vec![b'x'; 1 << 20]);
        assert_eq!(live.last_lines().chars().count(), CHARACTERS);
        assert!(live.0.lock().unwrap().bytes.len() <= 2 * REMEMBERED);
        assert!(live.printed() > 1 << 20);
    }

    #[test]
    fn of_an_hour_in_which_a_run_prints_all_the_time_a_room_gets_few_edits_and_of_a_silent_one_none() {
        // The clock of this test is this number.
        let (mut at, mut looks) = (Duration::ZERO, 0);
        let (silent, talking) = (Live::default(), Live::default());
        let (mut told_silent, mut told_talking) = (0, 0);
        let mut edits = (0, 0);
        while at < Duration::from_hours(1) {
            talking.output(b"and so on\n");
            for (live, told, edits) in
                [(&silent, &mut told_silent, &mut edits.0), (&talking, &mut told_talking, &mut edits.1)]
            {
                if let Some(printed) = live.news(*told) {
                    (*told, *edits) = (printed, *edits + 1);
                }
            }
            looks += 1;
            at += pause(at);
        }
        assert_eq!(edits, (0, looks));
        assert!((60..150).contains(&looks), "{looks}");
    }
}
