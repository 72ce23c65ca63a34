//! The program `sdas`.
fn main() {}
