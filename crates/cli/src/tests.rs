use super::*;
use tombolo_model::local::FailureCode;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does() {
    fn check(command: &clap::Command) {
        if command.is_hide_set() {
            return;
        }
        assert!(
            command.get_about().is_some(),
            "{} has no help",
            command.get_name()
        );
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn the_socket_is_taken_before_and_after_a_command() {
    for line in [
        &["tombolo", "--socket", "/a", "status"],
        &["tombolo", "status", "--socket", "/a"],
    ] {
        let cli = Cli::try_parse_from(line).unwrap();
        assert_eq!(cli.socket, PathBuf::from("/a"), "{line:?}");
    }
}

#[test]
fn errors_are_a_line_and_a_hint() {
    let failure = Failure {
        code: FailureCode::NotFound,
        message: "no endpoint 7".into(),
        hint: "see `tombolo endpoint list`".into(),
    };
    let error = anyhow::Error::new(failure).context("setting the policy");
    assert_eq!(
        render(&error),
        "error: setting the policy: no endpoint 7\nhint: see `tombolo endpoint list`\n"
    );
    assert_eq!(render(&anyhow::anyhow!("no")), "error: no\n");
}

#[test]
fn a_cause_is_told_once() {
    let error = anyhow::anyhow!("no such file")
        .context("reading /a: no such file")
        .context("starting");
    assert_eq!(
        render(&error),
        "error: starting: reading /a: no such file\n"
    );
}
