//! The native [`Platform`](crate::platform::Platform): a simulated network, virtual time, seeded faults.
