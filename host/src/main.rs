//! The binary `rolewright`.

fn main() {}
