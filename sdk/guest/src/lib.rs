//! What a plugin author links: bindings, helpers, fit_to_pool.
