//! An empty WASI for the modules of languages whose runtime cannot do without one. Chosen for a module
//! by `wasi: stub` in the chain; without it, an import of WASI is refused. Nothing behind it reaches the
//! world, and the same call has the same answer always: the clocks stand at 0, random bytes are zeros,
//! there are no arguments, variables, files, directories or sockets, what is printed is dropped, and
//! `exit` ends the call as a trap does.
//!
//! It is made from the types of what the component imports, not written for one version of WASI: each
//! function answers with the emptiest value of its type (no items, `none`, zero, the first error). The
//! few for which that would be a trap for the unwary are named in [`answer`].

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceAny, ResourceType, Type, Val};
use wasmtime::{Engine, StoreContextMut};

use super::call::Call;

/// What the namespace of an import of WASI begins with.
pub(super) const NAMESPACE: &str = "wasi:";

/// Bytes that are handed out for a request of random bytes. Nobody honest wants more at once.
const MAX_RANDOM: u64 = 1 << 20;
/// Bytes that a stream says it takes at once.
const STREAM_ROOM: u64 = 64 << 10;

/// Behind every handle that the stub gives out: nothing.
struct Nothing;

/// Defines everything that the component imports from WASI, and nothing else.
pub(super) fn add_to_linker(linker: &mut Linker<Call>, engine: &Engine, component: &Component) -> wasmtime::Result<()> {
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if !name.starts_with(NAMESPACE) {
            continue;
        }
        let mut defined = linker.instance(name)?;
        for (item, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => define(&mut defined, item)?,
                ComponentItem::Resource(_) => {
                    defined.resource(item, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn define(instance: &mut LinkerInstance<'_, Call>, name: &str) -> wasmtime::Result<()> {
    let function = name.to_owned();
    instance.func_new(name, move |mut store, ty, arguments, results| {
        let answers = answer(&function, &ty, arguments, &mut store)?;
        for (result, answer) in results.iter_mut().zip(answers) {
            *result = answer;
        }
        Ok(())
    })
}

fn answer(
    function: &str,
    ty: &ComponentFunc,
    arguments: &[Val],
    store: &mut StoreContextMut<'_, Call>,
) -> wasmtime::Result<Vec<Val>> {
    match (function, arguments) {
        ("exit" | "exit-with-code", _) => return Err(wasmtime::Error::from(wasmtime::Trap::UnreachableCodeReached)),
        // Who asks for random bytes counts on getting as many.
        ("get-random-bytes" | "get-insecure-random-bytes", [Val::U64(length)]) => {
            let length = usize::try_from((*length).min(MAX_RANDOM)).unwrap_or_default();
            return Ok(vec![Val::List(vec![Val::U8(0); length])]);
        }
        // A clock that does not move is in order; one that is divided by zero is not.
        ("resolution" | "get-resolution", _) if ty.results().eq([Type::U64]) => return Ok(vec![Val::U64(1)]),
        // Whoever waits for something waits for ever, unless everything has happened already.
        ("poll", [Val::List(pollables)]) => {
            let ready = (0..pollables.len()).filter_map(|index| u32::try_from(index).ok()).map(Val::U32);
            return Ok(vec![Val::List(ready.collect())]);
        }
        ("[method]pollable.ready", _) => return Ok(vec![Val::Bool(true)]),
        // What is printed is dropped: a program that cannot print may end itself over it.
        (printing, _) if printing.starts_with("[method]output-stream.") => {
            return ty.results().map(|ty| taken(&ty, store)).collect();
        }
        _ => {}
    }
    ty.results().map(|ty| empty(&ty, store)).collect()
}

/// That a stream took what it was given.
fn taken(ty: &Type, store: &mut StoreContextMut<'_, Call>) -> wasmtime::Result<Val> {
    match ty {
        Type::Result(result) => Ok(Val::Result(Ok(match result.ok() {
            Some(Type::U64) => Some(Box::new(Val::U64(STREAM_ROOM))),
            Some(ty) => Some(Box::new(empty(&ty, store)?)),
            None => None,
        }))),
        other => empty(other, store),
    }
}

/// The emptiest value of a type.
fn empty(ty: &Type, store: &mut StoreContextMut<'_, Call>) -> wasmtime::Result<Val> {
    Ok(match ty {
        Type::Bool => Val::Bool(false),
        Type::S8 => Val::S8(0),
        Type::U8 => Val::U8(0),
        Type::S16 => Val::S16(0),
        Type::U16 => Val::U16(0),
        Type::S32 => Val::S32(0),
        Type::U32 => Val::U32(0),
        Type::S64 => Val::S64(0),
        Type::U64 => Val::U64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char('\0'),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Map(_) => Val::Map(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Record(record) => {
            let fields: wasmtime::Result<Vec<(String, Val)>> =
                record.fields().map(|field| Ok((field.name.to_owned(), empty(&field.ty, store)?))).collect();
            Val::Record(fields?)
        }
        Type::Tuple(tuple) => {
            let parts: wasmtime::Result<Vec<Val>> = tuple.types().map(|ty| empty(&ty, store)).collect();
            Val::Tuple(parts?)
        }
        Type::Enum(cases) => Val::Enum(cases.names().next().unwrap_or_default().to_owned()),
        Type::Variant(variant) => {
            // One without a payload, if there is one: of a stream's errors, that it is closed.
            let bare = variant.cases().find(|case| case.ty.is_none());
            match bare.or_else(|| variant.cases().next()) {
                Some(case) => {
                    let payload = case.ty.map(|ty| empty(&ty, store)).transpose()?;
                    Val::Variant(case.name.to_owned(), payload.map(Box::new))
                }
                None => return Err(unanswerable()),
            }
        }
        // That it cannot be done. What cannot fail in other words has no error to give.
        Type::Result(result) => Val::Result(match (result.err(), result.ok()) {
            (Some(error), _) => Err(Some(Box::new(empty(&error, store)?))),
            (None, _) => Err(None),
        }),
        Type::Own(_) => Val::Resource(ResourceAny::try_from_resource(Resource::<Nothing>::new_own(0), &mut *store)?),
        Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext | Type::FixedLengthList(_) => {
            return Err(unanswerable());
        }
    })
}

fn unanswerable() -> wasmtime::Error {
    wasmtime::Error::msg("the stub of WASI has no answer of this type")
}
