use quarterdeck::storage::Warrant;

pub fn twice(one: Warrant) -> (Warrant, Warrant) {
    (one, one)
}
