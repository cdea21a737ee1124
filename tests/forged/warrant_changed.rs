use quarterdeck::{model::Invocation, storage::Warrant};

pub fn for_something_else(mut warrant: Warrant, invocation: Invocation) -> Warrant {
    warrant.invocation = invocation;
    warrant
}
