//! A plan as a person reads it in a terminal: like a diff, group roles before users, and what it
//! comes to in the last line.

use std::fmt::Write as _;

use super::describe::{self, Detail, Group, Mark};
use super::{View, provenance};
use crate::model::Severity;
use crate::plan::{Cause, Risk};
use crate::printable::{self, line};
use crate::spec::Diagnostic;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// So many changes by policies are shown.
const WISHES: usize = 20;

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn on(self, style: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("{style}{text}{RESET}") } else { text.to_owned() }
    }

    fn mark(self, mark: Mark, text: &str) -> String {
        let style = match mark {
            Mark::Create => GREEN,
            Mark::Change => YELLOW,
            Mark::Remove => RED,
        };
        self.on(style, text)
    }
}

/// The plan as text that ends with a line break, coloured if asked.
pub fn render(view: &View<'_>, coloured: bool) -> String {
    let paint = Paint(coloured);
    let mut text = String::new();
    for finding in view.findings {
        write_finding(&mut text, finding, paint);
    }
    if !view.findings.is_empty() {
        text.push('\n');
    }
    for group in describe::groups(view) {
        write_group(&mut text, &group, paint);
    }
    write_wishes(&mut text, view, paint);
    if let Some(rehearsed) = view.rehearsed {
        let _ = writeln!(text, "{} {}", paint.on(BOLD, "Rehearsed:"), lines(rehearsed));
    }
    if let Some(held) = view.held {
        let _ = writeln!(text, "{} {}", paint.on(YELLOW, "Held:"), line(held));
        let _ = writeln!(text, "To let exactly this plan run: rolewright apply --approve {}", line(&view.plan.digest));
    }
    if let Some(refused) = view.refused {
        let _ = writeln!(text, "{} {}", paint.on(RED, "Refused:"), lines(refused));
    }
    if !view.plan.is_empty() {
        let chain: Vec<_> = view.modules.iter().map(|module| printable::name(module)).collect();
        let mut about = format!("Digest: {}; server: {}", line(&view.plan.digest), line(view.target));
        if !chain.is_empty() {
            let _ = write!(about, "; policies: {}", chain.join(", "));
        }
        let _ = writeln!(text, "{}", paint.on(DIM, &about));
    }
    let _ = writeln!(text, "{}", paint.on(BOLD, &view.summary()));
    text
}

/// Several lines, each made safe.
fn lines(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Like a compiler's message; every part of it may come from a file or a policy.
fn write_finding(text: &mut String, finding: &Diagnostic, paint: Paint) {
    let style = match finding.severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
        Severity::Info => CYAN,
    };
    let kind = paint.on(style, &format!("{}[{}]", finding.severity, line(&finding.code)));
    let _ = writeln!(text, "{}: {kind}: {}", line(&finding.place()), line(&finding.message));
    if let Some(source) = &finding.source {
        let gutter = " ".repeat(finding.line.to_string().len());
        let carets = paint.on(style, &"^".repeat(source.width));
        let _ = writeln!(text, "{gutter} |\n{} | {}", finding.line, line(&source.text));
        let _ = writeln!(text, "{gutter} | {}{carets}", " ".repeat(source.caret));
    }
    if let Some(policy) = &finding.policy {
        let _ = writeln!(text, "  policy: {}", line(policy));
    }
    if let Some(help) = &finding.help {
        let _ = writeln!(text, "  help: {}", line(help));
    }
}

fn write_group(text: &mut String, group: &Group<'_>, paint: Paint) {
    let title = format!("{} {}", group.mark.symbol(), group.subject.title());
    let _ = writeln!(text, "  {}", paint.mark(group.mark, &title));
    for detail in &group.details {
        write_detail(text, detail, paint);
    }
    text.push('\n');
}

/// What stands in the plan and not in users.yaml.
fn write_wishes(text: &mut String, view: &View<'_>, paint: Paint) {
    let wishes = provenance::wishes(view.touches);
    if wishes.is_empty() || view.plan.is_empty() {
        return;
    }
    let _ = writeln!(text, "{}", paint.on(BOLD, "Changed by policies, beyond what users.yaml says:"));
    for wish in wishes.iter().take(WISHES) {
        let _ = writeln!(text, "  {}", wish.sentence());
    }
    if wishes.len() > WISHES {
        let _ = writeln!(text, "  and {} more; --format json has all of them", wishes.len() - WISHES);
    }
    text.push('\n');
}

fn write_detail(text: &mut String, detail: &Detail<'_>, paint: Paint) {
    let said = paint.mark(detail.mark, &format!("{} {}", detail.mark.symbol(), detail.text));
    let _ = write!(text, "      {said}");
    if detail.first {
        for note in describe::notes(detail.step) {
            let style = if detail.step.risk == Risk::Destructive { RED } else { YELLOW };
            let style = if note == "(drift)" && detail.step.cause == Cause::Drift { CYAN } else { style };
            let _ = write!(text, " {}", paint.on(style, &note));
        }
        if !detail.step.reason.is_empty() {
            let _ = write!(text, "  {}", paint.on(DIM, &format!("# {}", line(&detail.step.reason))));
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::fixture;

    #[test]
    fn a_plan_reads_like_a_diff() {
        let fixture = fixture::rich();
        insta::assert_snapshot!("plan_text", render(&fixture.view(), false));
    }

    #[test]
    fn no_colour_means_no_escape_and_colour_only_adds_escapes() {
        let fixture = fixture::rich();
        let (plain, coloured) = (render(&fixture.view(), false), render(&fixture.view(), true));
        assert!(!plain.contains('\x1b') && !plain.replace('\n', "").contains(printable::is_hazard));
        let mut stripped = coloured.clone();
        for code in [RED, GREEN, YELLOW, CYAN, BOLD, DIM, RESET] {
            stripped = stripped.replace(code, "");
        }
        assert_ne!(coloured, plain);
        assert_eq!(stripped, plain);
    }

    #[test]
    fn nothing_to_do_is_one_line() {
        let fixture = fixture::empty();
        assert_eq!(render(&fixture.view(), false), "Nothing to do: PostgreSQL is as declared.\n");
    }

    #[test]
    fn nothing_to_do_does_not_hide_an_error() {
        let mut fixture = fixture::empty();
        fixture.findings = fixture::rich().findings;
        let text = render(&fixture.view(), false);
        assert!(text.ends_with("\nNothing to do but for 1 error above.\n"), "{text}");
    }

    #[test]
    fn a_held_plan_says_how_to_approve_it() {
        let fixture = fixture::rich();
        let view = View { held: Some("it removes 3 of 4 users"), ..fixture.view() };
        let text = render(&view, false);
        assert!(text.contains("Held: it removes 3 of 4 users\n"), "{text}");
        assert!(text.contains("rolewright apply --approve sha256:0123abcd\n"), "{text}");
        assert!(text.lines().last().is_some_and(|last| last.starts_with("Plan: ")), "{text}");
    }
}
