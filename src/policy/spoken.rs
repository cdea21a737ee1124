//! What a rule says where it has no words of its own: its scope, as a sentence.

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::names::{ENVIRONMENT, ROOM};

/// The sentence. What its conditions ask for is not in it: only that there are some.
pub(super) fn scope(policy: &Policy) -> String {
    let verb = match policy.effect() {
        Effect::Permit => "Permits",
        Effect::Forbid => "Forbids",
    };
    let who = match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => "everybody".to_owned(),
        PrincipalConstraint::Eq(uid) => name(&uid),
        PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
            format!("whoever is in {}", name(&uid))
        }
    };
    let what = match policy.action_constraint() {
        ActionConstraint::Any => "everything".to_owned(),
        ActionConstraint::Eq(uid) => name(&uid),
        ActionConstraint::In(uids) => {
            let names: Vec<_> = uids.iter().map(name).collect();
            format!("all that is {}", names.join(" or "))
        }
    };
    let place = match policy.resource_constraint() {
        ResourceConstraint::Any => String::new(),
        ResourceConstraint::Is(kind) if kind == *ROOM => ", in a room".to_owned(),
        ResourceConstraint::Is(_) => ", on a system".to_owned(),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            let kind = uid.type_name();
            let on = if *kind == *ROOM {
                "in the room"
            } else if *kind == *ENVIRONMENT {
                "in"
            } else {
                "on"
            };
            format!(", {on} {}", name(&uid))
        }
    };
    let conditions = if policy.has_non_scope_constraint() { ", on conditions" } else { "" };
    format!("{verb} {who}: {what}{place}{conditions}.")
}

fn name(uid: &EntityUid) -> String {
    uid.id().unescaped().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_words_is_told_by_its_scope() {
        let told = |rule: &str| scope(&rule.parse().unwrap());
        assert_eq!(told("permit (principal, action, resource);"), "Permits everybody: everything.");
        assert_eq!(
            told(
                r#"permit (principal in Team::"web", action == Action::"deploy", resource in Environment::"staging") when { context.confirmed };"#
            ),
            "Permits whoever is in web: deploy, in staging, on conditions."
        );
        assert_eq!(
            told(
                r#"permit (principal == User::"@a:b.c", action in [Action::"read", Action::"change"], resource == System::"api@staging");"#
            ),
            "Permits @a:b.c: all that is read or change, on api@staging."
        );
        assert_eq!(
            told(
                r#"permit (principal is User in Team::"web", action in Action::"run", resource == Room::"deploy");"#
            ),
            "Permits whoever is in web: all that is run, in the room deploy."
        );
        assert_eq!(
            told("permit (principal, action, resource is System);"),
            "Permits everybody: everything, on a system."
        );
    }
}
