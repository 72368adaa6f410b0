//! The only crate that sees wasmtime.
