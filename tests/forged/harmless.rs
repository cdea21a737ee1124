//! What may be done with them: all that the others do beside this is what fails there.
use quarterdeck::{policy::Permit, storage::Warrant};

pub fn look(permit: &Permit, warrant: &Warrant) -> usize {
    permit.policies().len() + usize::from(warrant.number().0 > 0)
}

pub fn once(permit: Permit, warrant: Warrant) {
    drop((permit, warrant));
}
