//! What is done at the end of an epoch about a search that collapses.

use super::Search;
use crate::batch::DeviceBatch;
use crate::run::{Event, RunError};
use crate::schedule::{Act, Measure, Measured, Moment};
use crate::space::OperationKind;
use sdas_data::random::stream;

impl Search<'_> {
    /// Looks whether the search collapses with the epoch that ends, and acts as the recipe says. Returns the largest
    /// eigenvalue of α's Hessian, where that is what tells.
    pub(super) fn watch(&mut self, moment: Moment) -> Result<Option<f64>, RunError> {
        let settings = self.recipe.search.collapse;
        let epoch = self.progress.epoch + 1;
        if epoch <= self.recipe.search.alpha_warmup || self.state.supernet.is_decided() {
            return Ok(None);
        }
        let eigenvalue = match settings.by {
            Measure::Skips { .. } => None,
            Measure::Curvature { .. } => self.curvature()?,
        };
        if let Some(eigenvalue) = eigenvalue {
            self.check(eigenvalue.is_finite(), "the curvature of the loss in α", "search.alpha.rate")?;
        }
        let leaning = self.leaning();
        let share = |kind| leaning.genes(kind).count(&[OperationKind::Skip]) as f64 / self.space().decisions() as f64;
        let skips: Vec<_> = self.space().kinds().iter().map(|&kind| (kind, share(kind))).collect();
        let measured = Measured { epoch, skips: &skips, eigenvalue, alpha: &self.state.alpha.values };
        let Some(record) = self.progress.watch.note(&settings, &measured) else { return Ok(eigenvalue) };
        self.context.observer.notice(&Event::Collapse(&record));
        if settings.act != Act::Warn {
            if let Some(good) = self.progress.watch.good() {
                self.state.alpha.values = good.to_vec();
            }
            self.decide_until(|all| all, moment)?;
        }
        Ok(eigenvalue)
    }

    /// Whether a collapse has ended the search.
    pub(super) fn is_stopped(&self) -> bool {
        self.progress.watch.collapse.is_some_and(|collapse| collapse.act == Act::Stop)
    }

    /// The largest eigenvalue of α's Hessian, always on the same held-out samples and from the same direction, so that epochs
    /// differ by nothing else.
    fn curvature(&self) -> Result<Option<f64>, RunError> {
        let Some(batch) = self.loaders.curvature.as_ref().and_then(|loader| loader.epoch(0, 0).next()) else {
            return Ok(None);
        };
        let batch = DeviceBatch::new(batch?, &self.context.device);
        let mut chance = stream(self.recipe.search.seed, "curvature/direction", [0, 0]);
        Ok(Some(self.state.curvature(&batch, &mut chance)))
    }
}
