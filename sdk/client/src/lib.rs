//! What a caller links: typed client, enforcer, simulated service.
