//! Lines into the engine's log, and the last words of a panic.
//!
//! A trap alone says `unreachable`, which helps nobody. So the first call of every instance sets a
//! hook that logs the panic's message and place before the trap; the engine puts it into the error
//! that it reports. Outside of Wasm both do nothing: a native test sees the panic itself.

pub use crate::wit::host::Severity;

/// Writes one line. The host bounds what a call may write; see [`log!`](crate::log!).
pub fn write(severity: Severity, message: &str) {
    if cfg!(target_arch = "wasm32") {
        crate::wit::host::log(severity, message);
    }
}

/// Logs a formatted line at `debug`, `info`, `warn` or `error`.
///
/// ```
/// let apis = 3;
/// tidegate_guest::log!(info, "{apis} apis are idle");
/// ```
#[macro_export]
macro_rules! log {
    (debug, $($text:tt)+) => { $crate::log::write($crate::log::Severity::Debug, &::std::format!($($text)+)) };
    (info, $($text:tt)+) => { $crate::log::write($crate::log::Severity::Info, &::std::format!($($text)+)) };
    (warn, $($text:tt)+) => { $crate::log::write($crate::log::Severity::Warn, &::std::format!($($text)+)) };
    (error, $($text:tt)+) => { $crate::log::write($crate::log::Severity::Error, &::std::format!($($text)+)) };
}

/// Lets a panic speak before it traps. Cheap after the first time.
pub(crate) fn hook_panics() {
    #[cfg(target_arch = "wasm32")]
    {
        static HOOKED: std::sync::Once = std::sync::Once::new();
        HOOKED.call_once(|| {
            std::panic::set_hook(Box::new(|panic| write(Severity::Error, &panic.to_string())));
        });
    }
}
