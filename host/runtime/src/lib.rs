//! Task kinds, supervised tasks and the drain.
