//! Scheduled differentiable architecture search: spaces, genotypes, supernets, schedules, search and training.

pub mod genotype;
pub mod space;
