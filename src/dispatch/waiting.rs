//! A request begins to wait, or to wait for something else: its state, and the prompt that shows what is approved.

use std::sync::Arc;

use ruma::EventId;

use super::{
    dispatcher::House,
    docket::Void,
    pipeline::{Asked, No},
    reload,
    said_of_waiting::{self as said, Prompt},
};
use crate::{
    catalogue::Command,
    command,
    model::{Digest, Event, Invocation, Message, SignedDuration, State},
    policy::{Decision, Permit, Wait},
    storage::{ContentKind, Error, NewWait, Waiting, Work},
};

/// What is asked for, and for what it is to wait.
pub struct Begin<'a> {
    /// The state that it leaves.
    pub from: State,
    /// The command.
    pub command: &'a Arc<Command>,
    /// With its arguments.
    pub invocation: &'a Invocation,
    /// What the rules ask for.
    pub wait: Wait,
    /// What is approved.
    pub digest: Digest,
    /// What it had been given, and that is void now.
    pub void: &'a [Void],
    /// Whether what was understood is not what was typed.
    pub understood: bool,
}

impl Asked<'_> {
    /// From the pipeline: a command that waits, to its commit.
    pub async fn begin_to_wait(
        &self,
        mut work: Work,
        wait: Wait,
        command: &Arc<Command>,
        invocation: &Invocation,
        understood: bool,
    ) -> Result<(), Error> {
        let digest = self.approval_digest(command, invocation).await;
        let begin = Begin { from: State::Received, command, invocation, wait, digest, void: &[], understood };
        self.ask_for_words(&mut work, begin).await?;
        self.house.conclude(work).await
    }

    /// Has the request wait, and prompts those whose word it needs.
    pub async fn ask_for_words(&self, work: &mut Work, begin: Begin<'_>) -> Result<(), Error> {
        let Begin { from, command, invocation, wait, digest, void, understood } = begin;
        let confirms = !wait.confirm.is_empty();
        let to = if confirms { State::AwaitingConfirmation } else { State::AwaitingApproval };
        if from != to && !from.may_become(to) {
            // It was confirmed, and is another thing now: its requester looks at it anew.
            let no = No::plain("changed", Some(said::confirmed_another(&invocation.typed())));
            return self.write_refusal(work, from, no).await;
        }
        let settings = &self.in_force.ops.settings;
        let until = work.now() + settings.approval_wait;
        let remind_at = (SignedDuration::ZERO < settings.approval_remind
            && settings.approval_remind < settings.approval_wait)
            .then(|| until - settings.approval_remind);
        let lock = command::lock(command, invocation);
        let new = NewWait {
            invocation,
            rules: wait.rules,
            ops: self.in_force.ops.digest,
            lock: lock.as_deref(),
            digest,
            until,
            remind_at,
        };
        let event = self.asks(work, invocation, &wait, digest, until);
        let round = work.wait(self.number, (from, to), &new, event).await?;
        let mentions = if confirms {
            vec![self.sender.to_owned()]
        } else {
            self.candidates(work, invocation, &wait).await?
        };
        let prompt = Prompt {
            prefix: &settings.prefix,
            number: self.number,
            requester: self.sender,
            command,
            invocation,
            digest,
            until,
            now: work.now(),
            wait: &wait,
            candidates: &mentions,
            changes: &reload::would_change(self, invocation).await?,
            understood,
        };
        let message = if confirms { prompt.confirmation() } else { prompt.approval() };
        let mut message = self.says_elevation(message);
        if !void.is_empty() {
            message = said::void(void).followed_by(message);
        }
        work.send(self.address.prompt(self.number, to, round, None, &message, &mentions));
        metrics::counter!("quarterdeck_prompts_total").increment(1);
        Ok(())
    }

    /// Shows the present prompt once more, to somebody who answered another.
    pub async fn show_again(
        &self,
        work: &mut Work,
        begin: Begin<'_>,
        waiting: &Waiting,
        event: &EventId,
    ) -> Result<(), Error> {
        let Begin { from, command, invocation, wait, digest, understood, .. } = begin;
        let candidates = self.candidates(work, invocation, &wait).await?;
        let prompt = Prompt {
            prefix: &self.in_force.ops.settings.prefix,
            number: self.number,
            requester: self.sender,
            command,
            invocation,
            digest,
            until: waiting.until,
            now: work.now(),
            wait: &wait,
            candidates: &candidates,
            changes: &reload::would_change(self, invocation).await?,
            understood,
        };
        work.send(self.address.prompt(
            self.number,
            from,
            waiting.round,
            Some(event),
            &prompt.approval(),
            &[],
        ));
        Ok(())
    }

    /// The entry that tells what it waits for.
    fn asks(
        &self,
        work: &mut Work,
        invocation: &Invocation,
        wait: &Wait,
        digest: Digest,
        until: crate::model::Timestamp,
    ) -> Event {
        let json = serde_json::to_vec(invocation).unwrap_or_default();
        let (command, subject, dry) =
            (invocation.command.clone(), invocation.subject.clone(), invocation.dry);
        let inputs = work.content(self.number, ContentKind::Inputs, wait.inputs.as_str().as_bytes());
        let invocation = work.content(self.number, ContentKind::Invocation, &json);
        let (policies, rules) = (wait.policies.clone(), wait.rules);
        let elevated = self.standing.elevated.iter().cloned().collect();
        if wait.confirm.is_empty() {
            Event::ApprovalRequested {
                command,
                subject,
                dry,
                invocation,
                inputs,
                policies,
                rules,
                digest,
                until,
                elevated,
            }
        } else {
            Event::ConfirmationRequested {
                command,
                subject,
                dry,
                invocation,
                inputs,
                policies,
                rules,
                digest,
                until,
                elevated,
            }
        }
    }

    /// Nothing is missing any more: it is queued, and decided once more when it starts.
    pub async fn let_start(
        &self,
        work: &mut Work,
        permit: Permit,
        command: &Command,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let lock = command::lock(command, invocation);
        let ops = self.in_force.ops.digest;
        work.permitted(self.number, &permit, invocation, ops, lock.as_deref()).await?;
        work.satisfied(self.number).await?;
        // The permit was for this moment. The start asks for one of its own.
        drop(permit);
        Ok(())
    }

    /// After something about it has changed: decided anew, it starts, waits for what is missing now, or is refused.
    pub async fn decide_anew(
        &self,
        work: &mut Work,
        from: State,
        command: &Arc<Command>,
        invocation: &Invocation,
        digest: Digest,
        void: &[Void],
    ) -> Result<(), Error> {
        match self.decide(invocation, work.now()) {
            Decision::Permitted(permit) => self.let_start(work, permit, command, invocation).await,
            Decision::Waits(wait) => {
                let begin = Begin { from, command, invocation, wait, digest, void, understood: false };
                self.ask_for_words(work, begin).await
            }
            Decision::Refused(refusal) => {
                let no = self.forbidden(refusal, command, invocation.clone(), work.now());
                self.write_refusal(work, from, no).await
            }
        }
    }
}

impl House {
    /// Commits somebody's word to a request.
    pub async fn conclude_word(&self, work: Work) -> Result<(), Error> {
        crate::model::fault::Point::BeforeApprovalCommit.pass();
        self.conclude(work).await?;
        crate::model::fault::Point::AfterApprovalCommit.pass();
        Ok(())
    }
}

impl Message {
    /// The same message with another after it.
    pub(super) fn followed_by(mut self, other: Self) -> Self {
        self.mark = other.mark.or(self.mark);
        self.blocks.extend(other.blocks);
        self
    }
}
