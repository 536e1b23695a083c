package policy

// Links the exports into whatever uses this package, when it is compiled for WebAssembly.
import _ "rolewright/policy/internal/bindings/exports/wit_exports"
