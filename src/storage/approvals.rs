//! Approvals: who said yes to which digest, by which event, and whether it still stands.

use std::collections::BTreeSet;

use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId, UserId};

use jiff_sqlx::Timestamp as SqlTime;

use super::{Error, Work, error::Doing as _, requests::digest};
use crate::{
    model::{Digest, Event, RequestNumber},
    policy::Permit,
};

/// An approval that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Whose.
    pub approver: OwnedUserId,
    /// The reaction or the command that gave it.
    pub event_id: OwnedEventId,
    /// What it was given for.
    pub digest: Digest,
}

/// How an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<'a> {
    /// Its giver took it back.
    Withdrawn,
    /// It was given for something else, or its giver's word no longer counts: why, for the record.
    Void(&'a str),
}

impl Work {
    /// The approvals of a request that stand, in the order in which they were given.
    pub async fn approvals(&mut self, number: RequestNumber) -> Result<Vec<Approval>, Error> {
        let rows = sqlx::query!(
            "SELECT approver, event_id, digest FROM approvals
             WHERE request = $1 AND ended_at IS NULL ORDER BY given_at, event_id",
            number.0
        )
        .fetch_all(self.tx()?)
        .await
        .doing("reading approvals")?;
        rows.into_iter().map(|row| approval(row.approver, row.event_id, row.digest)).collect()
    }

    /// Notes an approval, and records it: by the one whom the rules permitted to give it. The caller has seen to it that the giver has no other that stands.
    /// `elevated`: the teams that the giver is in for a while.
    pub async fn approve(
        &mut self,
        permit: &Permit,
        number: RequestNumber,
        given: &Approval,
        elevated: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let Approval { approver, event_id, digest } = given;
        if permit.principal() != approver {
            return Err(Error::ForeignPermit { number });
        }
        sqlx::query!(
            "INSERT INTO approvals (request, approver, event_id, digest, given_at) VALUES ($1, $2, $3, $4, $5)",
            number.0,
            approver.as_str(),
            event_id.as_str(),
            digest.as_bytes(),
            SqlTime::from(self.now) as _,
        )
        .execute(self.tx()?)
        .await
        .doing("noting an approval")?;
        let event = Event::ApprovalGiven {
            by: approver.clone(),
            event_id: event_id.clone(),
            digest: *digest,
            elevated: elevated.iter().cloned().collect(),
        };
        let room = self.room_of(number).await?;
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }

    /// Ends an approval that stands, and records how.
    pub async fn end_approval(
        &mut self,
        number: RequestNumber,
        approval: &Approval,
        how: Ended<'_>,
    ) -> Result<(), Error> {
        let (by, digest) = (approval.approver.clone(), approval.digest);
        let (name, event) = match how {
            Ended::Withdrawn => ("withdrawn", Event::ApprovalWithdrawn { by, digest }),
            Ended::Void(why) => ("void", Event::ApprovalVoid { by, digest, why: why.to_owned() }),
        };
        sqlx::query!(
            "UPDATE approvals SET ended_at = $3, ended_how = $4
             WHERE request = $1 AND event_id = $2 AND ended_at IS NULL",
            number.0,
            approval.event_id.as_str(),
            SqlTime::from(self.now) as _,
            name,
        )
        .execute(self.tx()?)
        .await
        .doing("ending an approval")?;
        let room = self.room_of(number).await?;
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }

    /// The standing approval that an event of this room gave, and to which request.
    pub async fn approval_by_event(
        &mut self,
        room: &RoomId,
        event: &EventId,
    ) -> Result<Option<(RequestNumber, Approval)>, Error> {
        let row = sqlx::query!(
            "SELECT a.request, a.approver, a.event_id, a.digest
             FROM approvals a JOIN requests r ON r.number = a.request
             WHERE a.event_id = $1 AND r.room_id = $2 AND a.ended_at IS NULL",
            event.as_str(),
            room.as_str(),
        )
        .fetch_optional(self.tx()?)
        .await
        .doing("looking up an approval")?;
        row.map(|row| Ok((RequestNumber(row.request), approval(row.approver, row.event_id, row.digest)?)))
            .transpose()
    }

    /// Records that somebody's approval was not counted, and why.
    pub async fn approval_refused(
        &mut self,
        number: RequestNumber,
        by: &UserId,
        why: &str,
        digest: Option<Digest>,
    ) -> Result<(), Error> {
        let room = self.room_of(number).await?;
        let event = Event::ApprovalRefused { by: by.to_owned(), why: why.to_owned(), digest };
        self.append(Some(number), room.as_deref(), event);
        Ok(())
    }
}

fn approval(approver: String, event_id: String, bytes: Vec<u8>) -> Result<Approval, Error> {
    let unreadable = |reason: String| Error::Unreadable { what: "an approval", reason };
    Ok(Approval {
        approver: OwnedUserId::try_from(approver).map_err(|error| unreadable(error.to_string()))?,
        event_id: OwnedEventId::try_from(event_id).map_err(|error| unreadable(error.to_string()))?,
        digest: digest(bytes)?,
    })
}
