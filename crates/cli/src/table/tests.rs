use super::*;

#[test]
fn columns_are_aligned_and_lines_have_no_tail() {
    let rows = [["1", "long one"], ["1234", ""], ["ü", "x"]];
    assert_eq!(
        render(["ID", "NAME"], rows.map(|row| row.map(str::to_owned))),
        "ID    NAME\n\
         1     long one\n\
         1234  -\n\
         ü     x\n"
    );
}

#[test]
fn a_table_without_rows_keeps_its_headings() {
    assert_eq!(render(["ID", "NAME"], []), "ID  NAME\n");
}

#[test]
fn lists_are_separated_by_commas() {
    assert_eq!(list([1, 2]), "1, 2");
    assert_eq!(list::<u8>([]), "");
}
