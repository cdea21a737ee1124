//! From what is said of a request to a message for the outbox.

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::json;

use super::{
    long::{Stored, StoredFile},
    said_of_files, speech,
};
use crate::{
    catalogue::Answers,
    matrix::{
        Passing,
        render::{self, Loudness, Placement, REDACTION},
    },
    model::{AttemptId, Message, RequestNumber, State, StateMark},
    storage::{File, OutboxDraft, Request, To},
};

/// The key of an answer's content that tells programs of the request: its number, and where it stands.
pub const REQUEST: &str = "org.quarterdeck.request";

/// What the source of a row begins with whose request is one of several that somebody asked for with one command:
/// `status 1/2`.
pub const PART: &str = "status ";

/// A whole output.
#[derive(Debug, Clone, Copy)]
pub enum Printed<'a> {
    /// It is at hand.
    Little(&'a [u8]),
    /// It is kept in parts.
    Long(Stored),
}

impl Printed<'_> {
    const fn length(&self) -> u64 {
        match self {
            Self::Little(bytes) => bytes.len() as u64,
            Self::Long(stored) => stored.length,
        }
    }
}

/// Where the answers to one command go.
#[derive(Debug, Clone)]
pub struct Address {
    /// The room.
    pub room: OwnedRoomId,
    /// Who asked.
    pub sender: OwnedUserId,
    /// The command's own event, where an event carried it.
    pub event: Option<OwnedEventId>,
    /// Where in the room.
    pub place: Placement,
    /// How many requests answer what was asked, where that is not this one alone.
    pub of: Option<u32>,
}

impl Address {
    /// The address of the answers to an event. `root` is the root of the thread it may be answered in.
    pub fn of_event(
        room: OwnedRoomId,
        sender: OwnedUserId,
        event: OwnedEventId,
        root: Option<&OwnedEventId>,
        answers: Answers,
    ) -> Self {
        let place = Placement::answer(&event, root.map(AsRef::as_ref), answers);
        Self { room, sender, event: Some(event), place, of: None }
    }

    /// The address of the answers to a request that was recorded earlier.
    pub fn of_request(request: &Request, answers: Answers) -> Self {
        let root = request.thread_root.as_ref();
        let place = match request.event_id.as_ref().or(root) {
            Some(event) => Placement::answer(event, root.map(AsRef::as_ref), answers),
            None => Placement::Timeline,
        };
        Self {
            room: request.room.clone(),
            sender: request.sender.clone(),
            event: request.event_id.clone(),
            place,
            of: None,
        }
        .through(&request.door)
    }

    /// The same, for what came through this door.
    pub fn through(self, door: &str) -> Self {
        let of = door.strip_prefix(PART).and_then(|part| part.split_once('/')?.1.parse().ok());
        Self { of, ..self }
    }

    /// The answer that ends a request, or tells where it stands.
    pub fn answer(
        &self,
        number: RequestNumber,
        state: State,
        message: &Message,
        loudness: Loudness,
    ) -> OutboxDraft {
        let step = format!("request/{number}/{state}");
        let mentions = if loudness == Loudness::Text { std::slice::from_ref(&self.sender) } else { &[] };
        let mut content = render::message(message, &self.place, mentions, loudness, &step);
        content[REQUEST] = json!({ "number": number, "state": state });
        if let Some(of) = self.of {
            content[REQUEST]["of"] = json!(of);
        }
        self.draft(step, Some(number), "m.room.message", content, None)
    }

    /// What asks for somebody's word: it makes a sound for exactly those. `again` is the event that it answers, where the same
    /// prompt is shown once more.
    pub fn prompt(
        &self,
        number: RequestNumber,
        state: State,
        round: i32,
        again: Option<&EventId>,
        message: &Message,
        mentions: &[OwnedUserId],
    ) -> OutboxDraft {
        let again = again.map(|event| format!("/{event}")).unwrap_or_default();
        let step = format!("request/{number}/prompt/{round}{again}");
        let mut content = render::message(message, &self.place, mentions, Loudness::Text, &step);
        content[REQUEST] = json!({ "number": number, "state": state });
        self.draft(step, Some(number), "m.room.message", content, None)
    }

    /// Something that makes a sound for exactly these people.
    pub fn loud(
        &self,
        step: String,
        number: RequestNumber,
        message: &Message,
        mentions: &[OwnedUserId],
    ) -> OutboxDraft {
        let content = render::message(message, &self.place, mentions, Loudness::Text, &step);
        self.draft(step, Some(number), "m.room.message", content, None)
    }

    /// The whole output as a file, where the answer could show only a part of it.
    pub fn whole_output(&self, number: RequestNumber, command: &str, output: Printed<'_>) -> OutboxDraft {
        let step = format!("request/{number}/output");
        let name = speech::output_file(command, number);
        let mut content = render::file(&name, "text/plain", output.length(), &self.place, &step);
        let mut bytes = Vec::new();
        match output {
            Printed::Little(output) => bytes.extend_from_slice(output),
            Printed::Long(Stored { name, length }) => {
                let message = speech::too_large(number, length);
                let message = render::message(&message, &self.place, &[], Loudness::Notice, &step);
                content = render::kept_file(content, &name.0.to_string(), message);
            }
        }
        let file = File { name, media_type: "text/plain".to_owned(), bytes };
        self.draft(step, Some(number), "m.room.message", content, Some(file))
    }

    /// The files that it left, after the answer: in its room, or for the one who asked alone.
    pub fn left_files(&self, number: RequestNumber, files: &[StoredFile], alone: bool) -> Vec<OutboxDraft> {
        let place = if alone { &Placement::Timeline } else { &self.place };
        let drafts = (1..).zip(files).map(|(nth, left)| {
            let step = format!("request/{number}/file/{nth}");
            let file =
                File { name: left.name.clone(), media_type: left.media_type.to_owned(), bytes: Vec::new() };
            let content = render::file(&file.name, left.media_type, left.stored.length, place, &step);
            let message = said_of_files::too_large(number, nth, left);
            let message = render::message(&message, place, &[], Loudness::Notice, &step);
            let content = render::kept_file(content, &left.stored.name.0.to_string(), message);
            let mut draft = self.draft(step, Some(number), "m.room.message", content, Some(file));
            if alone {
                draft.to = To::Person(self.sender.clone());
            }
            draft
        });
        drafts.collect()
    }

    /// A proof that a request is on the record, as a file.
    pub fn proof(&self, asked: RequestNumber, proved: RequestNumber, proof: &[u8]) -> OutboxDraft {
        let step = format!("request/{asked}/proof");
        let name = format!("{proved}.tlog-proof");
        let content = render::file(&name, "text/plain", proof.len() as u64, &self.place, &step);
        let file = File { name, media_type: "text/plain".to_owned(), bytes: proof.to_vec() };
        self.draft(step, Some(asked), "m.room.message", content, Some(file))
    }

    /// Marks the room's answer as one whose output goes to the one who asked alone: programs know where to look for it.
    pub fn without_output(mut draft: OutboxDraft) -> OutboxDraft {
        draft.content[REQUEST]["alone"] = json!(true);
        draft
    }

    /// The same answer for the one who asked alone, with the whole output as a file where it is to be read as one.
    pub fn private(
        &self,
        number: RequestNumber,
        state: State,
        message: &Message,
        loudness: Loudness,
        whole: Option<(&str, Printed<'_>)>,
    ) -> Vec<OutboxDraft> {
        let step = format!("request/{number}/private");
        let mentions = if loudness == Loudness::Text { std::slice::from_ref(&self.sender) } else { &[] };
        let mut content = render::message(message, &Placement::Timeline, mentions, loudness, &step);
        content[REQUEST] = json!({ "number": number, "state": state });
        let mut drafts = vec![self.draft(step, Some(number), "m.room.message", content, None)];
        let alone = self.alone();
        drafts.extend(whole.map(|(command, output)| alone.whole_output(number, command, output)));
        for draft in &mut drafts {
            draft.to = To::Person(self.sender.clone());
        }
        drafts
    }

    /// The step key of the message that shows what a run prints as it comes.
    pub fn live_step(number: RequestNumber) -> String {
        format!("request/{number}/live")
    }

    /// The message that shows what a run prints as it comes: without any of it, because it is sent whenever that can be.
    pub fn live(&self, number: RequestNumber, message: &Message) -> OutboxDraft {
        self.note(Self::live_step(number), Some(number), message)
    }

    /// An edit of that message, in passing: the `count`th.
    pub fn live_edit(
        &self,
        (number, attempt): (RequestNumber, AttemptId),
        count: u64,
        message: &Message,
    ) -> Passing {
        let original = Self::live_step(number);
        let step = format!("{original}/{count}");
        let content = render::message(message, &self.place, &[], Loudness::Notice, &step);
        Passing { number, attempt, to: self.room.clone().into(), original, step, content }
    }

    /// The step key of the message that shows it to who asked alone.
    pub fn private_live_step(number: RequestNumber) -> String {
        format!("request/{number}/private/live")
    }

    /// That message: without any of it, as the other.
    pub fn private_live(&self, number: RequestNumber, message: &Message) -> OutboxDraft {
        let draft = self.alone().note(Self::private_live_step(number), Some(number), message);
        OutboxDraft { to: To::Person(self.sender.clone()), ..draft }
    }

    /// An edit of it, in passing.
    pub fn private_live_edit(
        &self,
        run: (RequestNumber, AttemptId),
        count: u64,
        message: &Message,
    ) -> Passing {
        let original = Self::private_live_step(run.0);
        let step = format!("{original}/{count}");
        let content = render::message(message, &Placement::Timeline, &[], Loudness::Notice, &step);
        let to = To::Person(self.sender.clone());
        Passing { number: run.0, attempt: run.1, to, original, step, content }
    }

    /// The last edit of it, which shows nothing any more of what was printed: the private answer comes after it.
    pub fn private_live_end(&self, number: RequestNumber, message: &Message) -> OutboxDraft {
        let original = Self::private_live_step(number);
        let step = format!("{original}/end");
        let content = render::message(message, &Placement::Timeline, &[], Loudness::Notice, &step);
        let content = render::edit_of(&original, content);
        let draft = self.draft(step, Some(number), "m.room.message", content, None);
        OutboxDraft { to: To::Person(self.sender.clone()), ..draft }
    }

    /// The same address, for the room with the one who asked alone.
    fn alone(&self) -> Self {
        Self { place: Placement::Timeline, ..self.clone() }
    }

    /// The last edit of that message, which shows nothing any more of what was printed. It goes out before the answer.
    pub fn live_end(&self, number: RequestNumber, message: &Message) -> OutboxDraft {
        let step = format!("{}/end", Self::live_step(number));
        let content = render::message(message, &self.place, &[], Loudness::Notice, &step);
        let content = render::edit_of(&Self::live_step(number), content);
        self.draft(step, Some(number), "m.room.message", content, None)
    }

    /// A line in the main timeline, for those whose client hides threads. Nothing where the answer is there itself.
    pub fn timeline(&self, number: RequestNumber, message: &Message) -> Option<OutboxDraft> {
        if !matches!(self.place, Placement::Thread { .. }) {
            return None;
        }
        let step = format!("request/{number}/timeline");
        let content = render::message(message, &Placement::Timeline, &[], Loudness::Notice, &step);
        Some(self.draft(step, Some(number), "m.room.message", content, None))
    }

    /// What takes the place of the mark that it runs: that of its end, and the redaction of the other. They go out after
    /// the answer, in its lane.
    pub fn end_mark(&self, number: RequestNumber, mark: StateMark) -> Vec<OutboxDraft> {
        let Some(mut end) = self.mark(number, mark) else { return Vec::new() };
        end.request = Some(number);
        vec![end, self.unmark(number, StateMark::Running)]
    }

    /// What takes a mark off its command again, once that mark was sent.
    pub fn unmark(&self, number: RequestNumber, mark: StateMark) -> OutboxDraft {
        let step = match mark {
            StateMark::Running => format!("request/{number}/unmark"),
            other => format!("request/{number}/unmark/{other:?}"),
        };
        let content = render::redaction_of(&Self::mark_step(number, mark), &step);
        self.draft(step, Some(number), REDACTION, content, None)
    }

    /// The step key of a mark.
    pub fn mark_step(number: RequestNumber, mark: StateMark) -> String {
        format!("request/{number}/mark/{mark:?}")
    }

    /// The mark of a state on the command itself.
    pub fn mark(&self, number: RequestNumber, mark: StateMark) -> Option<OutboxDraft> {
        let event = self.event.as_ref()?;
        let step = Self::mark_step(number, mark);
        let content = render::reaction(event, mark, &step);
        Some(self.draft(step, None, "m.reaction", content, None))
    }

    /// Something said about a request beside its answers; `step` names it among all that is said.
    pub fn note(&self, step: String, number: Option<RequestNumber>, message: &Message) -> OutboxDraft {
        let content = render::message(message, &self.place, &[], Loudness::Notice, &step);
        self.draft(step, number, "m.room.message", content, None)
    }

    fn draft(
        &self,
        step: String,
        request: Option<RequestNumber>,
        kind: &str,
        content: serde_json::Value,
        file: Option<File>,
    ) -> OutboxDraft {
        OutboxDraft { step, to: self.room.clone().into(), request, kind: kind.to_owned(), content, file }
    }
}

/// Something said in a room that belongs to no request.
pub fn in_room(room: OwnedRoomId, step: String, message: &Message) -> OutboxDraft {
    let content = render::message(message, &Placement::Timeline, &[], Loudness::Notice, &step);
    OutboxDraft {
        step,
        to: room.into(),
        request: None,
        kind: "m.room.message".to_owned(),
        content,
        file: None,
    }
}
