use quarterdeck::storage::Warrant;

pub fn none_given() -> Warrant {
    Default::default()
}
