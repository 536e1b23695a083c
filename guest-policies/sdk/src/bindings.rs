//! What wit-bindgen makes of `wit/`. Nothing here is written by hand; the rest of the crate gives it its shape.
//!
//! Every stage is a world of its own, and all share the types of [`base`]. That is how a policy exports only the
//! stages that it implements: an export macro is expanded for each of them and for no other.

/// The types, and the one import.
pub mod base {
    wit_bindgen::generate!({
        inline: "
            package rolewright:sdk-base;
            world base {
                import rolewright:policy/types@0.1.0;
                import rolewright:policy/changes@0.1.0;
                import rolewright:policy/log@0.1.0;
            }
        ",
        path: "wit",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq, Eq, PartialOrd, Ord],
    });
}

/// `$name` is a module with the bindings of one exported interface, and its macro `export!`. It shares the interfaces
/// listed, and no more: wit-bindgen refuses a remapping that is not used.
macro_rules! stage {
    ($name:ident shares [$($interface:literal = $module:ident),*] $world:literal) => {
        /// One exported interface.
        pub mod $name {
            wit_bindgen::generate!({
                inline: $world,
                path: "wit",
                with: { $($interface: crate::bindings::base::rolewright::policy::$module),* },
                additional_derives: [PartialEq, Eq, PartialOrd, Ord],
                pub_export_macro: true,
            });
        }
    };
}

stage!(describe shares []
    "package rolewright:sdk-describe; world describing { export rolewright:policy/describe@0.1.0; }");
stage!(configure shares ["rolewright:policy/types@0.1.0" = types]
    "package rolewright:sdk-configure; world configuring { export rolewright:policy/configure@0.1.0; }");
stage!(validate shares ["rolewright:policy/types@0.1.0" = types]
    "package rolewright:sdk-validate; world validating { export rolewright:policy/validate@0.1.0; }");
stage!(transform shares ["rolewright:policy/types@0.1.0" = types]
    "package rolewright:sdk-transform; world transforming { export rolewright:policy/transform@0.1.0; }");
stage!(plan shares ["rolewright:policy/types@0.1.0" = types, "rolewright:policy/changes@0.1.0" = changes]
    "package rolewright:sdk-plan; world planning { export rolewright:policy/plan@0.1.0; }");
stage!(review shares ["rolewright:policy/types@0.1.0" = types, "rolewright:policy/changes@0.1.0" = changes]
    "package rolewright:sdk-review; world reviewing { export rolewright:policy/review@0.1.0; }");
