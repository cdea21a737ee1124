//! Makes the state of a room as it should be.

use ruma::OwnedRoomId;

use super::{
    ReconcileError, Report,
    bind::{House, concerns_all, patiently, told},
    found::Found,
    wanted::{State, WantedRoom},
};

/// Sets what is not as wanted, and says so.
pub(super) async fn mend(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    found: &Found,
    ties: Vec<State>,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let is_main = has_alias(house, wanted, room, report).await?;
    // A room that we took over may have been created by somebody else: there we need a level like all others.
    let bot = house.homeserver.bot();
    let above = found.creators_stand_above() && found.creators().iter().any(|creator| creator == bot);
    let state = wanted.state(bot, above);
    for state in state.into_iter().chain(ties) {
        // An alias that leads elsewhere may not be named as the room's own.
        if found.has(&state) || (state.kind == "m.room.canonical_alias" && !is_main) {
            continue;
        }
        let set = || house.homeserver.set_state(room, state.kind, &state.key, &state.content);
        match patiently(set).await {
            Ok(_) => report.change(&wanted.key, room, format!("{} set as declared", state.says)),
            Err(error) if concerns_all(&error) => return Err(error.into()),
            Err(error) => report.fail(
                &wanted.key,
                Some(room),
                format!(
                    "{} of {} cannot be set: {error}. Let somebody with the power give {} level 100 there, or have \
                     a new room made: delete the alias and rename rooms/{}.toml",
                    state.says,
                    told(wanted, room),
                    house.homeserver.bot(),
                    wanted.key
                ),
            ),
        }
    }
    Ok(())
}

/// Makes sure that the alias leads to the room.
async fn has_alias(
    house: &House<'_>,
    wanted: &WantedRoom,
    room: &OwnedRoomId,
    report: &mut Report,
) -> Result<bool, ReconcileError> {
    let result = match patiently(|| house.homeserver.resolve(&wanted.alias)).await {
        Ok(Some(other)) if other == *room => return Ok(true),
        Ok(Some(other)) => {
            report.fail(
                &wanted.key,
                Some(room),
                format!(
                    "{} leads to {other}, not to {room}, which Quarterdeck keeps. Delete that alias: it is then given \
                     to the right room. Commands count by the room's id, so none goes astray meanwhile",
                    wanted.alias
                ),
            );
            return Ok(false);
        }
        Ok(None) => patiently(|| house.homeserver.create_alias(&wanted.alias, room)).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {
            report.change(&wanted.key, room, format!("{} given to it", wanted.alias));
            Ok(true)
        }
        Err(error) if concerns_all(&error) => Err(error.into()),
        Err(error) => {
            report.fail(
                &wanted.key,
                Some(room),
                format!("{} cannot be given to {room}: {error}", wanted.alias),
            );
            Ok(false)
        }
    }
}
