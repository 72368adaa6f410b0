//! The rooms that data walks through, and the cycle that threads them.
