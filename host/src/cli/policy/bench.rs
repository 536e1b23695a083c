//! `rolewright policy bench`: a table of what each stage takes as the number of users grows.

use std::fmt::Write as _;
use std::time::Instant;

use super::super::args::{BenchArgs, TextFormat};
use super::super::{FAILED, print};
use super::{amount, mebibytes, milliseconds, wasi};
use crate::policy::kit::{self, Measured, Measurement, Subject};

pub(super) fn bench(arguments: &BenchArgs) -> anyhow::Result<u8> {
    let settings = super::settings(arguments.settings.as_deref())?;
    let runtime = super::runtime()?;
    let begin = Instant::now();
    let subject = Subject::load(&runtime, &arguments.file, &settings, wasi(arguments.wasi_stub))?;
    let loaded = begin.elapsed().as_secs_f64();
    let measurements = kit::bench(&subject, &super::standard(&runtime)?, &arguments.users)?;
    let info = subject.info();
    print(&match arguments.format {
        TextFormat::Text => {
            let (name, version) = (&info.description.name, &info.version);
            format!("{name} {version}, compiled and loaded in {}\n\n{}", milliseconds(loaded), table(&measurements))
        }
        TextFormat::Json => {
            let document = serde_json::json!({
                "name": info.description.name,
                "version": info.version,
                "sha256": info.sha256,
                "load_seconds": loaded,
                "measurements": measurements,
            });
            serde_json::to_string_pretty(&document)? + "\n"
        }
    })?;
    let failed = measurements.iter().any(|it| matches!(it.measured, Measured::Failed { .. }));
    Ok(if failed { FAILED } else { 0 })
}

fn table(measurements: &[Measurement]) -> String {
    let mut text = format!(
        "{:<12} {:>8} {:>11} {:>11} {:>10} {:>11} {:>6}\n",
        "stage", "users", "median", "least", "fuel", "memory", "times"
    );
    for Measurement { stage, users, measured } in measurements {
        let users = if *stage == "instantiate" { String::new() } else { users.to_string() };
        // Writing to a String does not fail.
        let _ = write!(text, "{stage:<12} {users:>8} ");
        let _ = match measured {
            Measured::Answered { times, median, least, fuel, memory } => writeln!(
                text,
                "{:>11} {:>11} {:>10} {:>11} {times:>6}",
                milliseconds(*median),
                milliseconds(*least),
                amount(*fuel),
                mebibytes(*memory)
            ),
            Measured::Failed { failed } => writeln!(text, "failed: {failed}"),
        };
    }
    text
}
