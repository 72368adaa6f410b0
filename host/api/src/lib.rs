//! tidegate.v1 over tonic: proto to core and back.
