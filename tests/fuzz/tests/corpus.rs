//! Every input of the corpus holds: seeds, and what once broke something.

use std::path::Path;

use ferrata_fuzz::TARGETS;

#[test]
fn every_input_of_the_corpus_holds() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let inputs: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{name} has no seeds");
        for input in inputs {
            eprintln!("{}", input.display());
            target(&std::fs::read(input).unwrap());
        }
    }
}
