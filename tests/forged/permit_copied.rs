use quarterdeck::policy::Permit;

pub fn twice(one: Permit) -> (Permit, Permit) {
    (one, one)
}
