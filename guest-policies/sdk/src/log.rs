//! Lines for the operator: `log::info(format!("…"))`. The host adds the policy's name, cuts a line at 1,024 bytes, and
//! stops listening after 100 lines a call. In native tests the lines go to standard error.

use crate::bindings::base::rolewright::policy::log::Level;

/// For somebody who looks for a fault in the policy.
pub fn debug(message: impl AsRef<str>) {
    emit(Level::Debug, message.as_ref());
}

/// Good to know.
pub fn info(message: impl AsRef<str>) {
    emit(Level::Info, message.as_ref());
}

/// Worth a look.
pub fn warn(message: impl AsRef<str>) {
    emit(Level::Warn, message.as_ref());
}

/// Something went wrong. It blocks nothing: a finding or an `Err` does.
pub fn error(message: impl AsRef<str>) {
    emit(Level::Error, message.as_ref());
}

#[cfg(target_arch = "wasm32")]
fn emit(level: Level, message: &str) {
    crate::bindings::base::rolewright::policy::log::emit(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn emit(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
