//! Named points at which a test kills the process, to see what the next start makes of it.
//!
//! In a release build there is nothing here at all.

/// A place, most of them in the life of a request, where dying must lose nothing and double nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The homeserver has made a room; that is not noted yet.
    AfterRoomMade,
    /// The homeserver has made the room with somebody alone; that is not noted yet.
    AfterDirectRoomMade,
    /// Somebody was invited into the room with them alone; nothing is said there yet.
    AfterDirectInvitation,
    /// A transaction arrived; nothing is stored.
    BeforeInboxCommit,
    /// The inbox is committed; the homeserver has no answer yet.
    AfterInboxCommit,
    /// Everything of the decision is written; the commit is not.
    BeforeDecisionCommit,
    /// The decision and the start are committed; no process exists.
    AfterDecisionCommit,
    /// The process runs.
    AfterProcessStart,
    /// The process has ended; nobody was told.
    AfterProcessEnd,
    /// All of a long output is in the database; no entry names it.
    AfterPartsKept,
    /// Everything that follows from somebody's word is written; the commit is not.
    BeforeApprovalCommit,
    /// Somebody's word is committed with what follows from it.
    AfterApprovalCommit,
    /// Everything of the outcome is written; the commit is not.
    BeforeOutcomeCommit,
    /// The outcome and the answer's outbox row are committed.
    AfterOutcomeCommit,
    /// The answer is about to be sent.
    BeforeAnswer,
    /// The answer was sent; that is not noted yet.
    AfterAnswer,
    /// Contents are taken away, and that is recorded; the commit is not made.
    BeforeErasureCommit,
    /// Old contents are in a file that was checked; they are still in the database, too.
    AfterArchiveWritten,
    /// They are taken away, and that is recorded; the commit is not made.
    BeforeArchiveCommit,
    /// It is committed; the file has not got its name.
    AfterArchiveCommit,
    /// Another version is recorded as in force; the commit is not made.
    BeforeReloadCommit,
    /// It is committed; decisions are still made under the version before.
    AfterReloadCommit,
    /// A time of a schedule is a row of the inbox, and the next is set; the commit is not made.
    BeforeFiringCommit,
    /// It is committed; nothing is decided.
    AfterFiringCommit,
    /// Leaves and the new head are written; the commit is not.
    BeforeTreeCommit,
    /// They are committed; nothing is signed yet.
    AfterTreeCommit,
    /// The checkpoint is signed; nobody has seen it, and it is not kept yet.
    AfterCheckpointSigned,
    /// The log is signed over to another key; that key is not in its place yet.
    AfterKeySignedOver,
    /// A witness has found a checkpoint to go on from what it saw; nothing is stored.
    BeforeWitnessStored,
    /// It is stored; nobody has the cosignature.
    AfterWitnessStored,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 30] = [
        Self::AfterRoomMade,
        Self::AfterDirectRoomMade,
        Self::AfterDirectInvitation,
        Self::BeforeInboxCommit,
        Self::AfterInboxCommit,
        Self::BeforeDecisionCommit,
        Self::AfterDecisionCommit,
        Self::AfterProcessStart,
        Self::AfterProcessEnd,
        Self::AfterPartsKept,
        Self::BeforeApprovalCommit,
        Self::AfterApprovalCommit,
        Self::BeforeOutcomeCommit,
        Self::AfterOutcomeCommit,
        Self::BeforeAnswer,
        Self::AfterAnswer,
        Self::BeforeErasureCommit,
        Self::AfterArchiveWritten,
        Self::BeforeArchiveCommit,
        Self::AfterArchiveCommit,
        Self::BeforeReloadCommit,
        Self::AfterReloadCommit,
        Self::BeforeFiringCommit,
        Self::AfterFiringCommit,
        Self::BeforeTreeCommit,
        Self::AfterTreeCommit,
        Self::AfterCheckpointSigned,
        Self::AfterKeySignedOver,
        Self::BeforeWitnessStored,
        Self::AfterWitnessStored,
    ];

    /// The name that `QUARTERDECK_DIE_AT` chooses it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterRoomMade => "after-room-made",
            Self::AfterDirectRoomMade => "after-direct-room-made",
            Self::AfterDirectInvitation => "after-direct-invitation",
            Self::BeforeInboxCommit => "before-inbox-commit",
            Self::AfterInboxCommit => "after-inbox-commit",
            Self::BeforeDecisionCommit => "before-decision-commit",
            Self::AfterDecisionCommit => "after-decision-commit",
            Self::AfterProcessStart => "after-process-start",
            Self::AfterProcessEnd => "after-process-end",
            Self::AfterPartsKept => "after-parts-kept",
            Self::BeforeApprovalCommit => "before-approval-commit",
            Self::AfterApprovalCommit => "after-approval-commit",
            Self::BeforeOutcomeCommit => "before-outcome-commit",
            Self::AfterOutcomeCommit => "after-outcome-commit",
            Self::BeforeAnswer => "before-answer",
            Self::AfterAnswer => "after-answer",
            Self::BeforeErasureCommit => "before-erasure-commit",
            Self::AfterArchiveWritten => "after-archive-written",
            Self::BeforeArchiveCommit => "before-archive-commit",
            Self::AfterArchiveCommit => "after-archive-commit",
            Self::BeforeReloadCommit => "before-reload-commit",
            Self::AfterReloadCommit => "after-reload-commit",
            Self::BeforeFiringCommit => "before-firing-commit",
            Self::AfterFiringCommit => "after-firing-commit",
            Self::BeforeTreeCommit => "before-tree-commit",
            Self::AfterTreeCommit => "after-tree-commit",
            Self::AfterCheckpointSigned => "after-checkpoint-signed",
            Self::AfterKeySignedOver => "after-key-signed-over",
            Self::BeforeWitnessStored => "before-witness-stored",
            Self::AfterWitnessStored => "after-witness-stored",
        }
    }

    /// Dies here, by SIGKILL, if the environment says so and this is a debug build.
    #[inline]
    pub fn pass(self) {
        #[cfg(debug_assertions)]
        if std::env::var_os("QUARTERDECK_DIE_AT").is_some_and(|point| point == self.name()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// Whether every event is to go through the inbox, so that a test can die between its receipt and its decision:
/// in a debug build where the environment says `QUARTERDECK_INBOX_FIRST`.
#[inline]
pub fn inbox_first() -> bool {
    cfg!(debug_assertions) && std::env::var_os("QUARTERDECK_INBOX_FIRST").is_some()
}
