//! Answers of `access`, as text, JSON and drawings. Nothing here decides, reads or prints.

pub mod drawing;
pub mod explanation;
pub mod who;

mod phrase;

use serde::Serialize;

use crate::printable;

/// A document that ends with a line break; hazards in names are escapes.
fn json(document: &impl Serialize) -> String {
    // Plain data with text for keys: writing it cannot fail.
    let mut text = printable::json(serde_json::to_string_pretty(document).unwrap_or_default());
    text.push('\n');
    text
}

/// A list for a sentence, cut where nobody reads on.
fn listed(names: &[String], most: usize) -> String {
    match names.len().checked_sub(most) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..most].join(", ")),
    }
}

/// Things for a sentence: "a, b and c".
fn enumerated(things: &[String]) -> String {
    match things.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
