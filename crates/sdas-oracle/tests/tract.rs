//! The models that `cargo test --release --workspace --test export` leaves, computed by tract: the logits are ours.

use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use tract_onnx::prelude::*;

/// The largest difference of logits that rounding explains, by the largest logit.
const TOLERANCE: f32 = 1e-5;

/// What tract 0.23 does not do: cases, by the beginning of their names, and why. ONNX Runtime does.
const UNKNOWN: &[(&str, &str)] = &[];

fn cases() -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/onnx");
    std::env::var_os("SDAS_ONNX_CASES").map_or_else(usual, PathBuf::from)
}

/// A tensor of a case.
fn tensor(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(name).unwrap();
    let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    (view.shape().to_vec(), values)
}

/// The largest difference of logits by the largest logit, of one sample and of the whole batch.
fn difference(model: &Path) -> TractResult<f32> {
    let bytes = std::fs::read(model.with_extension("safetensors"))?;
    let case = SafeTensors::deserialize(&bytes)?;
    let ((shape, input), (_, logits)) = (tensor(&case, "x"), tensor(&case, "logits"));
    let runnable = tract_onnx::onnx().model_for_path(model)?.into_optimized()?.into_runnable()?;
    let mut most = 0f32;
    for batch in [1, shape[0]] {
        let part = |values: &[f32]| values[..values.len() / shape[0] * batch].to_vec();
        let mut sizes = shape.clone();
        sizes[0] = batch;
        let given = runnable.run(tvec!(Tensor::from_shape(&sizes, &part(&input))?.into()))?;
        let given: Vec<f32> = given[0].to_plain_array_view::<f32>()?.iter().copied().collect();
        let expected = part(&logits);
        assert_eq!(given.len(), expected.len(), "{}", model.display());
        let largest = expected.iter().fold(0f32, |most, value| value.abs().max(most));
        let difference = given.iter().zip(&expected).fold(0f32, |most, (a, b)| {
            let difference = (a - b).abs();
            if difference.is_nan() { f32::INFINITY } else { difference.max(most) }
        });
        most = most.max(if difference == 0.0 { 0.0 } else { difference / largest });
    }
    Ok(most)
}

#[test]
fn logits_are_ours() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for folder in ["layers", "cells", "settings"] {
        let folder = cases().join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("{}: {error}; first run cargo test --release --workspace --test export", folder.display())
        });
        let mut models: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
        models.sort();
        for model in models {
            let name = model.file_stem().unwrap().to_string_lossy().into_owned();
            if UNKNOWN.iter().any(|(known, _)| name.starts_with(known)) {
                continue;
            }
            count += 1;
            match difference(&model) {
                Ok(difference) if difference <= TOLERANCE => {}
                Ok(difference) => wrong.push(format!("{name}: logits differ by {difference:.1e}")),
                Err(error) => wrong.push(format!("{name}: {error:#}")),
            }
        }
    }
    assert!(count > 100, "{count} cases are not all that there are");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
