//! The examples of `docs/rules.md` compile.

use super::compile;

#[test]
fn every_example_of_the_documentation_compiles() {
    let text = include_str!("../../../docs/rules.md");
    let mut examples = 0;
    for example in text.split("```cedar\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        compile(example);
        examples += 1;
    }
    assert!(examples > 5, "docs/rules.md has only {examples} examples");
}
