//! The entries of the audit log. An entry is written in the same database transaction as what it tells of. Its body is Matrix
//! canonical JSON (specification, appendices, "Canonical JSON"), which has no floats. What may have to be erased one day (raw
//! text, arguments, inputs of a decision, output) is never in an entry: a [`Commitment`] to it is.

use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{AttemptId, BootId, Commitment, Digest, Ending, OutputSummary, RequestNumber, Sandbox, State};

pub use archived::Archived;
pub use body::Entry;
pub use recovered::{KeyChanged, Recovered, Shown};
pub use scheduled::{ScheduleEnded, ScheduleMissed, ScheduleSet};
pub use served::{ServerStarted, ServerStopped};
pub use visited::{DirectOpened, LoginAsked, SessionBegun, SessionEnded};

/// What an entry tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// A command arrived, readable or not.
    #[serde(rename = "command.received")]
    CommandReceived {
        /// Who sent it: the only identity there is.
        sender: OwnedUserId,
        /// The Matrix event that carried it, where one did.
        event_id: Option<OwnedEventId>,
        /// The door it came through: `matrix`, ...
        door: String,
        /// When its sender's homeserver says that it was sent.
        claimed_at: Timestamp,
        /// When it arrived here.
        received_at: Timestamp,
        /// The text as it came.
        text: Commitment,
    },
    /// The rules permit it.
    #[serde(rename = "command.permitted")]
    CommandPermitted {
        /// The command's name.
        command: String,
        /// The system it acts on.
        subject: Option<String>,
        /// Whether it is about the command's dry run.
        #[serde(default, skip_serializing_if = "super::invocation::is_false")]
        dry: bool,
        /// The whole invocation.
        invocation: Commitment,
        /// What the rules were given: Cedar's request and entities.
        inputs: Commitment,
        /// The ids of the rules that decided.
        policies: Vec<String>,
        /// The version of the rules.
        rules: Digest,
        /// The teams that its sender was in for a while.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        elevated: Vec<String>,
    },
    /// It is not run.
    #[serde(rename = "command.refused")]
    CommandRefused {
        /// The kind of reason: `rules`, `evaluation`, `unreadable`, `stale`, `membership`, `server`, ...
        why: String,
        /// The command's name, if it was understood so far.
        command: Option<String>,
        /// The system it would have acted on.
        subject: Option<String>,
        /// Whether it is about the command's dry run.
        #[serde(default, skip_serializing_if = "super::invocation::is_false")]
        dry: bool,
        /// The whole invocation, if it was understood.
        invocation: Option<Commitment>,
        /// What the rules were given, if they were asked.
        inputs: Option<Commitment>,
        /// The reason in words, as it was answered.
        reason: Commitment,
        /// The ids of the rules that decided.
        policies: Vec<String>,
        /// The version of the rules.
        rules: Digest,
        /// The teams that its sender was in for a while.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        elevated: Vec<String>,
    },
    /// An inbox row failed again and again for a reason of its own, and was passed.
    #[serde(rename = "command.unprocessable")]
    CommandUnprocessable {
        /// The row's identity at its source: an event id.
        external_id: String,
        /// What failed.
        reason: String,
    },
    /// It is permitted, and waits for its lock.
    #[serde(rename = "run.queued")]
    RunQueued {
        /// The lock it waits for.
        lock: String,
    },
    /// The rules permit it once others approve.
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        /// The command's name.
        command: String,
        /// The system it acts on.
        subject: Option<String>,
        /// Whether it is about the command's dry run.
        #[serde(default, skip_serializing_if = "super::invocation::is_false")]
        dry: bool,
        /// The whole invocation.
        invocation: Commitment,
        /// What the rules were given.
        inputs: Commitment,
        /// The ids of the rules that ask for it.
        policies: Vec<String>,
        /// The version of the rules.
        rules: Digest,
        /// What is approved: requester, invocation, definition of what runs, rules.
        digest: Digest,
        /// Until when it waits.
        until: Timestamp,
        /// The teams that its sender was in for a while.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        elevated: Vec<String>,
    },
    /// Somebody approved it, and it counts.
    #[serde(rename = "approval.given")]
    ApprovalGiven {
        /// By whom.
        by: OwnedUserId,
        /// The reaction or the command that said so.
        event_id: OwnedEventId,
        /// What was approved.
        digest: Digest,
        /// The teams that its giver was in for a while.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        elevated: Vec<String>,
    },
    /// Whoever had approved it took that back.
    #[serde(rename = "approval.withdrawn")]
    ApprovalWithdrawn {
        /// Who.
        by: OwnedUserId,
        /// What had been approved.
        digest: Digest,
    },
    /// Somebody wanted to approve it, and it does not count.
    #[serde(rename = "approval.refused")]
    ApprovalRefused {
        /// Who.
        by: OwnedUserId,
        /// Why not: `requester`, `rules`, `team`, `membership`, `outdated`, `late`, `twice`, ...
        why: String,
        /// What would have been approved, where that is known.
        digest: Option<Digest>,
    },
    /// An approval counts no longer.
    #[serde(rename = "approval.void")]
    ApprovalVoid {
        /// Whose it was.
        by: OwnedUserId,
        /// What had been approved.
        digest: Digest,
        /// Why: `changed`, `membership`, `rules`.
        why: String,
    },
    /// The rules permit it once its requester confirms.
    #[serde(rename = "confirmation.requested")]
    ConfirmationRequested {
        /// The command's name.
        command: String,
        /// The system it acts on.
        subject: Option<String>,
        /// Whether it is about the command's dry run.
        #[serde(default, skip_serializing_if = "super::invocation::is_false")]
        dry: bool,
        /// The whole invocation.
        invocation: Commitment,
        /// What the rules were given.
        inputs: Commitment,
        /// The ids of the rules that ask for it.
        policies: Vec<String>,
        /// The version of the rules.
        rules: Digest,
        /// What is confirmed.
        digest: Digest,
        /// Until when it waits.
        until: Timestamp,
        /// The teams that its sender was in for a while.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        elevated: Vec<String>,
    },
    /// Its requester confirmed it.
    #[serde(rename = "confirmation.given")]
    ConfirmationGiven {
        /// By whom.
        by: OwnedUserId,
        /// The reaction or the command that said so.
        event_id: OwnedEventId,
        /// What was confirmed.
        digest: Digest,
    },
    /// Somebody who may refuse it did.
    #[serde(rename = "command.denied")]
    CommandDenied {
        /// By whom.
        by: OwnedUserId,
        /// Why, in words, where that was said.
        reason: Option<Commitment>,
        /// The teams that that person was in for a while.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        elevated: Vec<String>,
    },
    /// Nobody said the word that it waited for.
    #[serde(rename = "command.expired")]
    CommandExpired {
        /// Until when it waited.
        until: Timestamp,
    },
    /// Somebody wants a running request stopped. How it ended, the run itself tells.
    #[serde(rename = "run.cancel_requested")]
    RunCancelRequested {
        /// By whom.
        by: OwnedUserId,
    },
    /// A process was allowed to start, by this attempt.
    #[serde(rename = "run.started")]
    RunStarted {
        /// The attempt.
        attempt: AttemptId,
        /// The life of the server that starts it.
        boot: BootId,
        /// The kind of executor.
        executor: String,
        /// The names of the secrets it is given.
        secrets: Vec<String>,
        /// How it is shut in; nothing for what Quarterdeck answers itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sandbox: Option<Sandbox>,
    },
    /// The run ended, or its outcome is unknown.
    #[serde(rename = "run.finished")]
    RunFinished {
        /// The attempt.
        attempt: AttemptId,
        /// What ended it.
        ending: Ending,
        /// From start to end, in milliseconds.
        took_ms: i64,
        /// The facts about its output.
        output: OutputSummary,
        /// The output that was kept, where there was any; of a long one both ends.
        kept: Option<Commitment>,
        /// All of a long output, and the files that it left.
        #[serde(flatten)]
        parts: super::InParts,
    },
    /// A run ended after it had already been given a final state. Recorded, and nothing else changes.
    #[serde(rename = "run.finished_late")]
    RunFinishedLate {
        /// The attempt.
        attempt: AttemptId,
        /// What ended it.
        ending: Ending,
    },
    /// A request that still waited was cancelled.
    #[serde(rename = "command.cancelled")]
    CommandCancelled {
        /// By whom.
        by: OwnedUserId,
    },
    /// The message of a command was edited afterwards; what was recorded stays.
    #[serde(rename = "message.edited")]
    MessageEdited {
        /// The command's event.
        event_id: OwnedEventId,
        /// By whom.
        by: OwnedUserId,
        /// The new text.
        text: Commitment,
    },
    /// The message of a command was redacted afterwards; what was recorded stays.
    #[serde(rename = "message.redacted")]
    MessageRedacted {
        /// The command's event.
        event_id: OwnedEventId,
        /// By whom.
        by: OwnedUserId,
    },
    /// Quarterdeck created or changed a room.
    #[serde(rename = "room.changed")]
    RoomChanged {
        /// The room's name in the ops folder.
        name: String,
        /// What was changed, in words.
        what: String,
    },
    /// A room cannot be kept as declared.
    #[serde(rename = "room.failed")]
    RoomFailed {
        /// The room's name in the ops folder.
        name: String,
        /// What is wrong, and how to mend it.
        what: String,
    },
    /// A room took the place of another that was closed: commands count there from now on.
    #[serde(rename = "room.adopted")]
    RoomAdopted {
        /// The room's name in the ops folder.
        name: String,
        /// The room whose place it took, which it names as its predecessor.
        before: OwnedRoomId,
        /// Who created it.
        creators: Vec<OwnedUserId>,
        /// The administrator who confirmed it; nobody where Quarterdeck created it itself.
        by: Option<String>,
    },
    /// Somebody's membership of a room changed.
    #[serde(rename = "member.changed")]
    MemberChanged {
        /// Whose.
        user: OwnedUserId,
        /// The new membership: `join`, `leave`, `invite`, `ban`, `knock`.
        membership: String,
        /// By whom.
        by: OwnedUserId,
    },
    /// Somebody who may not invite Quarterdeck did, and was told no.
    #[serde(rename = "invitation.declined")]
    InvitationDeclined {
        /// By whom it was invited.
        by: OwnedUserId,
    },
    /// A version of the ops folder came into force.
    #[serde(rename = "rules.loaded")]
    RulesLoaded {
        /// The digest of the whole folder.
        folder: Digest,
        /// The digest of the rules: policies, schema, teams and systems.
        rules: Digest,
        /// The git commit, where the folder is a clean checkout or was taken out of a repository.
        commit: Option<String>,
        /// The branch, tag or commit that was asked for, where it was fetched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Whose signature the commit bears, where signatures are asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signer: Option<String>,
        /// Who had it loaded, where a person did from a room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<OwnedUserId>,
    },
    /// Somebody is in a team for a while.
    #[serde(rename = "elevation.given")]
    ElevationGiven {
        /// Who.
        user: OwnedUserId,
        /// The team.
        team: String,
        /// Until when.
        until: Timestamp,
        /// What for, in their words.
        reason: Commitment,
    },
    /// That is over.
    #[serde(rename = "elevation.ended")]
    ElevationEnded {
        /// Who.
        user: OwnedUserId,
        /// The team.
        team: String,
        /// `over`: its time had come. `struck`: the person was taken out of a team.
        why: String,
    },
    /// Something is to be done again and again, as the one who set it.
    #[serde(rename = "schedule.set")]
    ScheduleSet(ScheduleSet),
    /// It is done no more.
    #[serde(rename = "schedule.ended")]
    ScheduleEnded(ScheduleEnded),
    /// It was due, and nobody looked until it was too late: it was not done.
    #[serde(rename = "schedule.missed")]
    ScheduleMissed(ScheduleMissed),
    /// A command of emergency was permitted and is about to start.
    #[serde(rename = "emergency.used")]
    EmergencyUsed {
        /// By whom.
        by: OwnedUserId,
        /// The command.
        command: String,
        /// The system it acts on.
        subject: Option<String>,
        /// What for, in their words.
        reason: Commitment,
    },
    /// A user of this host whom no team names asked for something at the local socket, and was told no.
    #[serde(rename = "local.refused")]
    LocalRefused {
        /// The user's number.
        uid: u32,
        /// Why.
        why: String,
    },
    /// Something was done past Quarterdeck, and somebody says so: `quarterdeck note`.
    #[serde(rename = "outside.noted")]
    OutsideNoted {
        /// Who says so: an operating system's user.
        by: String,
        /// The system it was done to, by key.
        system: String,
        /// What was done, in a line.
        what: String,
    },
    /// Contents of this request were erased: they are gone, and what is recorded of them is that they were there.
    #[serde(rename = "content.erased")]
    ContentErased {
        /// By whom.
        by: OwnedUserId,
        /// The request by which it was asked for and decided.
        asked: RequestNumber,
        /// What was erased, as the entries before name it.
        contents: Vec<Commitment>,
        /// What for, in their words: a content of the request by which it was asked for.
        reason: Commitment,
    },
    /// Contents of this request are in a file now, as a declared rule wants it, and no more in the database.
    #[serde(rename = "content.archived")]
    ContentArchived(Archived),
    /// Somebody read the audit log.
    #[serde(rename = "audit.read")]
    AuditRead {
        /// Who: an MXID, or an operating system's user on the command line.
        by: String,
        /// What was asked for, in words.
        query: String,
    },
    /// For an hour nothing was written: the log goes on all the same.
    #[serde(rename = "log.heartbeat")]
    LogHeartbeat {},
    /// The log goes on with another key.
    #[serde(rename = "log.key_changed")]
    LogKeyChanged(KeyChanged),
    /// A new log begins: the database was restored from a backup, and what was signed since then is gone. Its first entry.
    #[serde(rename = "log.recovered")]
    LogRecovered(Recovered),
    /// A request was unfinished in a database that was restored: what became of it is not known, and it is not run.
    #[serde(rename = "command.interrupted")]
    CommandInterrupted {
        /// Where it stood in the backup.
        was: State,
    },
    /// A message could not be sent, for a reason that waiting does not mend.
    #[serde(rename = "answer.parked")]
    AnswerParked {
        /// The message's step key.
        step: String,
        /// The homeserver's error.
        reason: String,
    },
    /// What a run printed is not shown in its room, because not everybody there may read it.
    #[serde(rename = "answer.private")]
    AnswerPrivate {
        /// Why: `declared`, or `readers`.
        why: String,
        /// Who of the room may not read it; the first of them, where they are many.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        readers: Vec<OwnedUserId>,
        /// To whom it went instead; nobody, where who asked may not read it either or is not there any more.
        to: Option<OwnedUserId>,
        /// The version of the rules.
        rules: Digest,
    },
    /// The room with one person alone: for what others may not read.
    #[serde(rename = "direct.opened")]
    DirectOpened(DirectOpened),
    /// Somebody asked for a link to the pages.
    #[serde(rename = "login.asked")]
    LoginAsked(LoginAsked),
    /// A session at the pages began.
    #[serde(rename = "session.begun")]
    SessionBegun(SessionBegun),
    /// It ended.
    #[serde(rename = "session.ended")]
    SessionEnded(SessionEnded),
    /// A `serve` process started its work.
    #[serde(rename = "server.started")]
    ServerStarted(ServerStarted),
    /// A `serve` process ended in good order.
    #[serde(rename = "server.stopped")]
    ServerStopped(ServerStopped),
}
mod archived;
mod body;
mod kind;
mod recovered;
mod scheduled;
mod served;
#[cfg(test)]
mod tests;
mod visited;
