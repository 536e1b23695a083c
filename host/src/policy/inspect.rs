//! What `rolewright policy inspect` shows of a module that nobody has decided to trust. Whatever can
//! be found out is; what can't, is part of the answer and not an error.

use std::path::Path;

use super::Stage;
use super::call::Callee;
use super::engine::Runtime;
use super::error::LoadError;
use super::limits::Limits;
use super::load::{self, Description, Wasi};

/// What is known of a module.
#[derive(Debug)]
pub struct Inspection {
    /// Bytes of the file.
    pub size: u64,
    /// Of the file, in hexadecimal: what a chain document pins.
    pub sha256: String,
    /// The interfaces and functions that it wants from the host, types apart.
    pub imports: Vec<String>,
    /// The version of the contract that its exports name.
    pub wit_version: Option<String>,
    /// The stages that it takes part in, in the order in which they run.
    pub stages: Vec<Stage>,
    /// Who it says it is.
    pub description: Option<Description>,
    /// Why it could not be taken into use, if that is so.
    pub problem: Option<LoadError>,
}

impl Inspection {
    /// Whether nothing stands against it but that it imports WASI, which a chain has to allow with `wasi: stub`.
    pub fn wants_wasi(&self) -> bool {
        matches!(&self.problem, Some(LoadError::Import { import }) if import.starts_with(super::wasi::NAMESPACE))
    }
}

/// Looks at a module under limits tighter than those of a chain.
///
/// # Errors
///
/// Only where the file can't be read, or is too large to be a module.
pub fn inspect(runtime: &Runtime, path: &Path) -> Result<Inspection, LoadError> {
    let bytes = load::read(path)?;
    let sha256 = load::sha256(&bytes);
    let mut inspection = Inspection {
        size: bytes.len() as u64,
        sha256: sha256.clone(),
        imports: Vec::new(),
        wit_version: None,
        stages: Vec::new(),
        description: None,
        problem: None,
    };
    inspection.problem = look(runtime, &bytes, Wasi::None, &mut inspection).err();
    if inspection.wants_wasi() {
        // What else it is can be found out all the same, as a chain with `wasi: stub` would.
        if let Err(problem) = look(runtime, &bytes, Wasi::Stub, &mut inspection) {
            inspection.problem = Some(problem);
        }
    }
    Ok(inspection)
}

fn look(runtime: &Runtime, bytes: &[u8], wasi: Wasi, inspection: &mut Inspection) -> Result<(), LoadError> {
    let component = load::compile(runtime, bytes, &inspection.sha256)?;
    inspection.imports = load::imports(&runtime.engine, &component);
    inspection.wit_version = load::wit_version(&runtime.engine, &component);
    let linked = load::link(&runtime.engine, &component, wasi)?;
    inspection.stages = linked.stages();
    let callee =
        Callee { name: "inspected".to_owned(), version: "unknown".to_owned(), sha256: inspection.sha256.clone() };
    inspection.description = Some(load::describe(&linked, &callee, &Limits::inspection(), runtime)?);
    Ok(())
}
