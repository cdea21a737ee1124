use quarterdeck::policy::Permit;

pub fn none_given() -> Permit {
    Default::default()
}
