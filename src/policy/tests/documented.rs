//! The examples that people start from compile.

use std::path::Path;

use super::compile;
use crate::{catalogue, policy::Rules};

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

#[test]
fn the_rules_of_the_example_folder_compile_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/ops");
    let ops = catalogue::load(&folder, &|_| None).unwrap();
    let rules = Rules::compile(&ops).unwrap();
    assert_eq!(rules.warnings(), []);
    assert!(!rules.is_empty());
}
