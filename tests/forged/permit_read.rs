use quarterdeck::policy::Permit;

pub fn read(json: &str) -> Option<Permit> {
    serde_json::from_str(json).ok()
}
