//! Pictures a second that a loader makes of a folder of pictures, or of shards, which it decodes while it goes: a line of
//! JSON. `bench/loader.py` runs it beside torchvision's.
//!
//!     cargo run --release -p sdas-data --example loader -- DIR [train|jitter|test] [SIDE] [THREADS] [PICTURES]

use std::error::Error;
use std::time::Instant;

use sdas_data::{
    Augmentation, ClipSettings, ColourJitter, Cropping, Keep, Kind, Loader, LoaderSettings, Source, Statistics, Views,
    load,
};

const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("which folder?")?;
    let what = arguments.get(1).map_or("train", String::as_str);
    let number = |at: usize, usual| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    let (side, threads, pictures) = (number(2, 224)?, number(3, 1)?, number(4, usize::MAX)?);

    let has_shards =
        std::fs::read_dir(path)?.flatten().any(|file| file.path().extension().is_some_and(|end| end == "tar"));
    let kind = if has_shards { Kind::Shards } else { Kind::Folder };
    let source = Source { path: Some(path.into()), keep: Some(Keep::None), ..Source::new(kind) };
    let begun = Instant::now();
    let splits = load(&source, &|_| {})?;
    let listing = begun.elapsed().as_secs_f64();

    let statistics = Statistics { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] };
    let usual = ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let colour = if what == "jitter" { usual } else { ColourJitter::default() };
    let augmentation = Augmentation { flip: true, colour, ..Augmentation::none() };
    let settings = match what {
        "train" | "jitter" => LoaderSettings {
            cropping: Cropping::RandomResized { area: [0.08, 1.0], aspect: [0.75, 4.0 / 3.0] },
            ..LoaderSettings::training("bench", 0, BATCH, statistics, augmentation)
        },
        "test" => LoaderSettings {
            views: Some(Views { scale: 0.875, ..Views::default() }),
            ..LoaderSettings::evaluation(BATCH, statistics)
        },
        other => return Err(format!("{other} is none of train, jitter and test").into()),
    };
    let clip = ClipSettings { crop: Some(side), ..ClipSettings::default() };
    let indices: Vec<_> = (0..splits.train.len()).collect();
    let loader = Loader::new(&splits.train, &indices, LoaderSettings { clip, threads, ..settings });

    let (begun, mut done) = (Instant::now(), 0);
    for batch in loader.epoch(0, 0) {
        done += batch?.labels.len();
        if done >= pictures {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    println!(
        "{}",
        serde_json::json!({
            "pictures": done, "seconds": seconds, "per_second": done as f64 / seconds, "listed": indices.len(),
            "listing_seconds": listing, "peak_mb": peak.map(|kilobytes: f64| kilobytes / 1024.0),
        })
    );
    Ok(())
}
