use super::record::messages;
use super::*;
use crate::report::tests::{recipe, runs};

fn events(place: &Path) -> Vec<Event> {
    let files: Vec<PathBuf> = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let messages = messages(&std::fs::read(&files[0]).unwrap());
    messages.iter().map(|message| Event::decode(message.as_slice()).unwrap()).collect()
}

fn values(events: &[Event]) -> Vec<(i64, &Value)> {
    events
        .iter()
        .flat_map(|event| event.summary.iter().flat_map(move |all| all.value.iter().map(move |one| (event.step, one))))
        .collect()
}

#[test]
fn what_a_search_writes_as_it_goes_is_what_is_written_after_it() {
    let live = events(&runs().join("search/tensorboard"));
    let place = tempfile::tempdir().unwrap();
    let written = write(&[runs().join("search")], place.path()).unwrap();
    assert_eq!(written, [place.path().join("search")]);
    let after = events(&written[0]);
    assert_eq!(live[0].file_version.as_deref(), Some("brain.Event:2"));
    let sorted = |events: &[Event]| {
        let mut all: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        all.sort();
        all
    };
    assert!(sorted(&live) == sorted(&after), "the same events, in whatever order");
    // Again into the same place: instead of the file, not beside it.
    write(&[runs().join("search")], place.path()).unwrap();
    assert_eq!(events(&written[0]).len(), after.len());
}

#[test]
fn an_event_file_has_the_run() {
    let place = tempfile::tempdir().unwrap();
    // Both runs of a folder, as a comparison has them.
    let written = write(&[runs().to_owned()], place.path()).unwrap();
    assert_eq!(written, ["search", "train"].map(|name| place.path().join(name)));
    let search = events(&written[0]);
    let all = values(&search);
    let of = |tag: &str| all.iter().filter(|(_, value)| value.tag == tag).copied().collect::<Vec<_>>();
    let folder = Folder::open(&runs().join("search")).unwrap();
    let metrics: Vec<MetricRecord> = folder.whole_lines("metrics.jsonl").unwrap();
    let losses: Vec<_> = of("loss/training").iter().map(|(step, value)| (*step, value.simple_value.unwrap())).collect();
    let expected: Vec<_> = metrics.iter().map(|record| (record.step as i64, record.train_loss as f32)).collect();
    assert_eq!(losses, expected);
    assert_eq!(of("alpha/decided reduction").last().unwrap().1.simple_value, Some(8.0));
    // A picture for each step with decisions, whose size is the file's.
    let decisions: Vec<Decision> = folder.whole_lines("decisions.jsonl").unwrap();
    let mut steps: Vec<i64> = decisions.iter().map(|decision| decision.step as i64).collect();
    steps.dedup();
    let pictures = of("cell");
    assert_eq!(pictures.iter().map(|(step, _)| *step).collect::<Vec<_>>(), steps);
    for (_, value) in pictures {
        let image = value.image.as_ref().unwrap();
        let pixels = tiny_skia::Pixmap::decode_png(&image.encoded_image_string).unwrap();
        assert_eq!((image.width as u32, image.height as u32), (pixels.width(), pixels.height()));
    }
    // The first epoch's mixture of the first edge, one part an operation.
    let cells: Vec<CellRecord> = folder.whole_lines("cells.jsonl").unwrap();
    let edge = cells[0].mixes[0].iter().position(|mix| !mix.is_empty()).unwrap();
    let tag = format!("mixture normal/{}", edge_name(&Candidates::whole(recipe().space.name), edge));
    assert_eq!(of(&tag)[0].1.histo.as_ref().unwrap().bucket, cells[0].mixes[0][edge]);
    let shares = of("softmax(alpha)/normal")[0].1.histo.clone().unwrap();
    assert_eq!(shares.bucket.iter().sum::<f64>(), shares.num);
    let info = of("_hparams_/session_start_info")[0].1.metadata.clone().unwrap().plugin_data.unwrap();
    let info = Hyperparameters::decode(info.content.as_slice()).unwrap().session_start_info.unwrap();
    assert_eq!(info.hparams["search.epochs"].number_value, Some(3.0));
    assert_eq!(info.hparams["search.criterion"].string_value.as_deref(), Some("confidence"));
    assert_eq!(of("_hparams_/session_end_info").len(), 1);
    let train = events(&written[1]);
    assert_eq!(values(&train).iter().filter(|(_, value)| value.tag == "accuracy/held out").count(), 2);
}

#[test]
fn a_run_without_mixtures_and_a_folder_without_runs() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("config.toml"), recipe().to_toml()).unwrap();
    let written = write(&[run.clone(), run], &place.path().join("out")).unwrap();
    assert_eq!(written, ["run", "run-2"].map(|name| place.path().join("out").join(name)));
    assert_eq!(events(&written[0]).len(), 2, "a version and hyperparameters");
    let error = write(&[place.path().join("nothing")], place.path()).unwrap_err().to_string();
    assert!(error.contains("nothing holds no run"), "{error}");
}

#[test]
fn histograms_count_everything() {
    let histogram = histogram(&[0.0, 0.15, 0.3, 0.3]).unwrap();
    assert_eq!((histogram.min, histogram.max, histogram.num), (0.0, 0.3, 4.0));
    assert_eq!([histogram.bucket[0], histogram.bucket[15], histogram.bucket[29]], [1.0, 1.0, 2.0]);
    assert!(super::histogram(&[]).is_none());
    let bars = bars(&[0.25, 0.75]);
    assert_eq!((bars.bucket_limit, bars.bucket, bars.num, bars.sum), (vec![1.0, 2.0], vec![0.25, 0.75], 1.0, 1.25));
}
