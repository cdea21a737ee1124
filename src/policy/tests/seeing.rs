//! Who may read what was printed.

use ruma::{UserId, user_id};

use super::compile;
use crate::{
    model::Timestamp,
    policy::{Action, Decision, Question, Rules},
};

fn alice() -> &'static UserId {
    user_id!("@alice:example.org")
}

fn bob() -> &'static UserId {
    user_id!("@bob:example.org")
}

fn carol() -> &'static UserId {
    user_id!("@carol:partner.example")
}

fn mallory() -> &'static UserId {
    user_id!("@mallory:elsewhere.example")
}

fn output(requester: &UserId) -> Action<'_> {
    Action::ReadOutput { command: "uptime", requester, subject: None }
}

fn may(rules: &Rules, who: &UserId, requester: &UserId) -> bool {
    let asked = Question::new(who, 0, "deploy", Timestamp::UNIX_EPOCH, output(requester));
    matches!(rules.decide(&asked), Decision::Permitted(_))
}

#[test]
fn what_came_of_ones_own_request_needs_no_permit_but_may_be_forbidden() {
    let none = compile("");
    assert!(may(&none, bob(), bob()));
    assert!(!may(&none, alice(), bob()));
    let forbidden = compile(
        r#"@id("no") @says("No.") forbid (principal == User::"@bob:example.org", action == Action::"read_output", resource);"#,
    );
    assert!(!may(&forbidden, bob(), bob()) && may(&forbidden, alice(), alice()));
}

#[test]
fn of_the_people_in_a_room_those_are_named_who_may_not_read() {
    let rules = compile(
        r#"@id("ours") permit (principal, action == Action::"read_output", resource)
        when { principal.homeserver == "example.org" };
        @id("not-bob") @says("No.") forbid (principal == User::"@bob:example.org", action == Action::"read_output", resource);
        @id("powerful") permit (principal, action == Action::"read_output", resource) when { principal.power_level >= 50 };"#,
    );
    let barred = |people: &[(&'static UserId, i64)], requester| {
        rules.who_may_not_read("deploy", people.iter().copied(), output(requester))
    };
    assert_eq!(barred(&[(alice(), 0)], alice()), Vec::<&UserId>::new());
    // Whom a rule names is not taken for another of the same teams; nor is who asked, nor who has more power.
    assert_eq!(
        barred(&[(alice(), 0), (bob(), 0), (carol(), 0), (mallory(), 0)], alice()),
        [bob(), carol(), mallory()]
    );
    assert_eq!(barred(&[(alice(), 0), (carol(), 0), (mallory(), 50)], carol()), Vec::<&UserId>::new());
    assert_eq!(barred(&[(mallory(), 50), (carol(), 50), (carol(), 49)], alice()), [carol()]);
    // Nobody may read in a room that is not there.
    assert_eq!(rules.who_may_not_read("nowhere", [(alice(), 0)], output(bob())), [alice()]);
}
