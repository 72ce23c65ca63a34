//! Scheduled differentiable architecture search: finds the cell of a convolutional network for pictures or clips, trains the
//! network that is made of it, measures it and asks it about files. The program `sdas` is this library with a command line.
//!
//! A [`Recipe`](recipe::Recipe) has every choice of a run; a run leaves a folder from which others go on. Here on a few
//! pictures that are made by a formula, and for one epoch:
//!
//! ```
//! use sdas::architecture::Architecture;
//! use sdas::evaluate::{self, Examinee, Weighed};
//! use sdas::predict::Predictor;
//! use sdas::recipe::Recipe;
//! use sdas::run::Context;
//! use sdas::{device, search, train};
//! use std::sync::atomic::AtomicBool;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let few = ["data.shapes.train=80", "data.shapes.test=20", "search.batch=16", "search.epochs=1", "search.channels=4"];
//! let few = few.into_iter().chain(["search.alpha_warmup=0", "train.batch=16", "train.epochs=1", "train.channels=4"]);
//! let recipe = Recipe::resolve("shapes", &few.map(str::to_owned).collect::<Vec<_>>())?;
//!
//! // `()` listens to nothing; an observer of one's own is told of every step and decision.
//! let (device, stop) = (device::choose("cpu")?, AtomicBool::new(false));
//!
//! search::search(recipe.clone(), &folder.join("search"), Context::new(device.clone(), &mut (), &stop))?;
//! let found = Architecture::resolve(folder.join("search").to_str().ok_or("a name in UTF-8")?)?;
//! train::train(recipe, &found, &folder.join("training"), Context::new(device.clone(), &mut (), &stop))?;
//!
//! let run = Examinee::run(folder.join("training"));
//! let all = [Weighed { examinee: run.clone(), share: 1.0 }];
//! let measured = evaluate::evaluate(&all, None, Context::new(device.clone(), &mut (), &stop))?;
//! assert_eq!(measured.count, 20);
//! let picture = folder.join("red.ppm");
//! std::fs::write(&picture, [b"P6 32 32 255\n".as_slice(), &[200, 20, 20].repeat(32 * 32)].concat())?;
//! let answers = Predictor::open(&run, Context::new(device, &mut (), &stop))?.files(&[picture])?;
//! let (class, probability) = &answers.predictions[0].classes[0];
//! println!("{class}: {probability:.2}");
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! - What can be found: [`space`] (operations and topology as data; [`space::add`] makes one's own known), [`genotype`] (a found
//!   cell, in files), [`draw`] (its picture).
//! - How it is searched for: [`schedule`] (when an edge is decided, and which), [`supernet`] (α and how it mixes operations),
//!   [`search`] (the step of both levels, and a whole search), [`optimizer`].
//! - What is made of it: [`network`] (cells), [`layers`] (any network as a graph, as data), [`handmade`] (those that people
//!   made), [`train`](mod@train), [`evaluate`](mod@evaluate), [`predict`], [`weights`] (by PyTorch's names), [`export`] (for
//!   PyTorch, ONNX and others).
//! - Runs: [`recipe`], [`run`](mod@run) (folders, checkpoints, events), [`report`], [`compare`], [`table`] (of trained
//!   cells), [`device`], [`bench`](mod@bench).
//!
//! `examples/` has a space with operations of one's own, a schedule of one's own, and samples of one's own. Samples come from
//! `sdas_data`.

pub mod architecture;
pub mod batch;
pub mod bench;
pub mod compare;
pub mod device;
pub mod draw;
pub mod evaluate;
pub mod export;
pub mod genotype;
pub mod handmade;
pub mod layers;
pub mod network;
pub mod numbers;
pub mod optimizer;
pub mod parameters;
pub mod predict;
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
