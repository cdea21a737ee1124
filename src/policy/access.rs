//! Who could do what: team by command by environment, with the approvals needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedUserId, UserId};

use super::{
    Action, Decision, Question, Rules, Wait,
    names::{USER, leads_of},
};
use crate::{
    catalogue::{Command, Join, Ops, Room, RunKind, Team},
    model::{Invocation, Timestamp},
};

/// Something that somebody could do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// A team, a team's leads (`web-leads`), or a person whom a rule names.
    pub who: String,
    /// The command, as it is typed: `deploy`, or `dry deploy`.
    pub command: String,
    /// The environment of what it acts on, if it has one.
    pub environment: Option<String>,
    /// The system that it acts on, if it does on one.
    pub system: Option<String>,
    /// What it needs: nothing, or `1 of leads`, `confirmation`.
    pub needs: Vec<String>,
}

/// Makes invocations of a command to try: a function from above, where the grammar is.
pub type Samples<'a> = &'a dyn Fn(&Command, &UserId) -> Vec<Invocation>;

impl Rules {
    /// What members and leads of each team could do at that time, and those whom rules name, in the rooms they are in.
    ///
    /// A team is tried with somebody who is in it and in no other. Where several arguments or rooms give several
    /// answers, the one that needs least counts.
    pub fn access(&self, ops: &Ops, now: Timestamp, samples: Samples<'_>) -> BTreeSet<Access> {
        let mut found = BTreeMap::new();
        for (who, somebody, groups, team) in self.somebodies(ops) {
            let declared = ops.commands.values().filter(|it| !matches!(it.run.kind, RunKind::Builtin));
            let ways = declared.flat_map(|command| [Some(Arc::clone(command)), command.dry_form()]).flatten();
            for command in ways {
                let command = &command;
                let rooms: Vec<_> =
                    ops.rooms.values().filter(|room| is_for(room, command, team.as_deref())).collect();
                for invocation in samples(command, &somebody) {
                    for room in &rooms {
                        let action = Action::Run(&invocation);
                        let question = Question {
                            elevated: &groups,
                            ..Question::new(&somebody, 0, &room.key, now, action)
                        };
                        let needs = match self.decide(&question) {
                            Decision::Permitted(_) => Needs::default(),
                            Decision::Waits(wait) => needs(&wait),
                            Decision::Refused(_) => continue,
                        };
                        let subject = invocation.subject.clone();
                        let least = found
                            .entry((who.clone(), command.typed(), subject))
                            .or_insert_with(|| needs.clone());
                        if needs.weight() < least.weight() {
                            *least = needs;
                        }
                    }
                }
            }
        }
        let told = found.into_iter().map(|((who, command, subject), needs)| {
            let (system, environment) = match subject {
                Some(subject) => match subject.split_once('@') {
                    Some((system, environment)) => (Some(system.to_owned()), Some(environment.to_owned())),
                    None => (Some(subject), None),
                },
                None => (None, None),
            };
            Access { who, command, environment, system, needs: needs.in_words() }
        });
        told.collect()
    }

    /// Somebody for each team, for its leads, and those whom rules name: as what they are shown, who, in which group,
    /// of which team.
    fn somebodies(&self, ops: &Ops) -> Vec<(String, OwnedUserId, BTreeSet<String>, Option<String>)> {
        let mut all = Vec::new();
        for team in ops.teams.values() {
            let Some(somebody) = somebody(team) else { continue };
            let mut add = |group: String| {
                let groups = BTreeSet::from([group.clone()]);
                all.push((group, somebody.clone(), groups, Some(team.key.clone())));
            };
            add(team.key.clone());
            if !team.leads.is_empty() {
                add(leads_of(&team.key));
            }
        }
        let named: BTreeSet<_> = self
            .policies
            .policies()
            .flat_map(cedar_policy::Policy::entity_literals)
            .filter(|uid| *uid.type_name() == *USER)
            .filter_map(|uid| UserId::parse(uid.id().unescaped()).ok())
            .collect();
        all.extend(named.into_iter().map(|who| (who.to_string(), who, BTreeSet::new(), None)));
        all
    }
}

/// Somebody of a team's homeserver who is nobody yet.
fn somebody(team: &Team) -> Option<OwnedUserId> {
    UserId::parse(format!("@somebody:{}", team.homeservers.first()?)).ok()
}

/// Whether people of a team, or whoever comes, may have a command in a room.
fn is_for(room: &Room, command: &Command, team: Option<&str>) -> bool {
    let comes_in = room.join == Join::Open || team.is_none_or(|team| room.teams.iter().any(|it| it == team));
    comes_in && room.commands.contains(&command.name)
}

/// What a request waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Needs {
    /// How many of which team.
    of: BTreeMap<String, i64>,
    /// Whether the requester confirms it.
    confirms: bool,
}

impl Needs {
    /// How many people have to do something, then how many kinds of people.
    fn weight(&self) -> (i64, usize) {
        (self.of.values().sum::<i64>() + i64::from(self.confirms), self.of.len())
    }

    fn in_words(self) -> Vec<String> {
        let of = self.of.into_iter().map(|(team, count)| {
            if team == "total" { format!("{count} others") } else { format!("{count} of {team}") }
        });
        of.chain(self.confirms.then(|| "confirmation".to_owned())).collect()
    }
}

fn needs(wait: &Wait) -> Needs {
    let mut needs = Needs { confirms: !wait.confirm.is_empty(), ..Needs::default() };
    for of in wait.needs.iter().flat_map(|need| &need.of) {
        let so_far = needs.of.entry(of.team.clone()).or_default();
        *so_far = of.count.max(*so_far);
    }
    needs
}
