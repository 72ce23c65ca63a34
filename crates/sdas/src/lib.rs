//! Scheduled differentiable architecture search: spaces, genotypes, supernets, schedules, search and training.

pub mod architecture;
pub mod batch;
pub mod bench;
pub mod compare;
pub mod device;
pub mod draw;
pub mod evaluate;
pub mod genotype;
pub mod handmade;
pub mod layers;
pub mod network;
pub mod numbers;
pub mod optimizer;
pub mod parameters;
pub mod recipe;
pub mod report;
pub mod run;
pub mod schedule;
pub mod search;
pub mod space;
pub mod supernet;
pub mod table;
pub mod train;
pub mod weights;
