//! `rolewright policy bench`: a table of what each stage of a module or of a chain takes as the number of
//! users grows.

use std::fmt::Write as _;
use std::time::Instant;

use serde::Serialize;

use super::super::args::{BenchArgs, TextFormat};
use super::super::{FAILED, print};
use super::{amount, mebibytes, milliseconds, wasi};
use crate::policy::kit::{self, Measured, Measurement, Metered, Subject};

pub(super) fn bench(arguments: &BenchArgs) -> anyhow::Result<u8> {
    let runtime = super::runtime_with(arguments.cache_dir.clone())?;
    let begin = Instant::now();
    let measured = if super::is_chain(&arguments.file, arguments.settings.as_deref(), arguments.wasi_stub)? {
        let metered = Metered::load(&runtime, &arguments.file)?;
        let loaded = begin.elapsed().as_secs_f64();
        let modules: Vec<_> = metered.chain.modules().map(|module| module.name.clone()).collect();
        Report {
            title: format!("a chain of {} policies ({})", modules.len(), modules.join(", ")),
            identity: serde_json::json!({"chain": metered.chain.digest(), "policies": modules}),
            loaded,
            measurements: metered.bench(&arguments.users)?,
        }
    } else {
        let settings = super::settings(arguments.settings.as_deref())?;
        let subject = Subject::load(&runtime, &arguments.file, &settings, wasi(arguments.wasi_stub))?;
        let loaded = begin.elapsed().as_secs_f64();
        let info = subject.info();
        Report {
            title: format!("{} {}", info.description.name, info.version),
            identity: serde_json::json!({
                "name": info.description.name,
                "version": info.version,
                "sha256": info.sha256,
            }),
            loaded,
            measurements: kit::bench(&subject, &super::standard(&runtime)?, &arguments.users)?,
        }
    };
    print(&match arguments.format {
        TextFormat::Text => {
            let Report { title, loaded, measurements, .. } = &measured;
            format!("{title}, compiled and loaded in {}\n\n{}", milliseconds(*loaded), table(measurements))
        }
        TextFormat::Json => serde_json::to_string_pretty(&measured)? + "\n",
    })?;
    let failed = measured.measurements.iter().any(|it| matches!(it.measured, Measured::Failed { .. }));
    Ok(if failed { FAILED } else { 0 })
}

#[derive(Serialize)]
struct Report {
    #[serde(skip)]
    title: String,
    /// Who was measured.
    #[serde(flatten)]
    identity: serde_json::Value,
    #[serde(rename = "load_seconds")]
    loaded: f64,
    measurements: Vec<Measurement>,
}

fn table(measurements: &[Measurement]) -> String {
    let mut text = format!(
        "{:<14} {:>8} {:>11} {:>11} {:>10} {:>11} {:>6}\n",
        "stage", "users", "median", "least", "fuel", "memory", "times"
    );
    for Measurement { stage, users, measured } in measurements {
        let users = if *stage == "instantiate" { String::new() } else { users.to_string() };
        // Writing to a String does not fail.
        let _ = write!(text, "{stage:<14} {users:>8} ");
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
