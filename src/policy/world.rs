//! The entities that the rules speak of: people in teams, systems in environments, rooms, actions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{Entity, EntityUid, RestrictedExpression, Schema};
use ruma::{OwnedUserId, UserId};
use serde_json::json;

use super::names::{LEADS, USER, environment, leads_of, room, system, team, user};
use crate::catalogue::Ops;

/// Everything that can be looked at in a decision. Built once for each version of the ops folder.
#[derive(Debug)]
pub(super) struct World {
    /// Each known person's groups.
    people: HashMap<OwnedUserId, BTreeSet<EntityUid>>,
    /// Teams, systems, environments, rooms and actions.
    things: HashMap<EntityUid, Thing>,
    /// What the rules see of teams and systems, as canonical bytes for the digest.
    pub(super) canonical: Vec<u8>,
}

#[derive(Debug)]
struct Thing {
    entity: Entity,
    /// The same, as it is recorded.
    json: Arc<str>,
    /// The groups it is in, directly or not.
    groups: BTreeSet<EntityUid>,
    /// Everything that a rule can get to from it: its groups, theirs, its owner.
    reaches: BTreeSet<EntityUid>,
}

impl World {
    pub(super) fn new(ops: &Ops, schema: &Schema) -> Self {
        let (people, groups) = people(ops);
        let mut build = Builder::default();
        for (group, parents) in groups {
            build.add(team(&group), [], parents.iter().map(|parent| team(parent)));
        }
        for key in ops.rooms.keys() {
            build.add(room(key), [], []);
        }
        for declared in ops.systems.values() {
            let attributes = [
                ("owner", Attribute::Entity(team(&declared.owner))),
                ("owner_leads", Attribute::Entity(team(&leads_of(&declared.owner)))),
                ("criticality", Attribute::Text(declared.criticality.name().to_owned())),
            ];
            build.add(system(&declared.key), attributes.clone(), []);
            for name in &declared.environments {
                build.add(environment(name), [], []);
                build.add(
                    system(&format!("{}@{name}", declared.key)),
                    attributes.clone(),
                    [system(&declared.key), environment(name)],
                );
            }
        }
        let actions = schema.action_entities().expect("a schema that was accepted has its actions");
        for action in actions.iter() {
            let groups = actions.ancestors(&action.uid()).into_iter().flatten().cloned();
            build.add(action.uid(), [], groups);
        }
        Self { people, canonical: canonical(ops), things: build.finish() }
    }

    /// Whether there is such a team, system, environment, room or action.
    pub(super) fn has(&self, uid: &EntityUid) -> bool {
        self.things.contains_key(uid)
    }

    /// All of one type, for "did you mean" and for trying rules out.
    pub(super) fn all_of(&self, kind: &cedar_policy::EntityTypeName) -> impl Iterator<Item = &EntityUid> {
        self.things.keys().filter(move |uid| uid.type_name() == kind)
    }

    /// The groups that somebody is directly in.
    pub(super) fn groups_of(&self, id: &UserId) -> Option<&BTreeSet<EntityUid>> {
        self.people.get(id)
    }

    /// The groups that somebody is directly in, who is in `elevated` for a while.
    pub(super) fn groups_with(&self, id: &UserId, elevated: &BTreeSet<String>) -> BTreeSet<EntityUid> {
        let mut groups = self.people.get(id).cloned().unwrap_or_default();
        // A team that is no more makes nobody more than they are.
        groups.extend(elevated.iter().map(|name| team(name)).filter(|group| self.has(group)));
        groups
    }

    /// Whether this person is in a group, directly or not.
    pub(super) fn belongs(&self, id: &UserId, group: &EntityUid) -> bool {
        self.people.get(id).is_some_and(|groups| groups.iter().any(|own| self.is_in(own, group)))
    }

    /// Whether `uid` is `group` or in it, directly or not.
    pub(super) fn is_in(&self, uid: &EntityUid, group: &EntityUid) -> bool {
        uid == group || self.things.get(uid).is_some_and(|thing| thing.groups.contains(group))
    }

    /// Each known person with the groups they are in.
    pub(super) fn people(&self) -> impl Iterator<Item = (&UserId, &BTreeSet<EntityUid>)> {
        self.people.iter().map(|(id, groups)| (&**id, groups))
    }

    /// The entities that a rule can get to from these, and no other: what is evaluated and recorded.
    pub(super) fn slice(
        &self,
        principal: &UserId,
        power_level: i64,
        elevated: &BTreeSet<String>,
        roots: impl IntoIterator<Item = EntityUid>,
    ) -> BTreeMap<EntityUid, (Entity, Arc<str>)> {
        let mut slice = Slice { world: self, entities: BTreeMap::new() };
        slice.person(user(principal.as_str()), principal, Some((power_level, elevated)));
        for root in roots {
            if *root.type_name() == *USER {
                // Only people with a whole MXID are known at all.
                if let Ok(id) = <&UserId>::try_from(root.id().unescaped()) {
                    slice.person(root.clone(), id, None);
                }
            } else {
                slice.thing(&root);
            }
        }
        slice.entities
    }
}

struct Slice<'a> {
    world: &'a World,
    entities: BTreeMap<EntityUid, (Entity, Arc<str>)>,
}

impl Slice<'_> {
    /// A person: the one who asks, with power level and teams for a while. Without them it is somebody whom an argument or a rule names: their power level
    /// is not known here, so a rule that asks for it cannot be evaluated and refuses.
    fn person(&mut self, uid: EntityUid, id: &UserId, asks: Option<(i64, &BTreeSet<String>)>) {
        if self.entities.contains_key(&uid) {
            return;
        }
        let groups = self.world.groups_with(id, asks.map_or(&BTreeSet::new(), |(_, teams)| teams));
        for group in &groups {
            self.thing(group);
        }
        let homeserver = Attribute::Text(id.server_name().as_str().to_owned());
        let level = asks.map(|(level, _)| ("power_level", Attribute::Long(level)));
        let attributes: Vec<_> = [("homeserver", homeserver)].into_iter().chain(level).collect();
        let json = recorded(&uid, &attributes, &groups);
        let entity = entity(uid.clone(), attributes, groups.into_iter().collect());
        self.entities.insert(uid, (entity, json));
    }

    fn thing(&mut self, uid: &EntityUid) {
        if self.entities.contains_key(uid) {
            return;
        }
        let Some(thing) = self.world.things.get(uid) else { return };
        self.entities.insert(uid.clone(), (thing.entity.clone(), thing.json.clone()));
        for reached in &thing.reaches {
            self.thing(reached);
        }
    }
}

#[derive(Clone)]
enum Attribute {
    Text(String),
    Long(i64),
    Entity(EntityUid),
}

/// Things as they are declared, before what each reaches is known.
#[derive(Default)]
struct Builder {
    nodes: BTreeMap<EntityUid, Node>,
}

struct Node {
    entity: Entity,
    json: Arc<str>,
    parents: BTreeSet<EntityUid>,
    named: BTreeSet<EntityUid>,
}

impl Builder {
    fn add(
        &mut self,
        uid: EntityUid,
        attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
        parents: impl IntoIterator<Item = EntityUid>,
    ) {
        let attributes: Vec<_> = attributes.into_iter().collect();
        let parents: BTreeSet<_> = parents.into_iter().collect();
        let named = attributes.iter().filter_map(|(_, value)| match value {
            Attribute::Entity(uid) => Some(uid.clone()),
            _ => None,
        });
        let named = named.collect();
        let json = recorded(&uid, &attributes, &parents);
        let entity = entity(uid.clone(), attributes, parents.iter().cloned().collect());
        self.nodes.insert(uid, Node { entity, json, parents, named });
    }

    fn closure(&self, start: &EntityUid, also_named: bool) -> BTreeSet<EntityUid> {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(node) = open.pop().and_then(|uid| self.nodes.get(uid)) {
            let named = node.named.iter().filter(|_| also_named);
            open.extend(node.parents.iter().chain(named).filter(|&next| reached.insert(next.clone())));
        }
        reached
    }

    fn finish(self) -> HashMap<EntityUid, Thing> {
        let thing = |(uid, node): (&EntityUid, &Node)| {
            let (groups, reaches) = (self.closure(uid, false), self.closure(uid, true));
            let (entity, json) = (node.entity.clone(), node.json.clone());
            (uid.clone(), Thing { entity, json, groups, reaches })
        };
        self.nodes.iter().map(thing).collect()
    }
}

fn entity(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    parents: HashSet<EntityUid>,
) -> Entity {
    let attributes = attributes.into_iter().map(|(name, value)| {
        let value = match value {
            Attribute::Text(text) => RestrictedExpression::new_string(text),
            Attribute::Long(number) => RestrictedExpression::new_long(number),
            Attribute::Entity(uid) => RestrictedExpression::new_entity_uid(uid),
        };
        (name.to_owned(), value)
    });
    Entity::new(uid, attributes.collect(), parents)
        .expect("strings, numbers and names evaluate to themselves: only extension functions can fail")
}

/// An entity in Cedar's JSON, as text. Made here and not by Cedar, so that it is made once and in a steady order.
fn recorded(
    uid: &EntityUid,
    attributes: &[(&'static str, Attribute)],
    parents: &BTreeSet<EntityUid>,
) -> Arc<str> {
    let name = |uid: &EntityUid| json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() });
    let attributes: serde_json::Map<_, _> = attributes
        .iter()
        .map(|(attribute, value)| {
            let value = match value {
                Attribute::Text(text) => json!(text),
                Attribute::Long(number) => json!(number),
                Attribute::Entity(uid) => json!({ "__entity": name(uid) }),
            };
            ((*attribute).to_owned(), value)
        })
        .collect();
    let parents: Vec<_> = parents.iter().map(name).collect();
    json!({ "uid": name(uid), "attrs": attributes, "parents": parents }).to_string().into()
}

type People = HashMap<OwnedUserId, BTreeSet<EntityUid>>;
type Groups = BTreeMap<String, BTreeSet<String>>;

/// Each person's groups, and each group's groups.
fn people(ops: &Ops) -> (People, Groups) {
    let mut people = People::new();
    let mut groups = Groups::from([(LEADS.to_owned(), BTreeSet::new())]);
    for declared in ops.teams.values() {
        let of_leads = leads_of(&declared.key);
        groups.insert(of_leads.clone(), BTreeSet::from([declared.key.clone(), LEADS.to_owned()]));
        groups.insert(declared.key.clone(), BTreeSet::new());
        for member in declared.users.union(&declared.leads) {
            people.entry(member.clone()).or_default().insert(team(&declared.key));
        }
        for lead in &declared.leads {
            people.entry(lead.clone()).or_default().extend([team(&of_leads), team(LEADS)]);
        }
    }
    (people, groups)
}

/// What the rules can see of teams and systems, and nothing else: a new summary or link changes no decision.
fn canonical(ops: &Ops) -> Vec<u8> {
    let teams: BTreeMap<_, _> = ops
        .teams
        .iter()
        .map(|(key, team)| (key, json!({ "users": team.users, "leads": team.leads })))
        .collect();
    let systems: BTreeMap<_, _> = ops
        .systems
        .iter()
        .map(|(key, system)| {
            let environments: BTreeSet<_> = system.environments.iter().collect();
            let seen = json!({
                "owner": system.owner, "criticality": system.criticality, "environments": environments,
            });
            (key, seen)
        })
        .collect();
    serde_json::to_vec(&json!({ "teams": teams, "systems": systems })).unwrap_or_default()
}
