//! The libraries that a program is started with.

use super::Layer;
use crate::{error::Result, process::run_tool};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Adds programs to a layer, each with a name in `/usr/bin`, and their libraries at the paths where they are looked for.
pub fn with_libraries(mut layer: Layer, programs: &[(&str, PathBuf)]) -> Result<Layer> {
    for (name, from) in programs {
        layer = layer.program(&format!("usr/bin/{name}"), from);
        let output = run_tool("ldd", Command::new("ldd").arg(from))?;
        for library in parse(&String::from_utf8_lossy(&output.stdout)) {
            layer = layer.program(library, Path::new(library));
        }
    }
    Ok(layer)
}

/// Lines are `name => path (address)`, or `path (address)` of who loads the others, or name what the kernel brings.
fn parse(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_each_kind_of_line() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse(text), expected);
        assert_eq!(parse("\tstatically linked\n"), [""; 0]);
    }
}
