//! A search space with operations of one's own: convolutions along rows and along columns beside DARTS' separable ones.
//!
//! ```sh
//! cargo run --release --example own_operations
//! ```

use sdas::draw::to_text;
use sdas::recipe::Recipe;
use sdas::run::{Context, Ending, Event, Observer};
use sdas::space::{self, Expression, IMAGE, Operation, OperationKind, Space, Stage};
use std::sync::atomic::AtomicBool;

/// ReLU, depthwise convolution, 1×1 convolution and norm, once with a kernel of one row and once with one of one column. The
/// stride is the first stage's.
const CROSSED: &[Stage] = &[Stage::strided([1, 1, 7]), Stage::unstrided([1, 7, 1])];
/// As DARTS has it: twice 3×3.
const SEPARABLE: &[Stage] = &[Stage::strided([1, 3, 3]), Stage::unstrided([1, 3, 3])];

/// DARTS' cells and what lies around them, with other operations on the edges.
static CROSSES: Space = Space {
    name: "crosses",
    operations: &[
        Operation { name: "none", kind: OperationKind::None, expression: Expression::Zero },
        Operation { name: "skip_connect", kind: OperationKind::Skip, expression: Expression::Skip },
        Operation { name: "sep_conv_3x3", kind: OperationKind::Spatial, expression: Expression::Chain(SEPARABLE) },
        Operation { name: "crossed_conv_7", kind: OperationKind::Spatial, expression: Expression::Chain(CROSSED) },
    ],
    ..IMAGE
};

/// Tells of decisions alone.
struct Decisions;

impl Observer for Decisions {
    fn notice(&mut self, event: &Event<'_>) {
        if let Event::Decided { decision, .. } = event {
            println!("epoch {}: {} node {} takes {}", decision.epoch, decision.cell, decision.node, decision.operation);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Recipes, genotypes and checkpoints find it by its name from now on.
    space::add(&CROSSES);
    let choices = ["space.name=\"crosses\"", "search.epochs=10", "search.channels=8", "data.shapes.train=1000"];
    let recipe = Recipe::resolve("shapes", &choices.map(str::to_owned))?;
    let folder = std::env::temp_dir().join(format!("sdas-own-operations-{}", std::process::id()));
    let device = sdas::device::choose("cpu")?;
    let context = Context { device, observer: &mut Decisions, stop: &AtomicBool::new(false) };
    if let Ending::Done(result) = sdas::search::search(recipe, &folder, context)? {
        println!("{}", to_text(&result.genotype().ok_or("a search finds a cell")?));
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
