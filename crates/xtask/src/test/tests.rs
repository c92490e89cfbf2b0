use super::Total;

#[test]
fn results_of_several_programs_are_added() {
    let mut total = Total::default();
    for line in [
        "running 3 tests",
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "test result: FAILED. 40 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "7 passed; 7 failed",
    ] {
        total.count(line);
    }
    assert_eq!(
        total,
        Total {
            passed: 43,
            failed: 2
        }
    );
}
