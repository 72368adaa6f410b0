//! Bindings of `wit/0.2`, the newest version, generated: one module per world, one copy of the shared types.
//!
//! A component implements one world, and the tool that encodes it unites the worlds whose bindings
//! it finds. So each world has its own `generate!` with its own exporting macro; a single world
//! with all four exports was rejected because every plugin would then have to implement all. The
//! shared interfaces `types` and `host` are generated with the first world and lent to the others
//! (`with`), so that a tier or an error is the same type whatever a crate implements.
//!
//! Authors need none of this: see the traits at the crate's root.

macro_rules! bindings {
    ($(#[$doc:meta])* $world:ident, $name:literal, $macro:literal, { $($extra:tt)* }) => {
        $(#[$doc])*
        #[allow(
            unsafe_code,
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::allow_attributes_without_reason,
            clippy::needless_pass_by_value,
            clippy::undocumented_unsafe_blocks,
            rustdoc::all,
            reason = "generated: the canonical ABI moves raw memory, and its docs are the WIT's"
        )]
        pub mod $world {
            wit_bindgen::generate!({
                path: "../../wit/0.2",
                world: $name,
                pub_export_macro: true,
                export_macro_name: $macro,
                additional_derives: [Clone, PartialEq],
                generate_unused_types: true,
                $($extra)*
            });
        }
    };
}

bindings!(
    /// The world `forecaster`, with the shared interfaces.
    forecaster, "tidegate:policy/forecaster", "export_world", {}
);

pub use forecaster::tidegate::policy::{host, types};

bindings!(
    /// The world `tierer`.
    tierer, "tidegate:policy/tierer", "export_world", {
        with: {
            "tidegate:policy/types@0.2.0": crate::wit::types,
            "tidegate:policy/host@0.2.0": crate::wit::host,
        },
    }
);

bindings!(
    /// The world `allocator`.
    allocator, "tidegate:policy/allocator", "export_world", {
        with: {
            "tidegate:policy/types@0.2.0": crate::wit::types,
            "tidegate:policy/host@0.2.0": crate::wit::host,
        },
    }
);

bindings!(
    /// The world `judge`.
    judge, "tidegate:policy/judge", "export_world", {
        with: {
            "tidegate:policy/types@0.2.0": crate::wit::types,
            "tidegate:policy/host@0.2.0": crate::wit::host,
        },
    }
);
