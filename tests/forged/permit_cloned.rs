use quarterdeck::policy::Permit;

pub fn two(one: &Permit) -> Permit {
    one.clone()
}
