//! The engine: wasmtime configured for policies that are pure, bounded and repeatable.
//!
//! Determinism is configuration: NaNs are canonical where they can be seen ([`crate::nan`], which
//! is why Cranelift does not make all of them so), relaxed SIMD, threads and shared memory are
//! off, and nothing is linked but the policy host. Isolation is too: linear memories sit in a pool
//! with guard pages, the stack is bounded, and every call has a deadline. Async support is left
//! out; a policy is a function, and a fibre per call would cost a stack switch for nothing.

use crate::cache::{Cache, CacheError};
use crate::gate::Gate;
use crate::guest::TABLE_ELEMENTS;
use crate::options::{MIB, Options};
use crate::room;
use crate::ticker::Ticker;
use crate::warm::{KEPT, Places};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Bytes of a table that are cleared in place after a call instead of being given back to the
/// system.
const TABLE_RESIDENT: usize = 64 * 1024;

/// The same for a linear memory, where the kernel (Linux 6.7) tells which pages were written. With
/// both, a fresh instance and call of a guest with 1.3 MB of memory took 13 us instead of 27 (two
/// shared cores, `--example figures`); without that knowledge the whole range would be cleared,
/// and the call take 56.
const MEMORY_RESIDENT: usize = MIB;

/// Most linear memories of one component. More would take the places of other modules' instances.
pub(crate) const MEMORIES: u32 = 1;

/// Most tables of one component: its own, and one for each library that joins it to the host.
pub(crate) const TABLES: u32 = 8;

/// Most core modules of one component: an interpreter with shared libraries, and the stubs of what it may
/// not have, has some forty.
const CORE_INSTANCES: u32 = 64;

/// Smallest pool that is worth its trouble, where more was asked for.
const LEAST: u32 = 4;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the configuration, or the system gave no memory for it.
    #[error("the Wasm engine cannot start: {0}; lower `instances` or `memory_max`")]
    Start(String),
    /// No thread for deadlines.
    #[error("the engine's clock thread cannot start")]
    Ticker(#[source] std::io::Error),
    /// The directory of compiled code cannot be used.
    #[error("the cache of compiled modules cannot be opened")]
    Cache(#[from] CacheError),
}

/// Where instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// A pool that was reserved at the start.
    Pool {
        /// Calls at the same time.
        instances: u32,
    },
    /// Mapped anew for each call: slower, but needs no reserved address space.
    OnDemand,
}

/// Runs policy modules. Cheap to clone; the last clone stops the clock thread.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What all modules of an engine share.
pub(crate) struct Shared {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) gate: Gate,
    /// Places for instances that are kept between calls, beside those of the gate.
    pub(crate) warm: Places,
    pub(crate) cache: Option<Cache>,
    pub(crate) options: Options,
    /// Rises when all running fits are cancelled.
    pub(crate) cancelled: Arc<AtomicU64>,
    allocation: Allocation,
    _ticker: Ticker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("allocation", &self.allocation)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts an engine: with a pool of the size that was asked for, or for which there is address
    /// space (`room`); with half of it, and so on, where the system refuses that; without
    /// one where not even four instances fit.
    ///
    /// # Errors
    /// When not even the smallest configuration is possible, or the cache cannot be opened.
    pub fn new(options: Options) -> Result<Self, EngineError> {
        let asked = options.instances.max(1);
        // What is kept warm has places beside those that are asked for.
        let room = room::instances(&options).map(|all| all.saturating_sub(KEPT));
        let mut instances = room.map_or(asked, |room| room.min(asked));
        if instances < asked {
            tracing::warn!(
                asked,
                instances,
                "the address space is limited: a smaller pool"
            );
        }
        while instances >= asked.min(LEAST) {
            match wasmtime::Engine::new(&config(&options, Some(instances))) {
                Ok(wasm) => return Self::finish(wasm, options, Allocation::Pool { instances }),
                Err(error) => tracing::warn!(instances, "no pool of this size: {error:#}"),
            }
            instances /= 2;
        }
        Self::on_demand(options)
    }

    /// An engine without a pool, for a process of one call at a time.
    pub(crate) fn on_demand(options: Options) -> Result<Self, EngineError> {
        let wasm = wasmtime::Engine::new(&config(&options, None))
            .map_err(|error| EngineError::Start(format!("{error:#}")))?;
        Self::finish(wasm, options, Allocation::OnDemand)
    }

    fn finish(
        wasm: wasmtime::Engine,
        options: Options,
        allocation: Allocation,
    ) -> Result<Self, EngineError> {
        let places = match allocation {
            Allocation::Pool { instances } => instances,
            Allocation::OnDemand => options.instances,
        };
        let cache = match &options.cache {
            Some(directory) => Some(Cache::open(directory, &wasm)?),
            None => None,
        };
        let ticker = Ticker::start(wasm.clone()).map_err(EngineError::Ticker)?;
        tracing::debug!(?allocation, "the Wasm engine is up");
        Ok(Self {
            shared: Arc::new(Shared {
                wasm,
                gate: Gate::new(places, options.memory_total),
                warm: Places::default(),
                cache,
                options,
                cancelled: Arc::default(),
                allocation,
                _ticker: ticker,
            }),
        })
    }

    /// How it was set up.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Where this engine's instances come from.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        self.shared.allocation
    }

    /// Ends all fits that run now, for a quick shutdown; later ones run.
    pub fn cancel_fits(&self) {
        self.shared.cancelled.fetch_add(1, Ordering::AcqRel);
    }
}

fn config(options: &Options, pool: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(false)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .max_wasm_stack(options.stack)
        .parallel_compilation(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16))
        .guard_before_linear_memory(true);
    if let Some(calls) = pool {
        let instances = calls.saturating_add(KEPT);
        let mut pooling = PoolingAllocationConfig::new();
        // As many of each as all instances together may have: a pool that one module could empty
        // would fail the calls of the others.
        pooling
            .total_component_instances(instances)
            .total_memories(instances.saturating_mul(MEMORIES))
            .max_memories_per_component(MEMORIES)
            .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
            .max_core_instances_per_component(CORE_INSTANCES)
            .total_tables(instances.saturating_mul(TABLES))
            .max_tables_per_component(TABLES)
            .table_elements(TABLE_ELEMENTS)
            .max_component_instance_size(MIB)
            .max_core_instance_size(MIB)
            .max_memory_size(options.memory_max)
            .table_keep_resident(TABLE_RESIDENT);
        if PoolingAllocationConfig::is_pagemap_scan_available() {
            pooling
                .pagemap_scan(wasmtime::Enabled::Yes)
                .linear_memory_keep_resident(MEMORY_RESIDENT);
        }
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    }
    config
}
