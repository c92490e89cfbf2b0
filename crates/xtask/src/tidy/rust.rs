//! What holds for Rust sources: module heads, sizes of functions, names that have no business in a crate.

use std::str::FromStr as _;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{Finding, Findings};

const FUNCTION_LINES_MAX: usize = 100;
const FUNCTION_LINES_GOAL: usize = 70;

/// The crates whose business is memory that others own: the kernel, a packet, a map.
const MAY_BE_UNSAFE: [&str; 4] = ["abi", "datapath", "ebpf", "linux"];

/// A path that sources may not name.
struct Forbidden {
    path: &'static str,
    /// In this crate; in every crate if empty.
    in_crate: &'static str,
    /// But for files whose path begins so.
    home: &'static str,
    instead: &'static str,
}

const fn in_model(path: &'static str, instead: &'static str) -> Forbidden {
    Forbidden {
        path,
        in_crate: "model",
        home: "-",
        instead,
    }
}

const SUPERVISION: &str = "crates/agent/src/supervis";

const FORBIDDEN: [Forbidden; 15] = [
    in_model(
        "std::collections::HashMap",
        "use BTreeMap: iteration must be the same in every run",
    ),
    in_model(
        "std::collections::HashSet",
        "use BTreeSet: iteration must be the same in every run",
    ),
    in_model("std::env", "pass the value as an argument"),
    in_model("std::fs", "model has no files"),
    in_model("std::io", "model has no input and output"),
    in_model("std::net::TcpListener", "model has no sockets"),
    in_model("std::net::TcpStream", "model has no sockets"),
    in_model("std::net::UdpSocket", "model has no sockets"),
    in_model("std::os", "model knows no operating system"),
    in_model("std::process", "model starts nothing"),
    in_model(
        "std::thread",
        "model is a value; whoever owns it has the threads",
    ),
    in_model("std::time::Instant", "take the time as an argument"),
    in_model("std::time::SystemTime", "take the time as an argument"),
    Forbidden {
        path: "tokio::spawn",
        in_crate: "",
        home: SUPERVISION,
        instead: "tasks are spawned by the agent's supervision, which names, watches and stops them",
    },
    Forbidden {
        path: "tokio::task::spawn",
        in_crate: "",
        home: SUPERVISION,
        instead: "tasks are spawned by the agent's supervision, which names, watches and stops them",
    },
];

pub fn check(path: &str, text: &str, found: &mut Findings) {
    let Some(folder) = path
        .strip_prefix("crates/")
        .and_then(|rest| rest.split('/').next())
    else {
        return;
    };
    if !is_test(path) && !text.starts_with("//!") {
        let text =
            "no module head: begin with `//!`, one sentence of purpose, then what it does not do";
        found.breaches.push(Finding::new(path, 1, text));
    }
    let Ok(tokens) = TokenStream::from_str(text) else {
        found
            .breaches
            .push(Finding::new(path, 0, "this is not Rust"));
        return;
    };
    let mut seen = Seen::default();
    seen.read(tokens, "");
    for (name, line, lines) in seen.functions {
        // The length of a test is its table.
        if lines > FUNCTION_LINES_MAX && !is_test(path) {
            let text = format!(
                "`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: give its parts names"
            );
            found.breaches.push(Finding::new(path, line, text));
        } else if lines > FUNCTION_LINES_GOAL {
            found.remarks.push(Finding::new(
                path,
                line,
                format!("`{name}` has {lines} lines"),
            ));
        }
    }
    for (used, line) in seen.paths {
        let rule = FORBIDDEN.iter().find(|rule| {
            let here = rule.in_crate.is_empty() || rule.in_crate == folder;
            here && !path.starts_with(rule.home) && is_under(&used, rule.path)
        });
        if let Some(rule) = rule {
            let text = format!("`{}` is forbidden here: {}", rule.path, rule.instead);
            found.breaches.push(Finding::new(path, line, text));
        }
    }
    if let Some(line) = seen.unsafe_at
        && !MAY_BE_UNSAFE.contains(&folder)
    {
        let text = format!("unsafe code is for {} only", MAY_BE_UNSAFE.join(", "));
        found.breaches.push(Finding::new(path, line, text));
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn is_under(used: &str, forbidden: &str) -> bool {
    used.strip_prefix(forbidden)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What a walk over tokens finds; it goes into the arguments of macros too, which a parser would not.
#[derive(Default)]
struct Seen {
    /// Name, line, number of lines.
    functions: Vec<(String, usize, usize)>,
    /// Paths of at least two words, as written, and `use` trees written out.
    paths: Vec<(String, usize)>,
    unsafe_at: Option<usize>,
}

impl Seen {
    fn read(&mut self, tokens: TokenStream, prefix: &str) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut path = prefix.to_owned();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) => {
                    let line = word.span().start().line;
                    if word == "unsafe" {
                        self.unsafe_at.get_or_insert(line);
                    }
                    if word == "fn" {
                        self.function(&tokens[index..]);
                    }
                    path.push_str(&word.to_string());
                    if !follows_colons(&tokens[index + 1..]) {
                        self.end(&mut path, prefix, line);
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && path.len() > prefix.len() => {
                    path.push(':')
                }
                TokenTree::Group(group) => {
                    let inner = if is_use_tree(group, &path) {
                        path.as_str()
                    } else {
                        ""
                    };
                    self.read(group.stream(), inner);
                    prefix.clone_into(&mut path);
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => prefix.clone_into(&mut path),
            }
        }
    }

    fn end(&mut self, path: &mut String, prefix: &str, line: usize) {
        if path.contains("::") {
            self.paths.push((path.clone(), line));
        }
        prefix.clone_into(path);
    }

    /// Measures from `fn` to the end of the first block in braces after it.
    fn function(&mut self, tokens: &[TokenTree]) {
        let [keyword, TokenTree::Ident(name), rest @ ..] = tokens else {
            return; // The type of a function pointer.
        };
        let first = keyword.span().start().line;
        for token in rest {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == ';' => return,
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let lines = group.span_close().end().line - first + 1;
                    self.functions.push((name.to_string(), first, lines));
                    return;
                }
                _ => {}
            }
        }
    }
}

fn follows_colons(rest: &[TokenTree]) -> bool {
    matches!(rest, [TokenTree::Punct(first), TokenTree::Punct(second), ..]
        if first.as_char() == ':' && second.as_char() == ':')
}

fn is_use_tree(group: &Group, path: &str) -> bool {
    group.delimiter() == Delimiter::Brace && path.ends_with("::")
}
