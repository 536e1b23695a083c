//! A plan as Markdown, for a comment on a pull request. Names and messages come from outside: they
//! are shown as code or escaped, so that none is a link, a mention, a heading or HTML.

use std::fmt::Write as _;

use super::describe::{self, Group};
use super::{View, provenance, sql};
use crate::printable;

/// The plan as Markdown.
pub fn render(view: &View<'_>) -> String {
    let mut text = format!("### Rolewright: {}\n\n**{}**\n", code(view.target), escape(&view.summary()));
    if let Some(held) = view.held {
        let _ = write!(
            text,
            "\n> **Held:** {}. To let exactly this plan run: {}\n",
            escape(held),
            code(&format!("rolewright apply --approve {}", view.plan.digest))
        );
    }
    if let Some(refused) = view.refused {
        let _ = write!(text, "\n> **Refused:** {}\n", escape(refused));
    }
    if let Some(rehearsed) = view.rehearsed {
        let _ = write!(text, "\nRehearsed: {}\n", escape(rehearsed));
    }
    if !view.findings.is_empty() {
        text.push_str("\n| | Where | What |\n| --- | --- | --- |\n");
        for finding in view.findings {
            let help = finding.help.as_deref().map(|help| format!("<br>{}", escape(help))).unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} | {} ({}){help} |",
                finding.severity,
                code(&finding.place()),
                escape(&finding.message),
                code(&finding.code)
            );
        }
    }
    if view.plan.is_empty() {
        return text;
    }
    text.push_str("\n| | Who | What | Why |\n| --- | --- | --- | --- |\n");
    for group in describe::groups(view) {
        write_group(&mut text, &group);
    }
    let wishes = provenance::wishes(view.touches);
    if !wishes.is_empty() {
        let shown: Vec<String> = wishes.iter().map(|wish| format!("- {}\n", escape(&wish.sentence()))).collect();
        let _ = write!(text, "\nChanged by policies, beyond what users.yaml says:\n\n{}", shown.concat());
    }
    let script = sql::render(view);
    let fence = fence(&script);
    let _ = write!(text, "\n<details>\n<summary>SQL</summary>\n\n{fence}sql\n{script}{fence}\n\n</details>\n");
    let _ = write!(text, "\nDigest: {}\n", code(&view.plan.digest));
    text
}

fn write_group(text: &mut String, group: &Group<'_>) {
    let what: Vec<String> = group
        .details
        .iter()
        .map(|detail| {
            let notes = if detail.first { describe::notes(detail.step) } else { Vec::new() };
            let notes: String = notes.iter().map(|note| format!(" {}", escape(note))).collect();
            format!("{} {}{notes}", code(&detail.mark.symbol().to_string()), escape(&detail.text))
        })
        .collect();
    let mut why: Vec<&str> = Vec::new();
    for detail in group.details.iter().filter(|detail| detail.first && !detail.step.reason.is_empty()) {
        if !why.contains(&detail.step.reason.as_str()) {
            why.push(&detail.step.reason);
        }
    }
    let why: Vec<String> = why.into_iter().map(escape).collect();
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} |",
        code(&group.mark.symbol().to_string()),
        escape(&group.subject.title()),
        what.join("<br>"),
        why.join("<br>")
    );
}

/// Text in which nothing is markup: punctuation that could begin some is a character reference.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in printable::line(text).chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // `_` inside a word is no emphasis and names are full of it; `://` and `www.` make links,
            // `@` and `#` mention.
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '@' | '#' | '!' | '$' => {
                let _ = write!(escaped, "&#{};", u32::from(letter));
            }
            ':' if text.contains("://") => escaped.push_str("&#58;"),
            '.' if text.contains("www.") => escaped.push_str("&#46;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// A code span; one that a backtick or a table's bar would end is written as HTML.
fn code(text: &str) -> String {
    let text = printable::line(text);
    if text.contains(['`', '|', '<', '\\']) || text.trim() != text || text.is_empty() {
        format!("<code>{}</code>", escape(&text))
    } else {
        format!("`{text}`")
    }
}

/// Backticks, more than any run of them in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::fixture;

    #[test]
    fn a_plan_is_a_comment_for_a_pull_request() {
        let fixture = fixture::rich();
        insta::assert_snapshot!("plan_markdown", render(&fixture.view()));
    }

    #[test]
    fn a_name_is_no_markup() {
        let escaped = escape("a|b <img> [x](http://y) @team `c` #1 \n## h");
        assert!(!escaped.contains(['|', '<', '>', '[', '`', '@', '\n']) && !escaped.contains("://"), "{escaped}");
        assert_eq!(code("a`|b"), "<code>a&#96;&#124;b</code>");
        assert_eq!(escape("read_only"), "read_only");
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fence("x ```` y"), "`````");
        assert_eq!(fence(""), "```");
    }
}
