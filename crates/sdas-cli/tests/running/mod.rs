//! Runs the program.

use std::process::{Command, Output};

/// Runs it to its end.
pub fn sdas(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sdas")).args(arguments).output().expect("the program starts")
}

/// What it prints; it has to succeed.
pub fn printed(arguments: &[&str]) -> String {
    let output = sdas(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
