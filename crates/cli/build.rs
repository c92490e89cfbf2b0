//! Writes a list of the chart's files with their contents, so that the program carries the chart it was built with.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../chart/tombolo");
    let chart = chart.canonicalize()?;
    println!("cargo::rerun-if-changed={}", chart.display());
    let mut files = Vec::new();
    walk(&chart, &mut files)?;
    files.sort();
    let mut text = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&chart).expect("it is inside").display();
        writeln!(text, "({:?}, include_str!({:?})),", name.to_string(), file)
            .expect("memory is there");
    }
    text.push_str("]\n");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("chart.rs"), text)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
