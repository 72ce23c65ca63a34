//! A schedule of one's own: the first decision after a third of the search, each further one in half of the time that is left.
//!
//! ```sh
//! cargo run --release --example own_schedule
//! ```

use sdas::recipe::Recipe;
use sdas::run::{Context, Event, Observer};
use sdas::schedule::{Schedule, Unit};
use sdas::space::IMAGE;
use std::sync::atomic::AtomicBool;

/// Tells when decisions fall.
struct Points;

impl Observer for Points {
    fn notice(&mut self, event: &Event<'_>) {
        if let Event::Decided { decision, decided, .. } = event {
            println!("{:5.1} %: decision of the {} cell; {decided:?}", 100.0 * decision.progress, decision.cell);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let choices = ["search.epochs=6", "search.channels=8", "data.shapes.train=1000"].map(str::to_owned);
    let mut recipe = Recipe::resolve("shapes", &choices)?;
    let at = (0..IMAGE.decisions()).map(|decision| 1.0 - 2.0 / 3.0 * 0.5f64.powi(decision as i32)).collect();
    recipe.search.schedule = Schedule::Points { at, unit: Unit::Edge };
    let folder = std::env::temp_dir().join(format!("sdas-own-schedule-{}", std::process::id()));
    let device = sdas::device::choose("cpu")?;
    let context = Context { device, observer: &mut Points, stop: &AtomicBool::new(false) };
    sdas::search::search(recipe, &folder, context)?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
