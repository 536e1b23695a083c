//! Log lines: one JSON object a line for machines, a short line for people. The lines come from
//! `tracing`; this file gives them their form and their way out.
//!
//! JSON: `timestamp` (RFC 3339, UTC, milliseconds), `level`, `module`, `message`, then the fields of the
//! spans around the event and of the event itself. Text: `12:00:03 INFO  message key=value`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::printable;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Format::Json),
            "text" => Ok(Format::Text),
            _ => Err("expected json or text".to_owned()),
        }
    }
}

/// The least important lines that are still written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(tracing::Level);

impl Level {
    /// What is written unless asked otherwise.
    pub const INFO: Level = Level(tracing::Level::INFO);
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "error" => Ok(Level(tracing::Level::ERROR)),
            "warn" => Ok(Level(tracing::Level::WARN)),
            "info" => Ok(Level(tracing::Level::INFO)),
            "debug" => Ok(Level(tracing::Level::DEBUG)),
            "trace" => Ok(Level(tracing::Level::TRACE)),
            _ => Err("expected error, warn, info, debug or trace".to_owned()),
        }
    }
}

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: for `run`, whose output is its log.
    Stdout,
    /// Standard error: for commands whose output is something else.
    Stderr,
}

impl Stream {
    /// Colours on a terminal, unless <https://no-color.org> is asked for.
    fn is_coloured(self) -> bool {
        let terminal = match self {
            Stream::Stdout => std::io::stdout().is_terminal(),
            Stream::Stderr => std::io::stderr().is_terminal(),
        };
        terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// A reader that went away must not take the controller with it: such errors are left alone.
    fn write(self, line: &str) {
        let _ = match self {
            Stream::Stdout => std::io::stdout().lock().write_all(line.as_bytes()),
            Stream::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

/// Sends every log line of the process to `stream`. A second call changes nothing.
pub fn init(format: Format, level: Level, stream: Stream) {
    let coloured = format == Format::Text && stream.is_coloured();
    let lines = Lines { format, coloured, clock: OffsetDateTime::now_utc, out: move |line: &str| stream.write(line) };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(level)));
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Libraries speak a level later: their `debug` is of no use to who looks into Rolewright.
fn filter(level: Level) -> Targets {
    let libraries = match level.0 {
        tracing::Level::TRACE => LevelFilter::TRACE,
        tracing::Level::DEBUG => LevelFilter::INFO,
        tracing::Level::ERROR => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    };
    Targets::new()
        .with_default(libraries)
        // It would log an answer that it cannot read, and that may be a Secret. What went wrong is told by who asked.
        .with_targets(["kube_client", "kube_runtime", "kube_core"].map(|library| (library, LevelFilter::OFF)))
        .with_target("rolewright", LevelFilter::from_level(level.0))
}

/// Writes each event as a line.
struct Lines<W, C> {
    format: Format,
    coloured: bool,
    clock: C,
    out: W,
}

impl<S, W, C> Layer<S> for Lines<W, C>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Fn(&str) + 'static,
    C: Fn() -> OffsetDateTime + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.0.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        // The message belongs to the event: a span cannot have one.
        fields.0.remove(MESSAGE);
        event.record(&mut fields);
        let message = match fields.0.remove(MESSAGE) {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let line = Line {
            now: (self.clock)(),
            level: *event.metadata().level(),
            module: module(event.metadata().target()),
            message,
            fields: fields.0,
        };
        (self.out)(&match self.format {
            Format::Json => line.json(),
            Format::Text => line.text(self.coloured),
        });
    }
}

/// `rolewright::postgres::apply` is `postgres::apply`; what comes from a library keeps its name.
fn module(target: &str) -> &str {
    target.strip_prefix("rolewright::").unwrap_or(target)
}

struct Line<'a> {
    now: OffsetDateTime,
    level: tracing::Level,
    module: &'a str,
    message: String,
    fields: BTreeMap<String, Value>,
}

impl Line<'_> {
    fn json(&self) -> String {
        let timestamp = self
            .now
            .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"))
            .unwrap_or_default();
        let mut line = format!(
            "{{\"timestamp\":{},\"level\":\"{}\",\"module\":{},\"message\":{}",
            Value::from(timestamp),
            self.level,
            Value::from(self.module),
            Value::from(self.message.as_str()),
        );
        for (name, value) in &self.fields {
            // A field must not pass itself off as one of the four.
            let taken = matches!(name.as_str(), "timestamp" | "level" | "module");
            let _ = write!(line, ",{}:{value}", Value::from(format!("{name}{}", if taken { "_" } else { "" })));
        }
        line.push('}');
        let mut line = printable::json(line);
        line.push('\n');
        line
    }

    fn text(&self, coloured: bool) -> String {
        let time = self.now.format(format_description!("[hour]:[minute]:[second]")).unwrap_or_default();
        let paint = |code: &str, text: &str| {
            if coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let code = match self.level {
            tracing::Level::ERROR => "31",
            tracing::Level::WARN => "33",
            tracing::Level::INFO => "32",
            _ => "34",
        };
        let level = paint(code, &format!("{:5}", self.level.as_str()));
        // Some messages are written in lines; what follows the first is indented.
        let message = self.message.lines().map(printable::line).collect::<Vec<_>>().join("\n    ");
        let mut line = format!("{} {level} {message}", paint("2", &time));
        // The summary's words for people say all that its fields do.
        let fields = self.fields.iter().filter(|_| self.module != "telemetry::summary");
        for (name, value) in fields {
            let value = match value {
                Value::String(text) if is_word(text) => text.clone(),
                // JSON has escaped what is below a space already.
                other => printable::json(other.to_string()),
            };
            let _ = write!(line, " {}={value}", paint("2", name));
        }
        line.push('\n');
        line
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|letter: char| {
            letter.is_whitespace() || matches!(letter, '"' | '=' | '\\') || printable::is_hazard(letter)
        })
}

const MESSAGE: &str = "message";

/// Fields of a span or an event as JSON values, by name.
#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        // A raw identifier as a field name, such as `r#type`, is shown without its prefix.
        let name = field.name();
        self.0.insert(name.strip_prefix("r#").unwrap_or(name).to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What the events of `body` look like as lines.
    fn written(format: Format, level: &str, coloured: bool, body: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = lines.clone();
        let layer = Lines {
            format,
            coloured,
            clock: || OffsetDateTime::from_unix_timestamp_nanos(1_700_000_003_045_678_000).unwrap(),
            out: move |line: &str| sink.lock().unwrap().push_str(line),
        };
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(level.parse().unwrap())));
        tracing::subscriber::with_default(subscriber, body);
        lines.lock().unwrap().clone()
    }

    #[test]
    fn a_json_line_begins_with_its_four_fields_and_has_those_of_its_spans() {
        let text = written(Format::Json, "info", false, || {
            let _cycle = tracing::info_span!(target: "rolewright::reconcile", "cycle", cycle = 7, outcome = tracing::field::Empty).entered();
            tracing::Span::current().record("outcome", "applied");
            tracing::info!(target: "rolewright::reconcile", users = 2, ok = true, level = "x", "cycle {}", "finished");
        });
        assert_eq!(
            text,
            "{\"timestamp\":\"2023-11-14T22:13:23.045Z\",\"level\":\"INFO\",\"module\":\"reconcile\",\
             \"message\":\"cycle finished\",\"cycle\":7,\"level_\":\"x\",\"ok\":true,\"outcome\":\"applied\",\"users\":2}\n"
        );
    }

    #[test]
    fn a_hostile_name_stays_inside_its_line() {
        let name = "bob\n{\"level\":\"ERROR\"}\u{1b}[2J\u{202e}";
        let json = written(Format::Json, "info", false, || tracing::warn!(target: "rolewright", name, "role {name}"));
        assert_eq!(json.lines().count(), 1);
        assert!(!json.trim_end().contains(printable::is_hazard), "{json}");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["name"], name);
        let text = written(Format::Text, "info", false, || tracing::warn!(target: "rolewright", name, "role"));
        assert_eq!(text, "22:13:23 WARN  role name=\"bob\\n{\\\"level\\\":\\\"ERROR\\\"}\\u001b[2J\\u202e\"\n");
    }

    #[test]
    fn colours_are_only_written_where_wanted() {
        let event = || tracing::error!(target: "rolewright::x", why = "two words", n = 1, "failed");
        assert_eq!(written(Format::Text, "info", false, event), "22:13:23 ERROR failed n=1 why=\"two words\"\n");
        assert!(written(Format::Text, "info", true, event).contains("\x1b[31mERROR\x1b[0m"));
    }

    #[test]
    fn the_level_decides_and_libraries_speak_a_level_later() {
        let events = || {
            tracing::debug!(target: "rolewright::a", "own debug");
            tracing::debug!(target: "tokio_postgres", "library debug");
            tracing::info!(target: "tokio_postgres", "library info");
            tracing::warn!(target: "tokio_postgres", "library warning");
        };
        let info = written(Format::Text, "info", false, events);
        assert_eq!(info, "22:13:23 WARN  library warning\n");
        let debug = written(Format::Text, "debug", false, events);
        assert!(debug.contains("own debug") && debug.contains("library info") && !debug.contains("library debug"));
    }
}
