//! The names of the types of entries.

use super::Event;

impl Event {
    /// The type's name in the log: `command.received`, ...
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CommandReceived { .. } => "command.received",
            Self::CommandPermitted { .. } => "command.permitted",
            Self::CommandRefused { .. } => "command.refused",
            Self::CommandUnprocessable { .. } => "command.unprocessable",
            Self::RunQueued { .. } => "run.queued",
            Self::ApprovalRequested { .. } => "approval.requested",
            Self::ApprovalGiven { .. } => "approval.given",
            Self::ApprovalWithdrawn { .. } => "approval.withdrawn",
            Self::ApprovalRefused { .. } => "approval.refused",
            Self::ApprovalVoid { .. } => "approval.void",
            Self::ConfirmationRequested { .. } => "confirmation.requested",
            Self::ConfirmationGiven { .. } => "confirmation.given",
            Self::CommandDenied { .. } => "command.denied",
            Self::CommandExpired { .. } => "command.expired",
            Self::RunCancelRequested { .. } => "run.cancel_requested",
            Self::RunStarted { .. } => "run.started",
            Self::RunFinished { .. } => "run.finished",
            Self::RunFinishedLate { .. } => "run.finished_late",
            Self::CommandCancelled { .. } => "command.cancelled",
            Self::MessageEdited { .. } => "message.edited",
            Self::MessageRedacted { .. } => "message.redacted",
            Self::RoomChanged { .. } => "room.changed",
            Self::RoomFailed { .. } => "room.failed",
            Self::RoomAdopted { .. } => "room.adopted",
            Self::MemberChanged { .. } => "member.changed",
            Self::InvitationDeclined { .. } => "invitation.declined",
            Self::RulesLoaded { .. } => "rules.loaded",
            Self::ElevationGiven { .. } => "elevation.given",
            Self::ElevationEnded { .. } => "elevation.ended",
            Self::ScheduleSet(_) => "schedule.set",
            Self::ScheduleEnded(_) => "schedule.ended",
            Self::ScheduleMissed(_) => "schedule.missed",
            Self::EmergencyUsed { .. } => "emergency.used",
            Self::LocalRefused { .. } => "local.refused",
            Self::OutsideNoted { .. } => "outside.noted",
            Self::ContentErased { .. } => "content.erased",
            Self::ContentArchived(_) => "content.archived",
            Self::AuditRead { .. } => "audit.read",
            Self::LogHeartbeat {} => "log.heartbeat",
            Self::LogKeyChanged(_) => "log.key_changed",
            Self::LogRecovered { .. } => "log.recovered",
            Self::CommandInterrupted { .. } => "command.interrupted",
            Self::AnswerParked { .. } => "answer.parked",
            Self::AnswerPrivate { .. } => "answer.private",
            Self::DirectOpened(_) => "direct.opened",
            Self::LoginAsked(_) => "login.asked",
            Self::SessionBegun(_) => "session.begun",
            Self::SessionEnded(_) => "session.ended",
            Self::ServerStarted { .. } => "server.started",
            Self::ServerStopped { .. } => "server.stopped",
        }
    }

    /// Whether it tells, in the words of another host or service, why something ended: who may not read what was printed may
    /// not read that either.
    pub fn says_why_elsewhere(&self) -> bool {
        match self {
            Self::RunFinished { ending, .. } | Self::RunFinishedLate { ending, .. } => {
                ending.without_reason() != *ending
            }
            _ => false,
        }
    }

    /// Takes those words out.
    pub fn withhold_why(&mut self) {
        if let Self::RunFinished { ending, .. } | Self::RunFinishedLate { ending, .. } = self {
            *ending = ending.without_reason();
        }
    }
}
