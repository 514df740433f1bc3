pub mod v1 { include!("generated/contextbridge.v1.rs"); }
