//! What a way there keeps for the way back.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that only the backend that kept it knows, gone once it is used.
#[derive(Clone)]
pub struct Held(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Held {
    pub(crate) fn new<T: Send + 'static>(value: T) -> Self {
        Held(Arc::new(Mutex::new(Some(Box::new(value)))))
    }

    /// What was kept.
    ///
    /// # Panics
    ///
    /// If it was taken before, or is of another type.
    pub(crate) fn take<T: 'static>(&self) -> T {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let held = held.and_then(|held| held.downcast().ok());
        *held.expect("what was kept is there for one way back by the same backend")
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}
