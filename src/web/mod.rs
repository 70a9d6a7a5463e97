//! The JavaScript side: exported classes and the [`Platform`](crate::platform::Platform) of every JS runtime.
