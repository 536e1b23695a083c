//! Policies for tests, written as WebAssembly text against the contract in `wit/`. A fixture
//! answers every question in the most harmless way; a test replaces the answer that it is about.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A module: what it says of itself and what its functions do.
#[derive(Clone)]
pub(super) struct Fixture {
    /// A world of `wit/worlds.wit`.
    pub(super) world: &'static str,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// 0: it does not ask for the time.
    pub(super) clock_step: u32,
    /// The body of `describe`, run before it answers.
    pub(super) describe: &'static str,
    /// The body of `validate-settings`, run before it answers.
    pub(super) configure: &'static str,
    /// The code of an error that `validate-settings` gives; empty: it accepts.
    pub(super) settings_error: &'static str,
    /// The body of each stage: leaves the address of its result. `$p` is that of its parameters.
    pub(super) validate: &'static str,
    pub(super) transform: &'static str,
    pub(super) plan: &'static str,
    pub(super) review: &'static str,
    /// More functions, globals and data; addresses from 4096 to 65535 are free.
    pub(super) more: &'static str,
}

/// `ok` of anything that starts with an empty list, or with nothing set: all bytes are 0.
const NOTHING: &str = "(i32.const 512)";
/// `ok` of the spec as it came. The parameters are a context of 48 bytes, the settings in 8, and the
/// spec in 24; the result is a tag in 4 bytes, another in 4 that there is a spec, the spec in 24, and an empty
/// list of findings.
pub(super) const ECHO: &str = "(i32.store (i32.const 516) (i32.const 1)) (memory.copy (i32.const 520) (i32.add (local.get $p) (i32.const 56)) (i32.const 24)) (i32.const 512)";

impl Fixture {
    pub(super) fn new(world: &'static str) -> Self {
        Fixture {
            world,
            name: "fixture",
            version: "1.2.3",
            clock_step: 0,
            describe: "",
            configure: "",
            settings_error: "",
            validate: NOTHING,
            transform: ECHO,
            plan: NOTHING,
            review: NOTHING,
            more: "",
        }
    }

    /// The component.
    pub(super) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).expect("the text is WebAssembly");
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let (package, _) = resolve.push_dir(wit).expect("wit/ can be read");
        let world = resolve.select_world(&[package], Some(self.world)).expect("the world is in wit/");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata is embedded");
        let mut encoder = ComponentEncoder::default();
        encoder.validate(true).module(&module).expect("the module fits the world");
        encoder.encode().expect("the module fits the world")
    }

    /// The core module.
    pub(super) fn core_module(&self) -> Vec<u8> {
        wat::parse_str("(module)").expect("the text is WebAssembly")
    }

    fn text(&self) -> String {
        let Fixture { name, version, clock_step, describe, configure, settings_error, more, .. } = self;
        let stage = |stage: &str, body: &str| {
            let exported = self.world == "full" || self.world == world_of(stage);
            let export = format!("(export \"rolewright:policy/{stage}@0.1.0#{stage}\")");
            if exported { format!("(func {export} (param $p i32) (result i32) {body})") } else { String::new() }
        };
        // The record of `describe` at 256, a finding at 320, a result of zeros from 512 to 1023.
        let settings = if settings_error.is_empty() { "(i32.const 512)" } else { "(i32.const 384)" };
        let stages = [
            stage("validate", self.validate),
            stage("transform", self.transform),
            stage("plan", self.plan),
            stage("review", self.review),
        ];
        format!(
            r#"(module
  (import "rolewright:policy/log@0.1.0" "emit" (func $emit (param i32 i32 i32)))
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $new)))
    (loop $grow
      (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.const 16))) (br $grow))))
    (local.get $at))
  (data (i32.const 0) "{name}")
  (data (i32.const 100) "{version}")
  (data (i32.const 200) "{settings_error}")
  (data (i32.const 256) "{info}")
  (data (i32.const 320) "{finding}")
  (data (i32.const 384) "{findings}")
  (func (export "rolewright:policy/describe@0.1.0#describe") (result i32) {describe} (i32.const 256))
  (func (export "rolewright:policy/configure@0.1.0#validate-settings") (param i32 i32) (result i32) {configure} {settings})
  {stages}
  {more})"#,
            info = words(&[
                0,
                name.len() as u32,
                100,
                version.len() as u32,
                0,
                name.len() as u32,
                0,
                0,
                0,
                u32::from(*clock_step > 0),
                *clock_step,
            ]),
            // code, severity (2 is error), path, message, help
            finding = words(&[200, settings_error.len() as u32, 2, 0, 0, 200, settings_error.len() as u32, 0, 0, 0]),
            findings = words(&[320, 1]),
            stages = stages.concat(),
        )
    }
}

fn world_of(stage: &str) -> &'static str {
    match stage {
        "validate" => "validator",
        "transform" => "transformer",
        "plan" => "planner",
        _ => "reviewer",
    }
}

/// Little-endian words as the text of a data segment.
pub(super) fn words(words: &[u32]) -> String {
    words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect()
}

/// Any component from its text.
pub(super) fn component_text(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is a component")
}
