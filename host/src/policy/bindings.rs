//! The contract of `wit/` as Rust types, generated when the crate is built. Nothing is written by
//! hand here; `convert` is the only file that knows both these types and the model's.
//!
//! One world is enough for every module: its `GuestIndices` look up each stage by itself, so that a
//! module exports the stages that it implements and no others.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::expect_used)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "full",
    // Records go to a module as borrowed slices and strings, so that a catalog of many thousand
    // roles is handed over without a clone; what comes back is owned, and has its own type.
    ownership: Borrowing { duplicate_if_necessary: true },
});
