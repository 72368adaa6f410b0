//! A manifest section on an otherwise good component; and, where the input holds a line end, what is before
//! it as a config schema and what is behind it as a config.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidegate_engine::{Engine, check_config, check_schema};
use tidegate_fuzz::limits;
use tidegate_hostile::{Guest, append_section};

static BARE: LazyLock<Vec<u8>> =
    LazyLock::new(|| Guest::forecaster("good").bare().expect("it builds"));

fuzz_target!(|data: &[u8]| {
    let mut component = BARE.clone();
    append_section(&mut component, data);
    match Engine::inspect(&component, &limits()) {
        Ok(manifest) => {
            assert!(!manifest.name.is_empty() && !manifest.version.is_empty());
            check_schema(&manifest.config_schema).expect("an admitted schema is one");
        }
        Err(error) => assert!(error.to_string().len() < 8192),
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some((schema, config)) = text.split_once('\n') {
        if check_schema(schema).is_ok() {
            let _ = check_config(schema, config);
        }
    }
});
