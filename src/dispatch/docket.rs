//! A request that somebody's word is about: what is known of it, and what it has been given so far.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedUserId, RoomId, UserId};

use super::{
    answers::Address,
    dispatcher::House,
    in_force::InForce,
    pipeline::{Asked, Granted},
    running::still_means,
};
use crate::{
    catalogue::{Command, Room},
    executor,
    model::{Digest, Invocation, RequestNumber, Timestamp, approval_digest},
    policy::{Action, Decision, Need, Wait},
    storage::{Approval, Ended, Error, Membership, Request, Standing, Waiting, Work},
};

/// A request that was read and is held, with its requester's standing.
pub struct Docket {
    /// The request.
    pub request: Request,
    /// What it asks for.
    pub invocation: Invocation,
    /// The command, as it is in force.
    pub command: Arc<Command>,
    /// Its requester's standing.
    pub standing: Standing,
    /// What it waits for, or has waited for.
    pub waiting: Option<Waiting>,
}

/// What came of looking a request up.
pub enum Found {
    /// It is there.
    There(Box<Docket>),
    /// It is there, but what it asked for was never understood, or is not in the ops folder any more.
    Gone(Box<Gone>),
    /// There is none of this number in this room.
    Nowhere,
}

/// A request that can be given nothing any more, and can still be stopped.
pub struct Gone {
    /// The request.
    pub request: Request,
    /// Its requester's standing.
    pub standing: Standing,
}

impl Gone {
    /// The request as it goes through the pipeline.
    pub fn asked<'a>(&'a self, house: &'a Arc<House>, in_force: &'a InForce, room: &'a Room) -> Asked<'a> {
        asked((&self.request, &self.standing), house, in_force, room)
    }
}

impl Docket {
    /// Looks a request of this room up, and holds it until the work ends.
    pub async fn find(
        in_force: &InForce,
        work: &mut Work,
        room: &RoomId,
        number: RequestNumber,
    ) -> Result<Found, Error> {
        let Some(request) = work.request_by_number(room, number).await? else { return Ok(Found::Nowhere) };
        let Some(standing) = work.standing(room, &request.sender).await? else { return Ok(Found::Nowhere) };
        let declared = in_force.ops.rooms.get(&standing.key);
        let known = request.invocation.clone().zip(declared).and_then(|(invocation, room)| {
            let command = in_force.ops.command_of(&invocation)?;
            let same =
                request.ops == Some(in_force.ops.digest) || still_means(&in_force.ops, room, &invocation);
            (room.commands.contains(&command.name) && same).then_some((invocation, command))
        });
        let Some((invocation, command)) = known else {
            return Ok(Found::Gone(Box::new(Gone { request, standing })));
        };
        let waiting = if request.waited { work.waiting(number).await? } else { None };
        Ok(Found::There(Box::new(Self { request, invocation, command, standing, waiting })))
    }

    /// The request as it goes through the pipeline.
    pub fn asked<'a>(&'a self, house: &'a Arc<House>, in_force: &'a InForce, room: &'a Room) -> Asked<'a> {
        asked((&self.request, &self.standing), house, in_force, room)
    }
}

fn asked<'a>(
    (request, standing): (&'a Request, &'a Standing),
    house: &'a Arc<House>,
    in_force: &'a InForce,
    room: &'a Room,
) -> Asked<'a> {
    Asked {
        house,
        in_force,
        room,
        standing,
        sender: &request.sender,
        number: request.number,
        address: Address::of_request(request, room.answers),
        granted: Granted::default(),
    }
}

/// Somebody's word to a request.
pub struct Word<'a> {
    /// Whose.
    pub by: &'a UserId,
    /// Their standing in the room.
    pub standing: &'a Standing,
    /// The reaction or the command.
    pub event_id: &'a ruma::EventId,
    /// Whether it is too old, or from the future, to count as a yes.
    pub late: bool,
    /// The built-in command, where it was typed.
    pub said: Option<&'a Invocation>,
    /// What its speaker saw.
    pub seen: Seen,
}

/// Which version of a request somebody saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// This prompt.
    Round(i32),
    /// These digits of a digest.
    Digits(String),
    /// They spoke in its thread, where the newest stands, and do not say.
    InThread,
    /// They do not say, and spoke elsewhere.
    Unsaid,
}

impl Seen {
    /// Whether that is the present version. `None`: it was not said, though there were several.
    pub fn is_present(&self, waiting: &Waiting) -> Option<bool> {
        match self {
            Self::Round(round) => Some(*round == waiting.round),
            Self::Digits(digits) => Some(digits.len() >= 4 && waiting.digest.to_string().starts_with(digits)),
            // There has been one version, so that is the one they saw.
            Self::InThread if waiting.round == 1 => Some(true),
            Self::InThread | Self::Unsaid => None,
        }
    }
}

/// An approval that was found void, and why.
pub type Void = (OwnedUserId, &'static str);

impl Asked<'_> {
    /// What is approved when this is: who asks for what, by what definition, under which rules.
    pub async fn approval_digest(&self, command: &Command, invocation: &Invocation) -> Digest {
        let definition = executor::definition(command).await;
        let rules = self.in_force.rules.digest_for(&invocation.command);
        approval_digest(self.sender, invocation.digest(), definition, rules)
    }

    /// Takes what the request has been given and still counts, and ends what does not count any more: what was given for
    /// something else, by somebody who is not there any more, or by somebody whom the rules no longer let approve.
    pub async fn take_granted(
        &mut self,
        work: &mut Work,
        invocation: &Invocation,
        waiting: &Waiting,
        digest: Digest,
    ) -> Result<Vec<Void>, Error> {
        let mut granted = Granted { confirmed: waiting.confirmed == Some(digest), ..Granted::default() };
        let mut void = Vec::new();
        for approval in work.approvals(self.number).await? {
            let why = self.why_void(work, invocation, &approval, digest).await?;
            if let Some(why) = why {
                work.end_approval(self.number, &approval, Ended::Void(why)).await?;
                void.push((approval.approver, why));
            } else {
                granted.approvals.insert(approval.approver);
            }
        }
        self.granted = granted;
        Ok(void)
    }

    async fn why_void(
        &self,
        work: &mut Work,
        invocation: &Invocation,
        approval: &Approval,
        digest: Digest,
    ) -> Result<Option<&'static str>, Error> {
        if approval.digest != digest {
            return Ok(Some("changed"));
        }
        let standing = work.standing(&self.address.room, &approval.approver).await?;
        let joined = standing.filter(|standing| standing.membership == Some(Membership::Join));
        let Some(standing) =
            joined.filter(|_| self.in_force.admits(self.room, approval.approver.server_name()))
        else {
            return Ok(Some("membership"));
        };
        let by = (&*approval.approver, &standing);
        let decision = self.may_approve(invocation, by, None, work.now());
        Ok((!matches!(decision, Decision::Permitted(_))).then_some("rules"))
    }

    /// Whether the rules let somebody approve this.
    pub fn may_approve(
        &self,
        of: &Invocation,
        by: (&UserId, &Standing),
        said: Option<&Invocation>,
        now: Timestamp,
    ) -> Decision {
        let action = Action::Approve { of, requester: self.sender };
        self.in_force.ask_as_said(self.room, by, action, said, now)
    }

    /// What the request would still wait for if this person approved it as well: `Some(None)` for nothing. `None` if
    /// their approval would bring it no further, because they are in none of the teams that are asked.
    pub fn with_approval_of(
        &self,
        invocation: &Invocation,
        who: &UserId,
        wait: &Wait,
        now: Timestamp,
    ) -> Option<Decision> {
        let mut granted = self.granted.clone();
        granted.approvals.insert(who.to_owned());
        let action = Action::Run(invocation);
        let by = (self.sender, self.standing);
        let decision = self.in_force.ask(self.room, by, action, &granted, now);
        match &decision {
            Decision::Waits(after) => (given(after) != given(wait)).then_some(decision),
            Decision::Permitted(_) | Decision::Refused(_) => Some(decision),
        }
    }

    /// Who in the room may approve it and would bring it further.
    pub async fn candidates(
        &self,
        work: &mut Work,
        invocation: &Invocation,
        wait: &Wait,
    ) -> Result<Vec<OwnedUserId>, Error> {
        let now = work.now();
        let joined = work.joined(&self.address.room).await?;
        let may = |(who, standing): &(OwnedUserId, Standing)| {
            who != self.sender
                && !self.house.is_ours(who)
                && !self.granted.approvals.contains(who)
                && self.in_force.admits(self.room, who.server_name())
                && matches!(self.may_approve(invocation, (who, standing), None, now), Decision::Permitted(_))
                && self.with_approval_of(invocation, who, wait, now).is_some()
        };
        Ok(joined.into_iter().filter(may).map(|(who, _)| who).collect())
    }
}

/// How many of each team have approved; that of nobody in particular does not count here: any approval raises it.
fn given(wait: &Wait) -> BTreeSet<(&str, &str, i64)> {
    let named = |need: &Need| need.of.iter().any(|of| of.team != TOTAL);
    let of = wait.needs.iter().flat_map(|need| need.of.iter().map(move |of| (need, of)));
    // Where a rule names nobody in particular, everybody whom the rules let approve counts.
    of.filter(|(need, of)| of.team != TOTAL || !named(need))
        .map(|(need, of)| (&*need.rule, &*of.team, of.given))
        .collect()
}

/// The name under which a need counts people whatever their team.
pub const TOTAL: &str = "total";
