use quarterdeck::policy::Permit;

pub fn for_somebody_else(mut permit: Permit, who: ruma::OwnedUserId) -> Permit {
    permit.principal = who;
    permit
}

pub fn with_the_parts_of_another(one: Permit, other: Permit) -> Permit {
    Permit { principal: one.principal, ..other }
}
