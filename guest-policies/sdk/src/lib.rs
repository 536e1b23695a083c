//! Write policies for Rolewright in Rust.
//!
//! A policy is a type that implements [`Policy`] and one trait for each stage that it takes part in: [`Validate`],
//! [`Transform`], [`Plan`], [`Review`]. One line makes a WebAssembly component of it:
//!
//! ```
//! use rolewright_policy::{Context, Finding, Info, NoSettings, Policy, Spec, Validate};
//!
//! struct NoBobs;
//!
//! impl Policy for NoBobs {
//!     type Settings = NoSettings;
//!
//!     fn info() -> Info {
//!         Info::new("no-bobs", "1.0.0", "Refuses users whose name is bob.")
//!     }
//! }
//!
//! impl Validate for NoBobs {
//!     fn validate(_: &Context, _: &NoSettings, spec: &Spec) -> Result<Vec<Finding>, String> {
//!         let bobs = spec.users().filter(|user| user.name == "bob");
//!         Ok(bobs.map(|user| Finding::error("no-bobs", &user.path, "there are too many bobs already")).collect())
//!     }
//! }
//!
//! rolewright_policy::export!(NoBobs: validate);
//! ```
//!
//! The traits are plain Rust: call them from an ordinary `#[test]`, no WebAssembly needed. To build the component, the
//! crate needs `crate-type = ["cdylib"]` and the target `wasm32-unknown-unknown`; how a core module becomes a component
//! is told in `examples/policies/naming-rust/README.md`.
//!
//! The types come from `wit/`, the contract between Rolewright and its policies, and are documented there as well. This
//! crate gives them shape and adds no meaning of its own.

#[doc(hidden)]
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod bindings;

pub mod calendar;
pub mod graph;
#[doc(hidden)]
pub mod guest;
#[cfg(any(test, all(target_arch = "wasm32", feature = "allocator")))]
mod heap;
pub mod log;
#[cfg(feature = "schema")]
pub mod schema;
mod selector;
mod settings;
mod shorthand;
mod stage;

pub use bindings::base::rolewright::policy::changes::{
    Change, Edge, Removal, Rename, Risk, RoleGrant, RolePatch, RoleSetting, Step, Verdict,
};
pub use bindings::base::rolewright::policy::types::{
    Attributes, Catalog, ColumnName, Context, Credential, Database, Expiry, Finding, FutureObjects, Grant, Label,
    Limit, Membership, Mode, Object, Privileges, QualifiedName, Role, RoutineName, Schema, SecretState, Setting,
    Severity, Spec, Standing,
};
pub use bindings::describe::exports::rolewright::policy::describe::Info;
pub use bindings::review::exports::rolewright::policy::review::Outcome as Reviewed;
pub use bindings::transform::exports::rolewright::policy::transform::Outcome as Transformed;
/// What derives the schema of settings; [`schema`] makes a file of it.
#[cfg(feature = "schema")]
pub use schemars;
pub use selector::{Selector, label, matches};
pub use settings::NoSettings;
pub use stage::{Plan, Policy, Review, Transform, Validate};

/// Makes the crate a component that exports a policy: `export!(MyPolicy: validate, plan);`
///
/// `describe` and `configure` are exported always, and of `validate`, `transform`, `plan` and `review` those that are
/// named. The policy must implement the trait of each. On any other target than `wasm32` only that is checked, so a
/// crate with this line can be tested, and linked with others, as ordinary Rust.
#[macro_export]
macro_rules! export {
    ($policy:ty: $($stage:ident),+ $(,)?) => {
        const _: () = {
            $(const _: fn() = $crate::guest::implements::$stage::<$policy>;)+
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::guest::Exported<$policy>;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::describe::export!(Exported with_types_in $crate::bindings::describe);
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::configure::export!(Exported with_types_in $crate::bindings::configure);
            $(
                #[cfg(target_arch = "wasm32")]
                $crate::bindings::$stage::export!(Exported with_types_in $crate::bindings::$stage);
            )+
        };
    };
}

/// An [`Info`] with the name, version and description that stand in the policy's own `Cargo.toml`.
#[macro_export]
macro_rules! package_info {
    () => {
        $crate::Info::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
    };
}
