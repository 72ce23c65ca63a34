//! Samples of one's own: pictures that the program makes itself, searched and measured like any others.
//!
//! ```sh
//! cargo run --release --example own_data
//! ```

use sdas::draw::to_text;
use sdas::evaluate::{Examinee, Weighed, evaluate};
use sdas::recipe::Recipe;
use sdas::run::{Context, Ending};
use sdas_data::{DataError, Dataset, Splits, give};
use std::sync::atomic::AtomicBool;

const SIDE: usize = 16;
const CLASSES: [&str; 3] = ["rows", "columns", "checks"];

/// A stripe is so many pixels wide, and the stripes begin somewhere.
fn picture(class: usize, number: usize) -> Vec<u8> {
    let (width, begin) = (1 + number % 3, number / 3);
    let is_light = |at: usize| ((at + begin) / width).is_multiple_of(2);
    let pixel = |index: usize| {
        let (row, column) = (is_light(index / SIDE), is_light(index % SIDE));
        let light = [row, column, row != column][class];
        // Grains, so that no two pictures are the same.
        let grain = (index * 31 + number * 17) % 64;
        [if light { 160 } else { 32 } + grain as u8; 3]
    };
    (0..SIDE * SIDE).flat_map(pixel).collect()
}

fn pictures(numbers: std::ops::Range<usize>) -> Result<Dataset, DataError> {
    let all: Vec<(usize, usize)> = numbers.flat_map(|number| [0, 1, 2].map(|class| (class, number))).collect();
    let pixels = all.iter().flat_map(|&(class, number)| picture(class, number)).collect();
    let labels = all.iter().map(|&(class, _)| class as u16).collect();
    Dataset::new(pixels, labels, CLASSES.map(str::to_owned).to_vec(), [SIDE; 2], 3)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    give(Splits {
        train: pictures(0..200)?,
        test: pictures(200..260)?,
        test_name: "test".to_owned(),
        remarks: Default::default(),
    });
    let choices = [
        "data.kind=\"given\"",
        "search.epochs=10",
        "search.alpha_warmup=1",
        "search.channels=8",
        "search.cells=3",
        "search.batch=32",
    ];
    let recipe = Recipe::resolve("folder", &choices.map(str::to_owned))?;
    let folder = std::env::temp_dir().join(format!("sdas-own-data-{}", std::process::id()));
    let (device, stop) = (sdas::device::choose("cpu")?, AtomicBool::new(false));
    let result = sdas::search::search(recipe, &folder, Context::new(device.clone(), &mut (), &stop))?;
    if let Ending::Done(result) = result {
        println!("{}", to_text(&result.genotype().ok_or("a search finds a cell")?));
    }
    let found = Weighed { examinee: Examinee::run(&folder), share: 1.0 };
    let measured = evaluate(&[found], None, Context::new(device, &mut (), &stop))?;
    println!("{:.1} % of {} {} pictures", 100.0 * measured.top1, measured.count, measured.split);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
