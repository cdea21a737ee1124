use quarterdeck::storage::{PendingWarrant, Warrant};

pub fn at_once(pending: PendingWarrant) -> Warrant {
    pending.into()
}

pub fn its_inside(pending: PendingWarrant) -> Warrant {
    pending.warrant
}
