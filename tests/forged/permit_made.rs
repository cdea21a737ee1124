use quarterdeck::policy::{Inputs, Permit};

pub fn forge(digest: quarterdeck::model::Digest, who: ruma::OwnedUserId, inputs: Inputs) -> Permit {
    Permit {
        action: digest,
        principal: who,
        room: String::new(),
        policies: Vec::new(),
        rules: digest,
        decided_at: quarterdeck::model::Timestamp::UNIX_EPOCH,
        elevated: Vec::new(),
        inputs,
    }
}
