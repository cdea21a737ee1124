use quarterdeck::storage::Warrant;

pub fn two(one: &Warrant) -> Warrant {
    one.clone()
}
