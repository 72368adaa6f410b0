//! What an author declares: `[package.metadata.tidegate]` in the plugin's Cargo.toml.
//!
//! ```toml
//! [package]
//! name = "tidegate-plugin-ets"        # the module is called `ets`, or see `name` below
//! version = "0.1.0"
//! description = "Exponential smoothing, additive and multiplicative"
//! license = "MIT"
//!
//! [package.metadata.tidegate]
//! kind = "forecaster"                 # forecaster, tierer, allocator or judge
//! config-schema = "config.schema.json" # a file beside Cargo.toml, or an inline table; optional
//! warm = false                        # may an instance be kept between calls? optional
//! limits = { memory-bytes = 33554432, deadline-ms = 50, fit-deadline-ms = 5000 } # all optional
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//! ```
//!
//! Cargo.toml was preferred to a file of its own because name, version, licence and description
//! are there already, and two files drift apart. Unknown keys are errors: a limit that is
//! silently ignored because of a dash is worse than a failed build. Dashes and underscores are
//! the same in keys, as in Cargo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::manifest::{Kind, Limits, Manifest, check_name, check_version};
use crate::schema;

/// Prefix of crate names that a module's name goes without.
pub const CRATE_PREFIX: &str = "tidegate-plugin-";

/// A plugin crate and what it declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// The crate's name in Cargo.toml.
    pub crate_name: String,
    /// Its Cargo.toml.
    pub manifest_path: PathBuf,
    /// The file that holds the config schema, where it is a file.
    pub schema_path: Option<PathBuf>,
    /// Cargo's unambiguous id.
    pub(crate) id: String,
    /// The manifest; its `interface` is empty until the code is compiled.
    pub(crate) draft: Manifest,
    /// Oldest compiler that the crate says it needs.
    pub(crate) rust_version: Option<String>,
}

impl Package {
    /// Name of the module, which is also the name of the component's file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.draft.name
    }

    /// What it decides.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.draft.kind
    }
}

/// What is wrong with a declaration.
#[derive(Debug, thiserror::Error)]
#[error("{}: `{field}`: {problem}", .manifest_path.display())]
pub struct DeclarationError {
    /// The Cargo.toml.
    pub manifest_path: PathBuf,
    /// The key, for example `package.metadata.tidegate.kind`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// Whether a package of `cargo metadata` declares itself a plugin.
pub(crate) fn is_plugin(package: &Value) -> bool {
    !package["metadata"]["tidegate"].is_null()
}

/// Reads one package of `cargo metadata --format-version 1`.
pub(crate) fn read(package: &Value) -> Result<Package, DeclarationError> {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let manifest_path = PathBuf::from(text("manifest_path"));
    let error = |(field, problem): Problem| DeclarationError {
        manifest_path: manifest_path.clone(),
        field,
        problem,
    };
    check_cdylib(package).map_err(error)?;
    let declared = Table::new(
        "package.metadata.tidegate",
        &package["metadata"]["tidegate"],
        &["name", "kind", "config_schema", "limits", "warm"],
    )
    .map_err(error)?;

    let crate_name = text("name");
    let name = match declared.text("name").map_err(error)? {
        Some(name) => name.to_owned(),
        None => crate_name
            .strip_prefix(CRATE_PREFIX)
            .unwrap_or(&crate_name)
            .replace('_', "-"),
    };
    check_name(&name).map_err(|problem| {
        let hint = "set `name` in [package.metadata.tidegate]";
        error((declared.field("name"), format!("{problem}; {hint}")))
    })?;
    let version = text("version");
    check_version(&version).map_err(|problem| error(("package.version".to_owned(), problem)))?;
    let (config_schema, schema_path) =
        read_schema(&declared, manifest_path.parent()).map_err(error)?;
    let draft = Manifest {
        name,
        version,
        kind: read_kind(&declared).map_err(error)?,
        interface: String::new(),
        config_schema,
        limits: read_limits(&declared).map_err(error)?,
        warm: declared.flag("warm").map_err(error)?,
        license: text("license"),
        description: text("description"),
    };
    Ok(Package {
        crate_name,
        schema_path,
        id: text("id"),
        draft,
        rust_version: package["rust_version"].as_str().map(str::to_owned),
        manifest_path,
    })
}

/// Field and problem, before the file is known.
type Problem = (String, String);

fn check_cdylib(package: &Value) -> Result<(), Problem> {
    let targets = package["targets"].as_array().into_iter().flatten();
    let mut kinds = targets.flat_map(|t| t["crate_types"].as_array().into_iter().flatten());
    if kinds.any(|kind| kind == "cdylib") {
        return Ok(());
    }
    Err((
        "lib.crate-type".to_owned(),
        "a plugin is linked as a library of its own; write `[lib]` with `crate-type = [\"cdylib\", \
         \"rlib\"]`"
            .to_owned(),
    ))
}

fn read_kind(declared: &Table<'_>) -> Result<Kind, Problem> {
    let known = "one of \"forecaster\", \"tierer\", \"allocator\", \"judge\"";
    match declared.text("kind")? {
        None => Err((declared.field("kind"), format!("is missing; write {known}"))),
        Some(name) => Kind::parse(name).ok_or_else(|| {
            let problem = format!("\"{name}\" is no kind of policy; write {known}");
            (declared.field("kind"), problem)
        }),
    }
}

fn read_limits(declared: &Table<'_>) -> Result<Limits, Problem> {
    let Some(value) = declared.keys.get("limits") else {
        return Ok(Limits::default());
    };
    let known = ["memory_bytes", "deadline_ms", "fit_deadline_ms"];
    let limits = Table::new(&declared.field("limits"), value, &known)?;
    Ok(Limits {
        memory_bytes: limits.positive("memory_bytes")?,
        deadline_ms: limits.positive("deadline_ms")?,
        fit_deadline_ms: limits.positive("fit_deadline_ms")?,
    })
}

fn read_schema(
    declared: &Table<'_>,
    directory: Option<&Path>,
) -> Result<(Value, Option<PathBuf>), Problem> {
    let field = declared.field("config-schema");
    let (value, path) = match declared.keys.get("config_schema") {
        None => (schema::empty(), None),
        Some(Value::String(file)) => {
            let path = directory.unwrap_or(Path::new(".")).join(file);
            let text = std::fs::read_to_string(&path).map_err(|e| {
                let shown = path.display();
                let problem = format!("cannot read {shown}: {e}; the path starts at Cargo.toml");
                (field.clone(), problem)
            })?;
            let value = serde_json::from_str(&text).map_err(|e| {
                (
                    field.clone(),
                    format!("{} is not JSON: {e}", path.display()),
                )
            })?;
            (value, Some(path))
        }
        Some(inline @ Value::Object(_)) => ((*inline).clone(), None),
        Some(_) => {
            let problem = "write the path of a JSON Schema file, or an inline table".to_owned();
            return Err((field, problem));
        }
    };
    schema::check(&value).map_err(|problem| (field, problem))?;
    Ok((value, path))
}

/// A TOML table with known keys, dashes made underscores.
struct Table<'a> {
    path: String,
    keys: BTreeMap<String, &'a Value>,
}

impl<'a> Table<'a> {
    fn new(path: &str, value: &'a Value, known: &[&str]) -> Result<Self, Problem> {
        let map: &Map<String, Value> = value.as_object().ok_or_else(|| {
            let shown = known.join(", ").replace('_', "-");
            (
                path.to_owned(),
                format!("must be a table with the keys {shown}"),
            )
        })?;
        let mut keys = BTreeMap::new();
        for (key, value) in map {
            let plain = key.replace('-', "_");
            if !known.contains(&plain.as_str()) {
                let shown = known.join(", ").replace('_', "-");
                let problem = format!("is not a known key; the keys are {shown}");
                return Err((format!("{path}.{key}"), problem));
            }
            keys.insert(plain, value);
        }
        Ok(Self {
            path: path.to_owned(),
            keys,
        })
    }

    fn field(&self, key: &str) -> String {
        format!("{}.{}", self.path, key.replace('_', "-"))
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Problem> {
        match self.keys.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err((
                self.field(key),
                format!("{other} must be a string in quotes"),
            )),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Problem> {
        match self.keys.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err((self.field(key), format!("{other} must be true or false"))),
        }
    }

    fn positive(&self, key: &str) -> Result<Option<u64>, Problem> {
        let Some(value) = self.keys.get(key) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(number) if number > 0 => Ok(Some(number)),
            _ => Err((
                self.field(key),
                format!("{value} must be a whole number above 0"),
            )),
        }
    }
}
