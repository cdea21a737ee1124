use quarterdeck::storage::Warrant;

pub fn read(json: &str) -> Option<Warrant> {
    serde_json::from_str(json).ok()
}
