//! The exporting macros: all that touches the component's ABI in an author's crate.
//!
//! The exports are `extern "C"` functions with fixed symbols, hence unsafe by the language's rules;
//! they are generated, and the lint is lifted for them alone. They exist on Wasm only: on other
//! targets the symbols' `@` would mean a version to the linker. There, a dead function holds the
//! policy to its trait, so that a native check finds the same errors.

/// Writes a module's name and version: its own, or those of the crate.
#[doc(hidden)]
#[macro_export]
macro_rules! __exported {
    ($policy:ident, $name:expr) => {
        impl $crate::Exported for $policy {
            const NAME: &str = $name;
            const VERSION: &str = ::core::env!("CARGO_PKG_VERSION");
        }
    };
}

macro_rules! exporting {
    ($(#[$doc:meta])* $macro:ident, $kind:ident, $world:ident, $d:tt) => {
        $(#[$doc])*
        #[macro_export]
        macro_rules! $macro {
            ($d policy:ident) => {
                $crate::$macro!($d policy, name = ::core::env!("CARGO_PKG_NAME"));
            };
            ($d policy:ident, name = $d name:expr) => {
                $crate::__exported!($d policy, $d name);

                #[cfg(target_arch = "wasm32")]
                #[allow(unsafe_code, reason = "generated exports of a component")]
                const _: () = {
                    type Component = $crate::$kind::Component<$d policy>;
                    $crate::wit::$world::export_world!(Component with_types_in $crate::wit::$world);
                };

                #[cfg(not(target_arch = "wasm32"))]
                const _: fn() = $crate::$kind::Component::<$d policy>::is_complete;
            };
        }
    };
}

exporting!(
    /// Exports a type that implements [`ForecasterPolicy`](crate::ForecasterPolicy) as the world
    /// `forecaster`. `name = "..."` where `package.metadata.tidegate.name` says so.
    export_forecaster, forecaster, forecaster, $
);
exporting!(
    /// Exports a type that implements [`JointForecaster`](crate::JointForecaster) as the world
    /// `forecaster`. `name = "..."` where `package.metadata.tidegate.name` says so.
    export_joint_forecaster, joint, forecaster, $
);
exporting!(
    /// Exports a type that implements [`TiererPolicy`](crate::TiererPolicy) as the world `tierer`.
    /// `name = "..."` where `package.metadata.tidegate.name` says so.
    export_tierer, tierer, tierer, $
);
exporting!(
    /// Exports a type that implements [`AllocatorPolicy`](crate::AllocatorPolicy) as the world
    /// `allocator`. `name = "..."` where `package.metadata.tidegate.name` says so.
    export_allocator, allocator, allocator, $
);
exporting!(
    /// Exports a type that implements [`JudgePolicy`](crate::JudgePolicy) as the world `judge`.
    /// `name = "..."` where `package.metadata.tidegate.name` says so.
    export_judge, judge, judge, $
);
