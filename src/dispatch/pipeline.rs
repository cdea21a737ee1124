//! What becomes of a piece of work: the one path from a message to a recorded decision and its start.
//!
//! Everything here is written in the work's own database transaction. Nothing has an effect before its
//! commit, so that an error or a death anywhere leaves the work to be done again, whole.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use ruma::{OwnedUserId, UserId};
use serde_json::Value;

use super::{
    about::{self, Verb},
    answers::Address,
    builtin,
    dispatcher::House,
    elevation, emergency,
    event::{Incoming, Kind},
    in_force::InForce,
    local, reload, room_events, running, said_of_queue, speech, struck, succession, timer, trail,
};
use crate::{
    appservice,
    catalogue::{Command, OnBusy, Room, RunKind},
    command::{self, Parsed, Recognised},
    matrix::render::Loudness,
    model::{Block, Event, Invocation, Message, RequestNumber, Span, State, StateMark},
    policy::{Action, Decision, Permit, Question, Refusal, Why},
    storage::{
        ContentKind, Error, InboxRow, Membership, NewRequest, STRUCK, SUCCESSION, Standing, Start, TIMER,
        Work,
    },
};

/// Takes a piece of work to its commit.
pub async fn process(house: &Arc<House>, work: Work) -> Result<(), Error> {
    if let Some(error) = work.unreadable() {
        return Err(error);
    }
    if let Some(request) = work.queued().cloned() {
        if work.is_poisoned() {
            return running::unprocessable(house, work, request).await;
        }
        return running::start_queued(house, work, request).await;
    }
    let Some(row) = work.row().cloned() else { return Ok(()) };
    if row.source == STRUCK && !work.is_poisoned() {
        return struck::process(house, work, &row).await;
    }
    if row.source == SUCCESSION && !work.is_poisoned() {
        return succession::process(house, work, &row).await;
    }
    if work.is_poisoned() {
        return room_events::unprocessable(house, work, &row).await;
    }
    if row.source == TIMER {
        return timer::process(house, work, &row).await;
    }
    let incoming = match Incoming::of(&row) {
        Ok(incoming) => incoming,
        Err(reason) => {
            // What was no event at all was counted when it arrived.
            if row.source != appservice::MALFORMED {
                metrics::counter!("quarterdeck_events_malformed_total").increment(1);
            }
            tracing::warn!(event.id = row.external_id, reason, "passed over an event that cannot be read");
            return work.done().await.map(drop);
        }
    };
    if house.is_ours(&incoming.sender) && !matches!(incoming.kind, Kind::Member { .. }) {
        return work.done().await.map(drop);
    }
    match &incoming.kind {
        Kind::Message(content) => message(house, work, &row, &incoming, content).await,
        _ => room_events::process(house, work, &row, incoming).await,
    }
}

/// A message: talk among people, or a command.
async fn message(
    house: &Arc<House>,
    mut work: Work,
    row: &InboxRow,
    incoming: &Incoming,
    content: &Value,
) -> Result<(), Error> {
    let in_force = house.current.get();
    let settings = &in_force.ops.settings;

    // Is it said to us, in one of our rooms?
    let said = command::recognise(&settings.prefix, house.homeserver.bot(), content);
    if matches!(said, Recognised::Talk) {
        return work.done().await.map(drop);
    }
    let Some(standing) = work.standing_to_ask(&incoming.room_id, &incoming.sender).await? else {
        return work.done().await.map(drop);
    };
    let Some(room) = in_force.ops.rooms.get(&standing.key) else {
        return work.done().await.map(drop);
    };

    // It is on the record from here on, whatever becomes of it.
    let root = local::thread_root(row, incoming, content);
    let number = work
        .open_request(NewRequest {
            door: row.source.clone(),
            sender: incoming.sender.clone(),
            room: incoming.room_id.clone(),
            event_id: (row.source == "matrix").then(|| incoming.event_id.clone()),
            thread_root: root.clone(),
            claimed_at: incoming.claimed_at,
            received_at: row.received_at,
            // As it came, with all that was passed over in it.
            text: content["body"].as_str().unwrap_or_default().to_owned(),
        })
        .await?;
    let address = local::address(row, incoming, root.as_ref(), room.answers).through(&row.source);
    local::note(&mut work, row, number, &address, content).await?;
    let asked = Asked {
        house,
        in_force: &in_force,
        room,
        standing: &standing,
        sender: &incoming.sender,
        number,
        address,
        granted: Granted::default(),
    };

    if let Some(no) = local::barred(&asked, row, content) {
        return asked.refuse(work, no).await;
    }
    // May anything be run for this sender, here and now? A no counts however late it comes.
    let says_no = matches!(&said, Recognised::Command(line) if Verb::says_no(&line.text));
    let no = asked.barred(incoming.claimed_at, row.received_at, work.now());
    if let Some(no) = no.filter(|no| !(says_no && no.why == "stale")) {
        return asked.refuse(work, no).await;
    }
    // What is meant?
    let parsed = match said {
        Recognised::Command(mut line) => {
            // Only a line that speaks of an alias needs to know the rooms.
            if line.text.contains('#') {
                line.rooms = house.rooms_by_alias(&in_force).await?;
            }
            asked.read(&line, work.now())
        }
        Recognised::Refused { mistake, .. } => Err(mistake),
        Recognised::Talk => unreachable!("talk has returned above"),
    };
    let Parsed { mut invocation, command, understood } = match parsed {
        Ok(parsed) => parsed,
        Err(mistake) => {
            return asked.refuse(work, No::unreadable(mistake.message(&settings.prefix))).await;
        }
    };
    // A word to another request is decided by what it does there.
    if let Some(verb) = Verb::of(&command.name) {
        return Box::pin(about::process(&asked, work, &incoming.event_id, (verb, &invocation))).await;
    }
    if let Some(no) = asked.prepare(&mut work, &mut invocation).await? {
        return asked.refuse(work, no).await;
    }
    // What do the rules say?
    let permit = match asked.decide(&invocation, work.now()) {
        Decision::Permitted(permit) => permit,
        Decision::Waits(wait) => {
            return asked.begin_to_wait(work, wait, &command, &invocation, understood).await;
        }
        Decision::Refused(refusal) => {
            let no = asked.forbidden(refusal, &command, invocation, work.now());
            return asked.refuse(work, no).await;
        }
    };
    // Do it: answer at once, or record the start and run.
    match command.run.kind {
        RunKind::Builtin => builtin::conclude(&asked, work, row, permit, &invocation, understood).await,
        RunKind::Process(_) | RunKind::Http(_) | RunKind::Ssh(_) | RunKind::ChatopsRpc(_) => {
            asked.start(work, permit, command, invocation, understood).await
        }
    }
}

/// A request on its way through the pipeline.
pub struct Asked<'a> {
    /// What all requests share.
    pub house: &'a Arc<House>,
    /// The version it is decided under.
    pub in_force: &'a InForce,
    /// The room it was asked in.
    pub room: &'a Room,
    /// Its sender's standing there.
    pub standing: &'a Standing,
    /// Its sender.
    pub sender: &'a UserId,
    /// Its number.
    pub number: RequestNumber,
    /// Where its answers go.
    pub address: Address,
    /// What others, and its sender, have said to it so far.
    pub granted: Granted,
}

/// The words that a request has been given, and that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// Who approved it.
    pub approvals: BTreeSet<OwnedUserId>,
    /// Whether its sender confirmed it.
    pub confirmed: bool,
}

/// Why something is not run, for the record and for the room.
pub struct No {
    /// The kind of reason.
    why: &'static str,
    /// What is answered, if anything is.
    answer: Option<Message>,
    /// What was understood so far.
    understood: Option<(Arc<Command>, Invocation)>,
    /// What the rules said, if they were asked.
    refusal: Option<Refusal>,
}

impl No {
    pub(super) const fn plain(why: &'static str, answer: Option<Message>) -> Self {
        Self { why, answer, understood: None, refusal: None }
    }

    /// What the rules do not permit, in words of its own.
    pub(super) const fn ruled(why: &'static str, answer: Message, refusal: Refusal) -> Self {
        Self { why, answer: Some(answer), understood: None, refusal: Some(refusal) }
    }

    const fn unreadable(answer: Message) -> Self {
        Self::plain("unreadable", Some(answer))
    }
}

impl Asked<'_> {
    /// What bars everything this sender could send here and now: a server that no team of the room
    /// names, an age beyond the limit, a membership that ended.
    fn barred(&self, claimed_at: Timestamp, received_at: Timestamp, now: Timestamp) -> Option<No> {
        let limits = &self.in_force.ops.settings;
        let server = self.sender.server_name();
        if !self.in_force.admits(self.room, server) {
            // Nothing is said to strangers: they are on the record, and that is all.
            return Some(No::plain("server", None));
        }
        // A message from before the restored backup was put back may have been obeyed, and nobody knows.
        if let Some(at) = self.house.restored_at()
            && claimed_at.min(received_at) <= at
        {
            return Some(No::plain("stale", Some(speech::from_before_the_restore(at))));
        }
        let ahead = claimed_at.duration_since(received_at);
        if ahead > SignedDuration::from_secs(60) {
            return Some(No::plain("stale", Some(speech::from_the_future(ahead, server.as_str()))));
        }
        let age = now.duration_since(claimed_at).max(now.duration_since(received_at));
        if age > limits.stale_after {
            return Some(No::plain("stale", Some(speech::stale(age))));
        }
        if self.standing.membership != Some(Membership::Join) {
            return Some(No::plain("membership", Some(speech::not_a_member(self.room))));
        }
        None
    }

    /// What some built-ins need before the rules are asked: that what is decided is exactly one thing.
    async fn prepare(&self, work: &mut Work, invocation: &mut Invocation) -> Result<Option<No>, Error> {
        Ok(match invocation.command.as_str() {
            reload::COMMAND => {
                // Fetching takes its time: not while a homeserver waits for us to have stored its event.
                work.put_down_request().await?;
                reload::bind(self, work.now(), invocation).await.err()
            }
            "elevate" => elevation::fault(self, invocation),
            "audit" => trail::fault(self, invocation, work.now()).map(No::unreadable),
            _ => None,
        })
    }

    /// Asks the rules.
    pub fn decide(&self, invocation: &Invocation, now: Timestamp) -> Decision {
        self.decide_action(Action::Run(invocation), now)
    }

    /// Asks the rules about anything.
    pub fn decide_action(&self, action: Action<'_>, now: Timestamp) -> Decision {
        let (level, room) = (self.standing.power_level, &self.room.key);
        let question = Question::new(self.sender, level, room, now, action);
        self.in_force.rules.decide(&Question {
            approvals: &self.granted.approvals,
            confirmed: self.granted.confirmed,
            elevated: &self.standing.elevated,
            ..question
        })
    }

    /// The rules' no: in their own words, with what they would permit, and whose system it is.
    pub fn forbidden(
        &self,
        refusal: Refusal,
        command: &Arc<Command>,
        invocation: Invocation,
        now: Timestamp,
    ) -> No {
        let why = match refusal.why {
            Why::NothingPermits | Why::Forbidden => "rules",
            Why::Evaluation => "evaluation",
        };
        let ops = &self.in_force.ops;
        let alternative = self.alternative(command, &invocation, now);
        let line =
            alternative.map(|other| format!("{}{}", ops.settings.prefix, command::say(command, &other)));
        let system = invocation.subject.as_deref().and_then(|name| ops.systems.get(name.split('@').next()?));
        let owner = system.and_then(|system| ops.teams.get(&system.owner));
        let answer = Some(speech::refused(&refusal, &invocation.typed(), line, owner));
        No { why, answer, understood: Some((Arc::clone(command), invocation)), refusal: Some(refusal) }
    }

    /// Records that it is not run, and answers why.
    pub async fn refuse(&self, mut work: Work, no: No) -> Result<(), Error> {
        self.write_refusal(&mut work, State::Received, no).await?;
        self.house.conclude(work).await
    }

    /// Writes a refusal into the work, without concluding it.
    pub async fn write_refusal(&self, work: &mut Work, from: State, no: No) -> Result<(), Error> {
        let number = self.number;
        let words = no.answer.as_ref().map_or_else(String::new, plain);
        let reason = work.content(number, ContentKind::Reason, words.as_bytes());
        let invocation = no.understood.as_ref().map(|(_, invocation)| {
            let bytes = serde_json::to_vec(invocation).unwrap_or_default();
            work.content(number, ContentKind::Invocation, &bytes)
        });
        let inputs = no
            .refusal
            .as_ref()
            .map(|refusal| work.content(number, ContentKind::Inputs, refusal.inputs.as_str().as_bytes()));
        let decided = no.refusal.is_some();
        let elevated = if decided { self.standing.elevated.iter().cloned().collect() } else { Vec::new() };
        let event = Event::CommandRefused {
            why: no.why.to_owned(),
            command: no.understood.as_ref().map(|(command, _)| command.name.clone()),
            dry: no.understood.as_ref().is_some_and(|(_, invocation)| invocation.dry),
            subject: no.understood.and_then(|(_, invocation)| invocation.subject),
            invocation,
            inputs,
            reason,
            policies: no.refusal.map(|refusal| refusal.policies).unwrap_or_default(),
            rules: self.in_force.rules.digest(),
            elevated,
        };
        work.transition(number, from, State::Refused, event).await?;
        if from != State::Received {
            self.house.waits_no_longer(work, &self.address, number).await?;
        }
        if let Some(answer) = no.answer {
            let answer = if decided { self.says_elevation(answer) } else { answer };
            work.send(self.address.answer(number, State::Refused, &answer, Loudness::Notice));
        }
        metrics::counter!("quarterdeck_requests_total", "state" => "refused").increment(1);
        Ok(())
    }

    /// Records the permission and the start in one commit, then runs. Where its lock is taken, or no
    /// place is free, it stays queued and comes back as work.
    async fn start(
        &self,
        mut work: Work,
        permit: Permit,
        command: Arc<Command>,
        invocation: Invocation,
        understood: bool,
    ) -> Result<(), Error> {
        let lock = command::lock(&command, &invocation);
        let ops = self.in_force.ops.digest;
        work.permitted(self.number, &permit, &invocation, ops, lock.as_deref()).await?;
        if let Some(no) = self.over_a_limit(&mut work).await? {
            self.write_refusal(&mut work, State::Queued, no).await?;
            return self.house.conclude(work).await;
        }
        let Some(place) = self.house.take_place() else {
            self.queue(&mut work, None).await?;
            return self.house.conclude(work).await;
        };
        let about = running::About {
            address: self.address.clone(),
            understood: understood.then(|| invocation.to_string()),
            stopped_by: None,
            elevated: self.standing.elevated.clone(),
            place,
        };
        let asked_for = invocation.clone();
        match work.start(permit, self.number, Arc::clone(&command), invocation).await? {
            Start::Pending(pending) => {
                emergency::announce(self, &mut work, &command, &asked_for).await?;
                running::commit_and_run(self.house, work, pending, about).await
            }
            Start::Busy { lock } => {
                if command.run.on_busy == OnBusy::Refuse {
                    let ahead = work.ahead(self.number, &self.address.room, &lock).await?;
                    let no = No::plain("busy", Some(said_of_queue::busy(&lock, &ahead)));
                    self.write_refusal(&mut work, State::Queued, no).await?;
                } else {
                    self.queue(&mut work, Some(&lock)).await?;
                }
                self.house.conclude(work).await
            }
        }
    }

    /// Whether as many run as may, for its sender, in its room or in all. What stands here stands until the work's commit:
    /// others that would start wait for that.
    pub async fn over_a_limit(&self, work: &mut Work) -> Result<Option<No>, Error> {
        let most = self.in_force.ops.settings.most;
        let over = work.over(self.number, (&self.address.room, self.sender), most).await?;
        let prefix = &self.in_force.ops.settings.prefix;
        Ok(over.map(|over| No::plain("limit", Some(said_of_queue::over(prefix, over)))))
    }

    /// Writes that it has to wait, and for what: a lock, or a free place.
    async fn queue(&self, work: &mut Work, lock: Option<&str>) -> Result<(), Error> {
        let event = Event::RunQueued { lock: lock.unwrap_or("a free place").to_owned() };
        work.append(Some(self.number), Some(&self.address.room), event);
        let message = match lock {
            Some(lock) => {
                let ahead = work.ahead(self.number, &self.address.room, lock).await?;
                said_of_queue::queued(&self.in_force.ops.settings.prefix, self.number, lock, &ahead)
            }
            None => said_of_queue::no_place(&self.in_force.ops.settings.prefix, self.number),
        };
        work.send(self.address.answer(self.number, State::Queued, &message, Loudness::Notice));
        if let Some(mark) = self.address.mark(self.number, StateMark::Waiting) {
            work.send(mark);
        }
        Ok(())
    }
}

/// A message as plain text, for the record.
pub fn plain(message: &Message) -> String {
    let line = |spans: &[Span]| {
        spans
            .iter()
            .map(|span| match span {
                Span::Text(text) | Span::Code(text) | Span::Strong(text) | Span::Emphasis(text) => {
                    text.as_str()
                }
            })
            .collect::<String>()
    };
    let blocks = message.blocks.iter().map(|block| match block {
        Block::Line(spans) => line(spans),
        Block::List(items) => items.iter().map(|item| line(item)).collect::<Vec<_>>().join("\n"),
        Block::Verbatim(text) => text.clone(),
        Block::Table { head, rows } => crate::model::table(head, rows),
        Block::Link { text, url } => format!("{text}: {url}"),
    });
    blocks.collect::<Vec<_>>().join("\n")
}
